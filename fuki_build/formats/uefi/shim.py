"""What a shim brings along that it measures into PCR 7: levels of SBAT, and its vendor's certificate.

Sources: shim's SBAT.md (levels are texts, one of which comes to be the variable SbatLevel) and its README.tpm; logs of
machines that shim started. Levels are looked for in the content of any section, as their place depends on the version.
"""

import re
from struct import Struct
from uuid import UUID

from fuki_build.formats.reader import unpack

VENDOR = UUID("605dab50-e046-4300-abb6-3dd810dd8b23")
"""Of the variables SbatLevel and Shim, as they are measured."""
ORIGINAL_LEVEL = b"sbat,1,2021030218\n"
"""What the variable has where nothing was revoked; every shim with SBAT has it."""
_LEVEL = re.compile(rb"sbat,1,[0-9]{10}\n(?:[A-Za-z0-9._-]{1,64},[0-9]{1,9}\n)*")
_TABLE = Struct("<IIII")  # sizes of what the vendor allows and revokes, and where in the section both are
_CERTIFICATE = b"\x30\x82"
_MAX_LEVELS = 8


def levels(content: bytes) -> list[bytes]:
    """The levels in a section's content, each once, in their order."""
    return list(dict.fromkeys(match.group() for match in _LEVEL.finditer(content)))[:_MAX_LEVELS]


def vendor_certificate(content: bytes) -> bytes:
    """The certificate (DER) in the section of the vendor's keys; empty where the content is none."""
    if len(content) < _TABLE.size:
        return b""
    size, revoked_size, at, revoked_at = unpack(_TABLE, content, 0, "the table of the vendor's keys")
    is_table = at >= _TABLE.size and at + size <= len(content) and revoked_at + revoked_size <= len(content)
    certificate = content[at : at + size]
    return certificate if is_table and certificate.startswith(_CERTIFICATE) else b""
