"""Text as systemd-stub decodes it: bytes that should be UTF-8, converted to UTF-16 by its own rules.

Source: efi-string.c in systemd 262.1, confirmed by booting it. A sequence is as long as its first byte claims, up to
six bytes. If its other bytes are not continuations, or it reaches beyond the end, its whole length is dropped,
including valid characters in it; so are surrogates and characters beyond U+FFFF. Overlong forms are accepted.
"""

_LEADS = ((0xE0, 0xC0, 2), (0xF0, 0xE0, 3), (0xF8, 0xF0, 4), (0xFC, 0xF8, 5), (0xFE, 0xFC, 6))
"""Mask and value of a first byte, and the length of its sequence."""
_LAST = 0xFFFF


def decode(data: bytes) -> str:
    """The characters that the stub decodes, up to a NUL; none is beyond U+FFFF, none is a surrogate."""
    data = data.partition(b"\0")[0]
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "".join(_characters(data))

    if not text.isascii():
        text = "".join(character for character in text if ord(character) <= _LAST)

    # An overlong NUL ends the string, like a plain one.
    return text.partition("\0")[0]


def _characters(data: bytes) -> list[str]:
    characters = []
    at = 0
    while at < len(data):
        length, code = _sequence(data, at)
        at += length
        if code is not None and code <= _LAST and not 0xD800 <= code <= 0xDFFF:
            characters.append(chr(code))
    return characters


def _sequence(data: bytes, at: int) -> tuple[int, int | None]:
    """The length of the sequence at an offset, and its code point; None where it is not valid."""
    lead = data[at]
    if lead < 0x80:
        return 1, lead

    for mask, value, length in _LEADS:
        if lead & mask == value:
            return length, _value(data[at : at + length], lead & ~mask & 0xFF, length)
    return 1, None


def _value(sequence: bytes, code: int, length: int) -> int | None:
    if len(sequence) < length:
        return None
    for byte in sequence[1:]:
        if byte & 0xC0 != 0x80:
            return None
        code = code << 6 | byte & 0x3F
    return code
