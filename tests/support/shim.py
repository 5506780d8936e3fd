"""Images that shim starts: the partition that it stands on, and the level below which it refuses them."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import parts
import pytest
from fuki_qemu import esp
from fuki_virt_firmware import find_program

REFUSED = "Verification failed: (0x1A)"
"""What shim says of EFI_SECURITY_VIOLATION; the machine may be ended before it has said it all."""
_SHIM_LOCK = "605dab50-e046-4300-abb6-3dd810dd8b23"


@contextmanager
def behind_shim() -> Iterator[None]:
    """Partitions that are written meanwhile start in Debian's shim, signed by Microsoft, which starts the image."""
    write = esp.write

    def write_with_shim(path: Path, image: Path, addons: dict[str, Path]) -> None:
        write(path, parts.get("shim"), addons)
        subprocess.run(["mcopy", "-i", path, image, "::/EFI/BOOT/grubx64.efi"], check=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(esp, "write", write_with_shim)
        yield


def put_level(store: Path, level: bytes) -> None:
    """Put a level where shim keeps it (SBAT.md): in a variable that only programs before the system see."""
    variable = {"name": "SbatLevel", "guid": _SHIM_LOCK, "attr": 3, "data": level.hex()}
    given = store.with_suffix(".json")
    given.write_text(json.dumps({"version": 2, "variables": [variable]}))
    command = [find_program(), "--inplace", store, "--set-json", given]
    subprocess.run(command, check=True, capture_output=True)
