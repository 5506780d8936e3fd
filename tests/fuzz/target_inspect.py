from collections.abc import Iterator
from contextlib import suppress
from uuid import UUID

import msgspec

from fuki_build.errors import FukiError
from fuki_build.formats.uki import efifw, hwids, sbat
from fuki_build.formats.uki.hwids import Device, DeviceType
from fuki_build.image.assemble import assemble
from fuki_build.image.describe import describe
from fuki_build.image.inspect import inspect

from .helper import head, image, tail, workspace

_FILE = workspace() / "image.efi"


def seeds() -> Iterator[bytes]:
    for stub in ("addon-stub-x64", "addon-stub-aa64"):
        yield head(stub, 8192)

    devices = [Device(DeviceType.UEFI_FW, "EC2", name, frozenset({UUID(int=7)})) for name in ("ovmf", "other")]
    table = hwids.encode(devices)
    firmware = efifw.encode_header("ovmf", 4096) + tail("ovmf-generic", 4096)
    base: list[tuple[str, bytes, int | None]] = [
        (".osrel", b'ID=acme\nPRETTY_NAME="Acme 41"\n', None),
        (".cmdline", b"root=LABEL=root ro", None),
        (".hwids", table, None),
        (".efifw", firmware, None),
        (".linux", image([(".cmdline", b"a kernel", None)]), None),
        (".initrd", b"\x1f\x8b\x08", None),
    ]

    debug: list[tuple[str, bytes, int | None]] = [
        (".profile", b"ID=debug\nTITLE=Debug shell\n", 0),
        (".cmdline", b"debug", 0),
        (".hwids", table, 0),
        (".efifw", firmware, 0),
    ]

    yield image([*base, (".sbat", sbat.merge([[sbat.UKI_COMPONENT]]), None), *debug])
    yield image(base[:2], stub="addon-stub-x64")


def run(data: bytes) -> None:
    _FILE.write_bytes(data)
    with suppress(FukiError):
        layout = inspect(_FILE)
        assert msgspec.json.encode(describe(layout))
        assemble(layout)
