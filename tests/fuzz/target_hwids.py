from collections.abc import Iterator
from contextlib import suppress
from uuid import UUID

from fuki_build.errors import FormatError
from fuki_build.formats.uki import hwids
from fuki_build.formats.uki.hwids import Device, DeviceType

_IDS = [UUID(int=number << 96 | number) for number in range(1, 6)]


def seeds() -> Iterator[bytes]:
    firmware = Device(DeviceType.UEFI_FW, "EC2", "ovmf-aws", frozenset(_IDS[:3]))
    devicetree = Device(DeviceType.DEVICETREE, "Board", "acme,board", frozenset(_IDS[3:]))
    yield hwids.encode([])
    yield hwids.encode([firmware])
    yield hwids.encode([firmware, devicetree])


def run(data: bytes) -> None:
    with suppress(FormatError):
        records = hwids.decode(data)
        devices = hwids.group(records)
        assert set(hwids.decode(hwids.encode(devices))) == set(records)
