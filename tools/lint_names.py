"""One name for one thing: fail where two classes of fuki and its plugins have the same name.

    python tools/lint_names.py

Names that begin with an underscore are a module's own, and may occur in several.
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent


def class_names(source: str) -> Iterator[str]:
    """The public classes of a module, by name."""
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.ClassDef) and not statement.name.startswith("_"):
            yield statement.name


def repeated(modules: Iterable[Path]) -> Mapping[str, list[Path]]:
    """The names that several modules give to classes, with these modules."""
    homes: dict[str, list[Path]] = defaultdict(list)
    for module in sorted(modules):
        for name in class_names(module.read_text()):
            homes[name].append(module)

    return {name: paths for name, paths in homes.items() if len(paths) > 1}


def main() -> int:
    modules = [*CHECKOUT.glob("fuki_build/**/*.py"), *CHECKOUT.glob("plugins/*/fuki_*/**/*.py")]
    names = repeated(modules)
    for name, paths in names.items():
        print(f"{name}: {', '.join(path.relative_to(CHECKOUT).as_posix() for path in paths)}")

    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main())
