"""Lists as in UEFI 2.10, section 32.4.1; the real ones are in Debian's OVMF_VARS_4M.ms.fd."""

from struct import pack
from uuid import UUID

import pytest

from fuki_build.errors import FormatError
from fuki_build.formats.reader import Reader
from fuki_build.formats.uefi import efi_signature_list as esl
from fuki_build.formats.uefi import variable_store
from fuki_build.formats.uefi.efi_signature_list import Signature, SignatureList, SignatureType
from fuki_build.formats.uefi.efi_time import EfiTime

OWNER = UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b")
OWNER_BYTES = bytes.fromhex("bd9afa77 5903 324d bd60 28f4e78f784b")
SHA256_BYTES = bytes.fromhex("2616c4c1 4c50 9240 aca9 41f936934328")
"""EFI_CERT_SHA256_GUID as the specification's own initialiser has it: 0xc1c41626, 0x504c, 0x4092, …"""


def test_a_list_of_hashes_has_the_bytes_of_the_specification():
    encoded = esl.encode([esl.hash_list(SignatureType.SHA256, [bytes(32), b"\1" * 32], OWNER)])
    assert encoded == (
        SHA256_BYTES + pack("<III", 28 + 2 * 48, 0, 48) + OWNER_BYTES + bytes(32) + OWNER_BYTES + b"\1" * 32
    )


def test_certificates_of_different_sizes_are_lists_of_their_own():
    lists = [esl.certificate_list(der, OWNER) for der in (b"0123", b"01234")]
    encoded = esl.encode(lists)
    assert len(encoded) == 2 * (28 + 16) + 4 + 5
    assert esl.decode(encoded) == tuple(lists)


def test_a_revoked_certificate_has_a_time():
    data = b"\x22" * 32 + bytes.fromhex("e707 03 0e 09 1a 35 00 00000000 0000 00 00")
    assert esl.revocation(data) == (b"\x22" * 32, EfiTime(year=2023, month=3, day=14, hour=9, minute=26, second=53))
    assert esl.revocation(bytes(64)) == (bytes(48), EfiTime(year=0, month=0, day=0, hour=0, minute=0, second=0))


def test_nothing_is_no_list():
    assert esl.decode(b"") == esl.decode(esl.encode([])) == ()


def test_a_list_may_have_no_signatures():
    data = SHA256_BYTES + pack("<III", 28, 0, 48)
    assert esl.decode(data) == (SignatureList(SignatureType.SHA256.guid, ()),)


def test_a_header_between_list_and_signatures_is_kept():
    data = OWNER_BYTES + pack("<III", 28 + 3 + 17, 3, 17) + b"abc" + OWNER_BYTES + b"x"
    assert esl.decode(data) == (SignatureList(OWNER, (Signature(OWNER, b"x"),), b"abc"),)
    assert esl.encode(esl.decode(data)) == data


@pytest.mark.parametrize(("name", "kinds"), [("PK", ["X509"]), ("KEK", ["X509"] * 3), ("db", ["X509"] * 5)])
def test_the_certificates_that_debian_enrols_are_found(part, name: str, kinds: list[str]):
    variables = {v.name: v.data for v in variable_store.decode(Reader.of(part("ovmf-vars-ms").read_bytes())) or ()}
    lists = esl.decode(variables[name])
    assert [SignatureType(str(one.type)).name for one in lists] == kinds
    assert all(one.signatures[0].data.startswith(b"\x30\x82") for one in lists)
    assert esl.encode(lists) == variables[name]


def lied(total: int, header: int = 0, size: int = 48, rest: bytes = bytes(48)) -> bytes:
    return SHA256_BYTES + pack("<III", total, header, size) + rest


REFUSED = {
    "a head cut short": lied(76)[:27],
    "a list longer than the data": lied(77),
    "a list of less than its head": lied(27),
    "a list of no size": lied(0),
    "a header behind the end": lied(76, header=0xFFFFFFFF),
    "signatures of no size": lied(76, size=0),
    "signatures without data": OWNER_BYTES + pack("<III", 28 + 16, 0, 16) + bytes(16),
    "hashes of another size": lied(76, size=24),
    "half a signature": lied(52, rest=bytes(24)),
    "garbage behind a list": lied(76) + b"\0",
}


@pytest.mark.parametrize("lie", REFUSED)
def test_a_list_that_lies_is_refused(lie: str):
    with pytest.raises(FormatError):
        esl.decode(REFUSED[lie])


@pytest.mark.parametrize("digests", [[], [b"short"], [bytes(32), bytes(20)]])
def test_hashes_of_the_wrong_size_and_none_are_not_encoded(digests: list[bytes]):
    with pytest.raises(FormatError):
        esl.encode([esl.hash_list(SignatureType.SHA256, digests, OWNER)])
