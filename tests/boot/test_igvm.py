"""Wrapped firmware started natively, as hypervisors that take IGVM files do it: by a model, as QEMU 7.2 takes none."""

import json
from pathlib import Path

import parts
import pytest

from fuki_build.testing import succeed
from tests.support import guests
from tests.support.bootable import build
from tests.support.igvm_start import pages, registers

NATIVE = 1


def image(directory: Path) -> Path:
    """A UKI whose first program tells what was measured."""
    probe = {"init": guests.INIT, "bin/busybox": parts.get("busybox").read_bytes()}
    return build(directory / "uki", kernel=True, initrd=probe)


def start(directory: Path, file: Path, *options: object) -> guests.Measured:
    data = file.read_bytes()
    guest = directory / "guest"
    guest.mkdir()
    with registers(data, NATIVE, guest) as waiting:
        return guests.boot(guest, *waiting, *pages(data, NATIVE, guest), *options)


def predicted(uki: Path, pcr: int) -> str:
    outcome = succeed(uki.parent, "measure", uki, "--pcr", pcr, "--json")
    (case,) = json.loads(outcome.out)["predictions"]
    return str(next(r["values"]["sha256"] for r in case["registers"] if r["phase"] is None))


def test_firmware_starts_the_uki_that_its_file_carries_without_a_disk(tmp_path: Path):
    uki = image(tmp_path)
    firmware = parts.get("ovmf-generic")
    succeed(tmp_path, "firmware", "wrap", firmware, "-o", "guest.igvm", "--data", f"kernel={uki}")
    measured = start(tmp_path, tmp_path / "guest.igvm")
    assert measured.registers["sha256", 11].hex() == predicted(uki, 11)


@pytest.mark.parametrize("firmware", ["ovmf-2025"])
def test_firmware_without_data_starts_the_uki_of_a_disk(tmp_path: Path, firmware: str):
    uki = image(tmp_path)
    succeed(tmp_path, "firmware", "wrap", parts.get(firmware), "-o", "guest.igvm", "--platform", "native")
    measured = start(tmp_path, tmp_path / "guest.igvm", *guests.disk(tmp_path / "disk", uki))
    assert measured.registers["sha256", 11].hex() == predicted(uki, 11)
