"""Run one call of ukify: every verb, and how it ends."""

import pprint
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fuki_build.errors import FukiError, raised_as
from fuki_build.hooks.rules import Finding, Severity
from fuki_build.ukify.call import UkifyCall, read_call
from fuki_build.ukify.partial import find_partial

if TYPE_CHECKING:
    from fuki_build.ukify.build import Built


class CallError(FukiError):
    """A call that cannot be done. Like upstream's, all of them end with 1; mistakes in the command line with 2."""


def run(
    arguments: Sequence[str],
    plugins: tuple[str, ...] = (),
    *,
    note: Callable[[str], None],
    show: Callable[[Sequence[Finding]], None],
    drop_in: Path | None = None,
) -> str:
    """Run a call; returns what belongs on standard output, and nothing else does.

    `note` and `show` tell people what happens. `drop_in` is the program that was called in place of ukify. Raises
    `click.UsageError` and `CallError`.
    """
    with as_call_errors():
        call = read_call(arguments)
        for text in call.notes:
            note(text)
        return run_call(call, plugins, note, show, drop_in)


@contextmanager
def as_call_errors() -> Iterator[None]:
    """Whatever goes wrong within, as a `CallError`."""
    with raised_as(CallError):
        yield


def run_call(
    call: UkifyCall,
    plugins: tuple[str, ...],
    note: Callable[[str], None],
    show: Callable[[Sequence[Finding]], None],
    drop_in: Path | None,
) -> str:
    """Run a call that was read; see `run`. Raises `FukiError`."""
    if call.switch("summary"):
        return pprint.pformat(call.summary) + "\n"
    if call.verb == "inspect":
        from fuki_build.ukify.inspecting import inspected  # noqa: PLC0415 - only what a verb needs is loaded

        return "".join(inspected(call, note))
    if call.verb == "genkey":
        from fuki_build.ukify.genkey import write_keys  # noqa: PLC0415

        for path in write_keys(call):
            note(f"wrote {path}")
        return ""
    if call.one("pcrsig"):
        from fuki_build.ukify.signatures import join_signatures  # noqa: PLC0415

        for text in join_signatures(call, plugins):
            note(text)
        return ""
    return build_call(call, plugins, note, show, drop_in).printed


def build_call(
    call: UkifyCall,
    plugins: tuple[str, ...],
    note: Callable[[str], None],
    show: Callable[[Sequence[Finding]], None],
    drop_in: Path | None = None,
) -> "Built":
    """Build the image of a call, with the partial recipe that is found for it; see `run`. Raises `FukiError`."""
    from fuki_build.ukify.build import build  # noqa: PLC0415 - only what a verb needs is loaded

    recipe = find_partial(drop_in)
    built = build(
        call, recipe, plugins, note, lambda findings: show([f for f in findings if f.severity is not Severity.NOTE])
    )
    for path in built.paths:
        note(f"wrote {path}")
    return built
