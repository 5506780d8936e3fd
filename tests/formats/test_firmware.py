import gzip
from collections.abc import Callable
from pathlib import Path
from struct import pack
from uuid import UUID

import pytest

from fuki_build.formats.reader import Reader
from fuki_build.formats.uefi.firmware import FirmwareKind, FirmwareSummary, recognise

Part = Callable[[str], Path]

FMP_CAPSULE = UUID("6dcbd5ed-e82d-4c44-bda1-7194199ad92a")  # UEFI specification, 23.3
FFS2 = UUID("8c8ce578-8a3d-4f1c-9935-896185c32dd3")


def recognise_bytes(data: bytes) -> FirmwareSummary:
    return recognise(Reader.of(data))


@pytest.mark.parametrize(
    ("name", "features"),
    [
        ("ovmf-generic", ("SEV", "kernel hashes", "TDX", "IGVM")),
        ("ovmf-amdsev", ("SEV", "kernel hashes", "TDX", "IGVM")),
        ("ovmf-inteltdx", ("SEV", "TDX", "IGVM")),
        ("ovmf-2025", ("SEV", "TDX")),
    ],
)
def test_ovmf_is_recognised_with_what_it_has(part: Part, name: str, features: tuple[str, ...]):
    firmware = recognise_bytes(part(name).read_bytes())
    assert (firmware.kind, firmware.features, firmware.flaw) == (FirmwareKind.OVMF, features, None)


def test_a_variable_store_is_recognised(part: Part):
    assert recognise_bytes(part("ovmf-vars").read_bytes()) == FirmwareSummary(FirmwareKind.VARIABLES)


def test_arm_firmware_is_recognised_with_its_version(part: Part):
    data = part("aavmf").read_bytes()
    found = recognise_bytes(data)
    assert found.kind is FirmwareKind.EDK2
    with gzip.open(part("aavmf").parents[1] / "doc/qemu-efi-aarch64/changelog.Debian.gz", "rt") as changelog:
        package = changelog.readline()
    assert found.version is not None
    assert package.startswith(f"edk2 ({found.version}) ")


def test_an_update_capsule_is_recognised():
    data = pack("<16sIII", FMP_CAPSULE.bytes_le, 28, 0, 40) + bytes(12)
    assert recognise_bytes(data) == FirmwareSummary(FirmwareKind.CAPSULE, ("firmware management protocol",))


@pytest.mark.parametrize(("header_size", "image_size"), [(27, 40), (28, 41), (41, 40)])
def test_a_capsule_that_lies_about_sizes_has_a_flaw(header_size: int, image_size: int):
    data = pack("<16sIII", FMP_CAPSULE.bytes_le, header_size, 0, image_size) + bytes(12)
    firmware = recognise_bytes(data)
    assert (firmware.kind, firmware.features) == (FirmwareKind.CAPSULE, ("firmware management protocol",))
    assert firmware.flaw


# IGVM_FIXED_HEADER: magic, format version, variable headers' offset and size, file size, checksum; in version 2 also
# architecture and page size.
@pytest.mark.parametrize("version", [1, 2])
def test_an_igvm_file_is_recognised(version: int):
    start = {1: 24, 2: 32}[version]
    data = pack("<4sIIIII", b"IGVM", version, start, 8, 64, 0) + pack("<II", 0, 4096) + bytes(32)
    assert recognise_bytes(data) == FirmwareSummary(FirmwareKind.IGVM, (f"version {version}",))


@pytest.mark.parametrize(
    "header", [(3, 24, 8, 64, 0), (1, 24, 41, 64, 0), (1, 24, 8, 65, 0), (1, 0xFFFFFFFF, 0xFFFFFFFF, 64, 0)]
)
def test_an_igvm_file_that_lies_has_a_flaw(header: tuple[int, ...]):
    firmware = recognise_bytes(pack("<4sIIIII", b"IGVM", *header) + bytes(40))
    assert firmware.kind is FirmwareKind.IGVM
    assert firmware.flaw


def test_volumes_of_other_file_systems_are_passed_over():
    """And so is what looks like a volume where no page begins."""

    def volume(guid: bytes) -> bytes:
        return pack("<16s16sQ4sIH", b"", guid, 0x1000, b"_FVH", 0, 72).ljust(0x1000, b"\0")

    other, known = volume(bytes(range(16))), volume(FFS2.bytes_le)
    assert recognise_bytes(other + known) == FirmwareSummary(FirmwareKind.EDK2)
    assert recognise_bytes(other) == FirmwareSummary(FirmwareKind.UNKNOWN)
    assert recognise_bytes(bytes(8) + known) == FirmwareSummary(FirmwareKind.UNKNOWN)
    assert recognise_bytes(bytes(0xF000) + known) == FirmwareSummary(FirmwareKind.EDK2)
    assert recognise_bytes(bytes(0x10000) + known) == FirmwareSummary(FirmwareKind.UNKNOWN)


def test_a_volume_larger_than_the_file_is_a_flaw():
    firmware = recognise_bytes(pack("<16s16sQ4sIH", b"", FFS2.bytes_le, 1 << 20, b"_FVH", 0, 72).ljust(4096, b"\0"))
    assert firmware.kind is FirmwareKind.EDK2
    assert firmware.flaw


def test_ovmf_with_damaged_metadata_has_a_flaw(part: Part):
    data = bytearray(part("ovmf-generic").read_bytes())
    data[len(data) - 50 : len(data) - 48] = b"\xff\xff"
    data = data[-4096:]
    firmware = recognise_bytes(bytes(data))
    assert firmware.kind is FirmwareKind.UNKNOWN
    assert firmware.flaw


@pytest.mark.parametrize("data", [b"", b"IGVM", b"#!/bin/sh\n", bytes(4096), b"\xff" * 65536])
def test_what_is_no_firmware_is_unknown(data: bytes):
    assert recognise_bytes(data) == FirmwareSummary(FirmwareKind.UNKNOWN)


def test_a_stub_is_no_firmware(part: Part):
    assert recognise_bytes(part("stub-x64").read_bytes()) == FirmwareSummary(FirmwareKind.UNKNOWN)


def test_firmware_is_shown_with_version_and_features():
    assert str(FirmwareSummary(FirmwareKind.OVMF, ("SEV", "TDX"), "2026.08")) == "OVMF 2026.08 (SEV, TDX)"
    assert str(FirmwareSummary(FirmwareKind.UNKNOWN)) == "unknown"
