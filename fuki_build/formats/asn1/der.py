"""DER (X.690): tags and lengths of single values, for content that no schema describes."""

from fuki_build.errors import FormatError

_LONG = 0x80
_MAX_LENGTH_BYTES = 4

SEQUENCE = 0x30
SET = 0x31


def _head(data: bytes) -> tuple[int, int]:
    """The size of the tag and length at the start of `data`, and the size of the value that follows."""
    if len(data) < 2:
        raise FormatError("a DER value is cut short")
    if data[1] < _LONG:
        return 2, data[1]

    count = data[1] - _LONG
    if not 1 <= count <= _MAX_LENGTH_BYTES or len(data) < 2 + count:
        raise FormatError("a DER value has no sensible length")
    return 2 + count, int.from_bytes(data[2 : 2 + count])


def total_size(data: bytes) -> int:
    """Size in bytes of the value at the start of `data`, including its tag and length. Raises `FormatError`."""
    head, size = _head(data)
    if head + size > len(data):
        raise FormatError(f"a DER value claims {size} bytes, there are {len(data) - head}")
    return head + size


def value(data: bytes) -> bytes:
    """A value without its tag and length. Raises `FormatError`."""
    head, size = _head(data)
    return data[head : head + size]


def items(data: bytes) -> list[bytes]:
    """The values of a concatenation, in order. Raises `FormatError`."""
    values = []

    while data:
        size = total_size(data)
        values.append(data[:size])
        data = data[size:]

    return values


def wrap(tag: int, content: bytes) -> bytes:
    """Content with a tag and length before it."""
    size = len(content)
    if size < _LONG:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, _LONG + len(length))) + length + content
