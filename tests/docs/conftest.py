"""Parts under the names that the examples and pages use for them."""

from collections.abc import Callable
from pathlib import Path

import parts
import pytest

LAYOUT = {
    "linux.efi.stub": "stub-x64",
    "vmlinuz": "kernel-x64",
    "linux-x64.efi.stub": "stub-x64",
    "linux-aa64.efi.stub": "stub-aa64",
    "vmlinuz-x64": "kernel-x64",
    "vmlinuz-aa64": "kernel-aa64",
    "firmware/aavmf/QEMU_EFI.fd": "aavmf",
    "firmware/ovmf-generic/OVMF.fd": "ovmf-generic",
    "firmware/ovmf-amdsev/OVMF.fd": "ovmf-amdsev",
}
"""As `tools/parts.py --quickstart` and `--matrix` have it, always from packages."""


@pytest.fixture(scope="session")
def lay_out() -> Callable[[Path], None]:
    """`lay_out(directory)` makes what `tools/parts.py --quickstart directory --matrix directory` makes."""

    def lay_out(directory: Path) -> None:
        for name, part in LAYOUT.items():
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(parts.get(part))
        (directory / "initrd.img").write_bytes(parts.initrd({"etc/initrd-release": b"ID=quickstart\n"}))

    return lay_out
