"""Texts broken into lines for a terminal, between words."""

import os
from typing import TextIO
from unicodedata import combining, east_asian_width


def columns_of(text: str) -> int:
    """Columns that a text takes on a terminal (UAX #11)."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def fold(text: str, width: int) -> list[str]:
    """The lines of a text, none wider than `width` columns unless a word is; words stay in one piece."""
    lines: list[str] = []
    size = 0
    for word in text.split():
        columns = columns_of(word)
        if lines and size + 1 + columns <= width:
            lines[-1] += f" {word}"
            size += 1 + columns
        else:
            lines.append(word)
            size = columns
    return lines or [""]


def message_lines(text: str, stream: TextIO) -> list[str]:
    """A message as `stream` gets it: on a terminal in lines that it need not break, all but the first indented."""
    width = terminal_width(stream)
    if width is None or columns_of(text) <= width:
        return [text]
    margin = text[: len(text) - len(text.lstrip())]
    first, *others = fold(text, width - len(margin) - 2)
    return [margin + first, *(f"{margin}  {line}" for line in others)]


def terminal_width(stream: TextIO) -> int | None:
    """The columns of the terminal that a stream goes to; None where it goes elsewhere, or the terminal has no size."""
    try:
        return (os.get_terminal_size(stream.fileno()).columns or None) if stream.isatty() else None
    except (OSError, ValueError):
        return None
