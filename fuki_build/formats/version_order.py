"""Which of two versions is the newer one (UAPI.10, "Version Format Specification"), as boot menus and updaters sort."""

import re

_IGNORED = re.compile(r"[^A-Za-z0-9\-.~^]*")
_DIGITS = re.compile(r"[0-9]*")
_LETTERS = re.compile(r"[A-Za-z]*")


class _Rest:
    """What is left of a version."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    @property
    def head(self) -> str:
        """The next character; empty at the end."""
        return self._text[self._at : self._at + 1]

    def take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        taken = match[0] if match else ""
        self._at += len(taken)
        return taken

    def skip(self) -> None:
        self._at += 1


def compare(first: str, second: str) -> int:
    """Less than 0 where the first is older, 0 where they are equal in order, more than 0 where it is newer.

    >>> compare("41.2", "41.10"), compare("2~rc1", "2"), compare("41+", "41")
    (-1, -1, 0)
    """
    one, other = _Rest(first), _Rest(second)

    while True:
        # Other characters only separate: what stands around them is not one number or word.
        one.take(_IGNORED)
        other.take(_IGNORED)

        # A pre-release is older than anything, even than the end.
        if not (one.head and other.head) and "~" not in {one.head, other.head}:
            return _sign(bool(one.head), bool(other.head))

        separator = next((mark for mark in "~-^." if mark in {one.head, other.head}), None)
        if separator:
            order = _sign(one.head != separator, other.head != separator)
            one.skip()
            other.skip()
        elif one.head.isdigit() or other.head.isdigit():
            # Compared as texts: a version may have more digits than a number is made of quickly.
            own, others = (rest.take(_DIGITS).lstrip("0") for rest in (one, other))
            order = _sign(len(own), len(others)) or (own > others) - (own < others)
        else:
            own, others = (rest.take(_LETTERS) for rest in (one, other))
            order = (own > others) - (own < others)
        if order:
            return order


def _sign(one: int, other: int) -> int:
    return (one > other) - (one < other)
