"""EFI_VARIABLE_AUTHENTICATION_2 as in UEFI 2.10, section 8.2.2; other tools' files are read in tests/peers."""

import time
from datetime import UTC, datetime, timedelta, timezone
from struct import pack
from uuid import UUID

import pytest

from fuki_build.errors import FormatError
from fuki_build.formats.uefi import authenticated_variable as auth
from fuki_build.formats.uefi import efi_time
from fuki_build.formats.uefi.authenticated_variable import AuthenticatedPayload

MOMENT = datetime(2026, 11, 25, 18, 40, 9, tzinfo=UTC)
TIME = efi_time.of(MOMENT)
TIME_BYTES = bytes.fromhex("ea07 0b 19 12 28 09 00 00000000 0000 00 00")
PKCS7_BYTES = bytes.fromhex("9dd2af4a df68 ee49 8aa9 347d375665a7")
HEAD = TIME_BYTES + pack("<IHH", 24 + 5, 0x0200, 0x0EF1) + PKCS7_BYTES


def test_a_file_has_the_bytes_of_the_specification():
    assert auth.encode(AuthenticatedPayload(TIME, b"PKCS7", b"payload")) == HEAD + b"PKCS7" + b"payload"


def test_a_file_is_taken_apart():
    assert auth.decode(HEAD + b"PKCS7" + b"payload") == AuthenticatedPayload(TIME, b"PKCS7", b"payload")
    assert auth.decode(HEAD + b"PKCS7") == AuthenticatedPayload(TIME, b"PKCS7", b"")


def test_a_time_in_another_zone_is_written_in_utc():
    elsewhere = efi_time.of(MOMENT.astimezone(timezone(timedelta(hours=2))))
    assert auth.encode(AuthenticatedPayload(elsewhere, b"PKCS7", b"")) == HEAD + b"PKCS7"


def test_a_time_is_written_in_utc_wherever_the_machine_is(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert efi_time.encode(efi_time.of(MOMENT)) == TIME_BYTES
    finally:
        monkeypatch.undo()
        time.tzset()


def test_what_is_appended_may_have_no_time():
    data = bytes(16) + HEAD[16:] + b"PKCS7"
    assert auth.decode(data).timestamp == efi_time.NONE
    assert auth.encode(auth.decode(data)) == data


def test_a_signature_covers_name_vendor_attributes_time_and_value():
    """The order of section 8.2.2: VariableName, VendorGuid, Attributes, TimeStamp, DataNew_variable_content."""
    covered = AuthenticatedPayload(TIME, b"PKCS7", b"payload").covered("db", auth.VENDORS["db"])
    vendor = bytes.fromhex("cbb219d7 3a3d 9645 a3bc dad00e67656f")
    assert covered == b"d\0b\0" + vendor + b"\x27\0\0\0" + TIME_BYTES + b"payload"


def test_what_is_appended_is_signed_as_such():
    append = auth.SECURE_BOOT_ATTRIBUTES | auth.Attributes.APPEND_WRITE
    covered = auth.to_be_signed("KEK", auth.VENDORS["KEK"], append, efi_time.NONE, b"")
    assert covered == b"K\0E\0K\0" + UUID(str(auth.GLOBAL_VENDOR)).bytes_le + b"\x67\0\0\0" + bytes(16)


def test_a_month_that_does_not_exist_is_kept():
    """sbvarsign 0.9.4 writes January as 0."""
    data = HEAD[:2] + b"\0" + HEAD[3:] + b"PKCS7"
    assert auth.decode(data).timestamp == TIME._replace(month=0)
    assert auth.encode(auth.decode(data)) == data


@pytest.mark.parametrize(("data", "expected"), [(HEAD, True), (HEAD[:39], False), (b"", False), (bytes(99), False)])
def test_a_file_is_told_from_a_bare_list(data: bytes, expected: bool):
    assert auth.is_authenticated(data) is expected


def header(size: int = 29, revision: int = 0x200, kind: int = 0xEF1, guid: bytes = PKCS7_BYTES) -> bytes:
    return TIME_BYTES + pack("<IHH", size, revision, kind) + guid + b"PKCS7"


REFUSED = {
    "nothing": b"",
    "half a time": TIME_BYTES[:8],
    "a time alone": TIME_BYTES,
    "nanoseconds": TIME_BYTES[:8] + b"\1" + HEAD[9:] + b"PKCS7",
    "a time zone": TIME_BYTES[:12] + b"\x3c" + HEAD[13:] + b"PKCS7",
    "padding that is not zero": TIME_BYTES[:7] + b"\1" + HEAD[8:] + b"PKCS7",
    "a signature longer than the file": header(30),
    "a signature of less than its head": header(23),
    "no signature": header(24),
    "another revision": header(revision=0x100),
    "an Authenticode signature": header(kind=2),
    "another type": header(guid=bytes(16)),
}


@pytest.mark.parametrize("lie", REFUSED)
def test_a_file_that_lies_is_refused(lie: str):
    with pytest.raises(FormatError):
        auth.decode(REFUSED[lie])


LIST_START = bytes.fromhex("a159c0a5 e494 a74a 87b5 ab155c2bf072")
"""EFI_CERT_X509_GUID, which a signature list begins with (UEFI 2.10, 32.4.1)."""


@pytest.mark.parametrize(
    ("data", "value"),
    [
        pytest.param(HEAD + b"PKCS7" + b"payload", b"payload", id="an .auth file"),
        pytest.param(b"\x27\0\0\0" + LIST_START, LIST_START, id="efivarfs' attributes before a list"),
        pytest.param(b"\x01\0\0\0", b"", id="attributes of an empty variable"),
        pytest.param(b"\xff\0\0\0x", b"x", id="the largest attributes"),
        pytest.param(b"\0\x01\0\0x", b"\0\x01\0\0x", id="more than attributes"),
        pytest.param(bytes(4) + b"x", bytes(4) + b"x", id="no attributes"),
        pytest.param(LIST_START, LIST_START, id="a list"),
        pytest.param(b"\x07\0\0", b"\x07\0\0", id="three bytes"),
        pytest.param(b"", b"", id="nothing"),
    ],
)
def test_the_value_is_found_in_each_form_of_a_variables_file(data, value):
    assert auth.value(data) == value
