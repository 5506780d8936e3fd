from collections.abc import Iterator
from contextlib import suppress
from uuid import UUID

from fuki_build.errors import FormatError
from fuki_build.formats.uefi import efi_signature_list as esl
from fuki_build.formats.uefi.efi_signature_list import SignatureType

_OWNER = UUID(int=1)


def seeds() -> Iterator[bytes]:
    hashes = esl.hash_list(SignatureType.SHA256, [bytes(32), b"\1" * 32], _OWNER)
    yield esl.encode([hashes])
    yield esl.encode([esl.certificate_list(b"\x30\x82\1\0", _OWNER), hashes])
    yield esl.encode([esl.hash_list(SignatureType.X509_SHA384, [bytes(64)], _OWNER)])


def run(data: bytes) -> None:
    with suppress(FormatError):
        lists = esl.decode(data)
        if all(one.signatures for one in lists):
            assert esl.encode(lists) == data
    with suppress(FormatError):
        esl.revocation(data)
