"""That the first two enforce Secure Boot and others do not was seen by booting them: tests/boot, and by hand."""

import lzma
from struct import pack
from uuid import UUID

import pytest

from fuki_build.formats.uefi.secure_boot_support import (
    enforces_secure_boot,
    needs_system_management_mode,
    takes_keys_through_igvm,
)

LZMA = UUID("ee4e5898-3914-4259-9d6e-dc7bd79403cf").bytes_le


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ovmf-secboot", True),
        ("ovmf-inteltdx", True),
        ("ovmf-generic", False),
        ("ovmf-amdsev", False),
        ("ovmf-code", False),
        ("ovmf-2025", False),
        ("ovmf-vars", None),
        ("stub-x64", None),
    ],
)
def test_a_build_tells_whether_it_enforces_secure_boot(part, name: str, expected: bool | None):
    assert enforces_secure_boot(part(name).read_bytes()) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ovmf-secboot", (True, True)),
        ("ovmf-inteltdx", (False, False)),
        ("ovmf-generic", (False, False)),
        ("ovmf-amdsev", (False, False)),
        ("ovmf-2025", (False, False)),
        ("ovmf-2022", (False, False)),
        ("ovmf-vars", (None, None)),
    ],
)
def test_a_build_tells_whether_it_needs_smm_and_takes_keys_of_an_igvm_file(part, name: str, expected: object):
    # As virt-fw-dump lists the modules of these builds: PiSmmCore, and IgvmSecureBootDxe.
    data = part(name).read_bytes()
    assert (needs_system_management_mode(data), takes_keys_through_igvm(data)) == expected


def section(content: bytes, offset: int = 24) -> bytes:
    return bytes(4) + LZMA + pack("<HH", offset, 1) + content


BOMB = lzma.compress(bytes(80 << 20), lzma.FORMAT_ALONE)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", None),
        (LZMA, None),
        (section(b"no lzma"), None),
        (section(b"", offset=0xFFFF), None),
        (section(lzma.compress(bytes(1000), lzma.FORMAT_ALONE)), None),
        (section(b"\x5d\xff\xff\xff\xff" + b"\xff" * 8 + bytes(64)), None),
        (section(BOMB) * 20, False),
    ],
)
def test_damage_and_bombs_are_borne(data: bytes, expected: bool | None):
    assert enforces_secure_boot(data) is expected
