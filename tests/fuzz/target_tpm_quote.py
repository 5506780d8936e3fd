from collections.abc import Iterator
from contextlib import suppress
from struct import pack

import attest_makers as makers
from fuki_attest.formats import tpm_quote

from fuki_build.errors import FormatError


def seeds() -> Iterator[bytes]:
    message = makers.tpm_quote({number: bytes(32) for number in (0, 4, 7, 23)})
    yield message
    yield pack(">H", len(message)) + message
    yield pack(">HHH", 0x14, 0x0B, 4) + b"sign"
    yield pack(">HHH", 0x18, 0x0C, 1) + b"r" + pack(">H", 1) + b"s"
    yield pack("<Q", 256) + bytes(256) + pack("<Q", len(message)) + message + pack("<Q", 24) + bytes(24 * 32)
    yield pack(">HHIHHHHI", 1, 0x0B, 0x50072, 0, 0x10, 0x10, 2048, 0) + pack(">H", 256) + b"\xc1" * 256
    yield pack(">HHIHHHHH", 0x23, 0x0B, 0x50072, 0, 0x10, 0x10, 3, 0x10) + (pack(">H", 32) + bytes(32)) * 2


def run(data: bytes) -> None:
    for decode in (tpm_quote.decode, tpm_quote.decode_signature, tpm_quote.decode_public, tpm_quote.decode_bincode):
        with suppress(FormatError):
            decode(data)
