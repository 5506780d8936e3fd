"""virt-firmware's dump finds the firmware's volumes and variables in IGVM files that fuki wrote."""

import re
import subprocess
import sys
from pathlib import Path

import parts
import pytest
from fuki_build.testing import succeed

DUMP = Path(sys.executable).with_name("virt-fw-dump")
BUILDS = ["ovmf-generic", "ovmf-amdsev", "ovmf-inteltdx", "ovmf-2025", "ovmf-2022"]


def volumes(file: Path) -> list[str]:
    """Volumes and what is in them, without where they stand in the file."""
    done = subprocess.run([DUMP, "--input", file, "--volumes"], capture_output=True, text=True, check=True)
    return [re.sub(r"offset=\S+ ", "", line) for line in done.stdout.splitlines() if "volume=" in line]


@pytest.mark.parametrize("build", BUILDS)
def test_a_file_holds_what_the_firmware_holds(tmp_path: Path, build: str):
    succeed(tmp_path, "firmware", "wrap", parts.get(build), "-o", "guest.igvm")
    inside = volumes(tmp_path / "guest.igvm")
    assert inside
    assert inside == volumes(parts.get(build))


def test_it_does_so_with_data_before_the_firmware(tmp_path: Path):
    firmware, data = parts.get("ovmf-generic"), f"kernel={parts.get('stub-x64')}"
    succeed(tmp_path, "firmware", "wrap", firmware, "-o", "guest.igvm", "--platform", "native", "--data", data)
    assert volumes(tmp_path / "guest.igvm") == volumes(firmware)
