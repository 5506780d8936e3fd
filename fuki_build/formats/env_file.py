"""`KEY=value` texts: os-release(5), which `.osrel` and `.profile` hold (UAPI.5)."""

import re
import shlex
from collections.abc import Iterable

from fuki_build.errors import FormatError

_PLAIN = re.compile(r"[A-Za-z0-9._+-]*")
_SPECIAL = re.compile(r'(["\\$`])')
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def decode(data: bytes) -> dict[str, str]:
    """Parse leniently, as boot loaders do: a line that is not an assignment is passed over.

    Raises `FormatError` when the text is not UTF-8.
    """
    try:
        text = data.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        raise FormatError("the text is not UTF-8") from None
    values = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and _KEY.fullmatch(key):
            values[key] = _unquote(value)
    return values


def _unquote(value: str) -> str:
    try:
        return "".join(shlex.split(value))
    except ValueError:
        return value.strip("\"'")


def encode(values: Iterable[tuple[str, str]]) -> bytes:
    """Assignments, quoted where os-release(5) asks for it. Raises `FormatError` for a value of several lines."""
    lines = []
    for key, value in values:
        if "\n" in value or "\0" in value:
            raise FormatError(f"the value of {key} must be a single line: {value!r}")
        quoted = value if _PLAIN.fullmatch(value) else '"' + _SPECIAL.sub(r"\\\1", value) + '"'
        lines.append(f"{key}={quoted}\n")
    return "".join(lines).encode()
