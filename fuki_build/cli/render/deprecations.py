"""A line for each use, by a plugin, of what is going to be gone from the hooks: its authors may be watching."""

import warnings
from typing import TextIO

from fuki_build.cli.render.plain import tell
from fuki_build.errors import HookDeprecationWarning

_shown: set[tuple[str, int, str]] = set()


def show_deprecations() -> None:
    """Have them shown by this process, and no other warnings."""
    warnings.simplefilter("always", HookDeprecationWarning)
    warnings.showwarning = _show


def _show(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    """As Python calls it; once for each place, since a command may load a plugin several times."""
    use = filename, lineno, str(message)
    if issubclass(category, HookDeprecationWarning) and use not in _shown:
        _shown.add(use)
        tell(f"fuki: warning: {filename}:{lineno}: {message}")
