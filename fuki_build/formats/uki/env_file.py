"""`KEY=value` texts: os-release(5), the format of `.osrel` and `.profile` (UAPI.5)."""

import re
from collections.abc import Iterable

from fuki_build.errors import FormatError

_PLAIN = re.compile(r"[A-Za-z0-9._+-]*")
_SPECIAL = re.compile(r'(["\\$`])')
_ESCAPED = re.compile(r'\\(["\\$`])')
_PARTS = re.compile(r""""((?:[^"\\]|\\.)*)"|'([^']*)'|\\(.)|([^"'\\]+)""")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def decode(data: bytes) -> dict[str, str]:
    """Parse leniently, as boot loaders do: lines that are not assignments are skipped.

    Raises `FormatError` when the text is not UTF-8.
    """
    try:
        text = data.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        raise FormatError("the text is not UTF-8") from None
    values = {}
    for line in text.split("\n"):
        key, equals, value = line.strip().partition("=")
        if equals and _KEY.fullmatch(key):
            values[key] = _unquote(value)
    return values


def _unquote(value: str) -> str:
    """The value as a shell would read it; if its quotes do not match, the text without quotes at its ends."""
    parts = []
    at = 0
    for match in _PARTS.finditer(value):
        if match.start() != at:
            break
        at = match.end()
        double, single, escaped, plain = match.groups()
        parts.append(_ESCAPED.sub(r"\1", double) if double is not None else single or escaped or plain or "")
    return "".join(parts) if at == len(value) else value.strip("\"'")


def encode(values: Iterable[tuple[str, str]]) -> bytes:
    """Assignments, quoted where os-release(5) requires it. Raises `FormatError` for a value of several lines."""
    lines = []
    for key, value in values:
        if "\n" in value or "\0" in value:
            raise FormatError(f"the value of {key} must be a single line: {value!r}")
        quoted = value if _PLAIN.fullmatch(value) else '"' + _SPECIAL.sub(r"\\\1", value) + '"'
        lines.append(f"{key}={quoted}\n")
    return "".join(lines).encode()
