"""A recipe with some of everything, and independent readings of what is built from it."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import pefile

from tests.support.workshop import workshop_recipe

TABLES = """
[[fuki.firmware]]
source = "file"
id = "one"
path = "one.fd"
platforms = ["qemu:q35"]

[[fuki.firmware]]
source = "command"
id = "two"
command = ["cat", "two.fd"]
inputs = ["two.fd"]
platforms = ["qemu:i440fx"]

[[fuki.profile]]
id = "debug"
title = "Boot with a debug shell"
cmdline = "root=LABEL=root ro debug"

[[fuki.profile]]
id = "other"
[[fuki.profile.firmware]]
source = "file"
id = "three"
path = "two.fd"
chids = ["01e09b32-de05-56ca-b9d1-9486ad5f381d"]

[[fuki.addon]]
name = "serial"
cmdline = "console=ttyS0,115200"

[[fuki.addon]]
name = "more"
initrd = "more.img"

[[fuki.output]]
format = "uki"
path = "out/{{ name }}.efi"

[[fuki.output]]
format = "addon"

[[fuki.output]]
format = "manifest"
"""

UKI = "out/acme.efi"
ADDONS = ("out/acme.efi.extra.d/serial.addon.efi", "out/acme.efi.extra.d/more.addon.efi")
MANIFEST = "out/acme.manifest.json"
WRITTEN = (UKI, *ADDONS, MANIFEST)


def rich_recipe(more: str = "", plugins: Iterable[str] = ()) -> str:
    """The text of the rich recipe, with `more` behind it."""
    return workshop_recipe(TABLES + more, plugins=plugins, initrd=["initrd.img", "more.img"])


def make_rich(workshop: Path, part: Callable[[str], Path], more: str = "", plugins: Iterable[str] = ()) -> Path:
    """Turn the workshop's recipe into the rich one, with `more` behind it."""
    (workshop / "one.fd").symlink_to(part("ovmf-generic"))
    (workshop / "two.fd").symlink_to(part("ovmf-amdsev"))
    (workshop / "more.img").write_bytes(b"not quite an initrd" * 1000)
    (workshop / "fuki.toml").write_text(rich_recipe(more, plugins))
    return workshop


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def authenticode(path: Path) -> str:
    """The digest of an image, whose certificates are its end (Microsoft's Authenticode specification), by pefile."""
    data = path.read_bytes()
    image = pefile.PE(data=data, fast_load=True)
    checksum = image.OPTIONAL_HEADER.get_field_absolute_offset("CheckSum")
    directory = image.OPTIONAL_HEADER.DATA_DIRECTORY[4]
    certificates, end = directory.get_file_offset(), directory.VirtualAddress or len(data)
    covered = data[:checksum] + data[checksum + 4 : certificates] + data[certificates + 8 : end]
    return sha256(covered + bytes(-end % 8))


def sections(path: Path) -> list[tuple[str, int, int, int, int, bytes]]:
    """Name, address, offset, size, raw size and content of every section, as pefile reads them."""
    image = pefile.PE(path, fast_load=True)
    data = path.read_bytes()
    return [
        (
            header.Name.rstrip(b"\0").decode(),
            header.VirtualAddress,
            header.PointerToRawData,
            min(header.Misc_VirtualSize, header.SizeOfRawData),
            header.SizeOfRawData,
            data[header.PointerToRawData :][: min(header.Misc_VirtualSize, header.SizeOfRawData)],
        )
        for header in image.sections
    ]
