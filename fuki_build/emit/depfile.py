"""Depfiles: which files an output depends on, in Make's syntax, as ninja reads it."""

from collections.abc import Sequence
from pathlib import Path


def encode(targets: Sequence[Path], dependencies: Sequence[Path]) -> str:
    """One rule; every path on a line of its own."""
    left = " ".join(_escape(path) for path in targets)
    return f"{left}:" + "".join(f" \\\n  {_escape(path)}" for path in dependencies) + "\n"


def _escape(path: Path) -> str:
    text = str(path).replace("$", "$$")
    return "".join(f"\\{c}" if c in " #" else c for c in text)
