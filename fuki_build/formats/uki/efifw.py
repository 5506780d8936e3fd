"""`.efifw`: one firmware image and its fwid (systemd's efi-firmware.h, stub 262.1)."""

from struct import Struct
from uuid import UUID

import msgspec

from fuki_build.errors import FormatError
from fuki_build.formats.reader import unpack

MAGIC = 0xFEEDDEAD
_HEADER = Struct("<IIII")  # magic, header_len, fwid_len (with its NUL), payload_len
_CHID_HEADER_LEN = 32
_BROKEN = Struct("<BIII")
MAX_FWID = 4096
"""Longest fwid that is decoded; a directory name, its usual source, has at most 255 bytes."""


class EfiFw(msgspec.Struct, frozen=True):
    """Offsets and sizes in a `.efifw` section.

    `chid` is set by the extended header of systemd pull request 43235: the payload is a capsule to be applied
    unless the machine already reports this CHID.
    """

    fwid: str
    payload_offset: int
    payload_size: int
    chid: UUID | None = None


def encode_header(fwid: str, payload_size: int) -> bytes:
    """Everything before the payload. Raises `FormatError` for a fwid that readers would reject."""
    name = fwid.encode()
    if not name or b"\0" in name or len(name) >= MAX_FWID:
        raise FormatError(f"a fwid has 1 to {MAX_FWID - 1} bytes and no NUL, not {fwid!r}")
    if not 0 < payload_size <= 0xFFFFFFFF:
        raise FormatError(f"a firmware image has 1 byte to 4 GiB - 1, not {payload_size} bytes")
    return _HEADER.pack(MAGIC, _HEADER.size, len(name) + 1, payload_size) + name + b"\0"


def decode(head: bytes, size: int) -> EfiFw:
    """Decode a section of `size` bytes from its first bytes (8 KiB are enough for every fwid).

    Honours `header_len`, and rejects what the stub rejects. Raises `FormatError`.
    """
    if _is_broken_header(head):
        raise FormatError(
            "the firmware header has 13 bytes, as systemd 262's ukify wrote it; every stub rejects it",
            hint="build the image again with fuki, or with ukify 262.1 or newer",
        )

    magic, header_len, fwid_len, payload_size = unpack(_HEADER, head, 0, "the firmware header")
    if magic != MAGIC:
        raise FormatError(f"not a firmware section (magic {magic:#010x}, expected {MAGIC:#010x})")
    if header_len < _HEADER.size:
        raise FormatError(f"the firmware header claims {header_len} bytes, at least {_HEADER.size} are needed")

    if header_len + fwid_len + payload_size > size:
        raise FormatError(f"the firmware needs {header_len + fwid_len + payload_size} bytes, the section has {size}")
    if fwid_len > MAX_FWID or header_len + fwid_len > len(head):
        raise FormatError(f"the fwid is too long or too far away ({fwid_len} bytes at {header_len})")

    fwid = head[header_len : header_len + fwid_len]
    if fwid.find(b"\0") != fwid_len - 1 or fwid_len < 2:
        raise FormatError("the fwid is empty or its first NUL is not its last byte")
    try:
        text = fwid[:-1].decode()
    except UnicodeDecodeError:
        raise FormatError("the fwid is not UTF-8") from None

    # A longer header carries a CHID; anything after that is for newer readers.
    extended = min(header_len, len(head)) >= _CHID_HEADER_LEN
    chid = UUID(bytes_le=head[_HEADER.size : _CHID_HEADER_LEN]) if extended else None
    return EfiFw(text, header_len + fwid_len, payload_size, chid)


def _is_broken_header(head: bytes) -> bool:
    """Whether the magic is one zero byte: ukify packed the header with a Pascal string by mistake."""
    return len(head) >= _BROKEN.size and _BROKEN.unpack_from(head)[:2] == (0, _HEADER.size)
