"""A model of QEMU's device vm-launch-update: what a guest writes to it decides what the next reset starts.

It follows the device's source (hw/misc/vmlaunchupdate.c of QEMU's main branch, September 2026), and where that differs
from docs/specs/vmlaunchupdate.rst, the source: the differences are told where they are.
"""

import struct
from collections.abc import Callable
from enum import IntEnum, IntFlag
from typing import NamedTuple

from fuki_build.errors import FormatError
from fuki_build.formats.confidential import igvm
from fuki_build.formats.reader import Reader

FILE = "etc/vmlaunchupdate"
"""The file's name in fw_cfg."""
VERSION = 1
_FIELDS = struct.Struct("<HH4xQQQQQQ")
SIZE = _FIELDS.size

ReadMemory = Callable[[int, int], bytes | None]
"""Gives `size` bytes of the guest's memory from an address on; None where there is no memory."""


class Control(IntFlag):
    DISABLE = 1 << 0
    HOST_IGVM = 1 << 1
    IGVM = 1 << 32


class Status(IntEnum):
    DONE = 0
    LOAD_FAILED = 1
    NOT_STARTED_FROM_IGVM = 2


class UpdateFields(NamedTuple):
    """What the file holds; the two addresses and sizes are the guest's."""

    version: int = VERSION
    status: int = Status.DONE
    capabilities: int = Control.IGVM
    control: int = 0
    image_address: int = 0
    image_size: int = 0
    opaque_address: int = 0
    opaque_size: int = 0


def encode(fields: UpdateFields) -> bytes:
    return _FIELDS.pack(*fields)


def decode(data: bytes) -> UpdateFields:
    """Raises `FormatError` for anything but `SIZE` bytes."""
    if len(data) != SIZE:
        raise FormatError(f"vm-launch-update's file has {SIZE} bytes, not {len(data)}")
    return UpdateFields._make(_FIELDS.unpack(data))


class LaunchUpdate:
    """The device. `host_file` is the IGVM file that the host starts the guest from; None for a host without one.

    `file` is what the next reset starts.
    """

    def __init__(self, host_file: bytes | None) -> None:
        self._host_file = host_file
        self.file = host_file
        self.fields = UpdateFields()
        self.is_locked = False
        self.restores_host_file = False

    def select(self) -> bytes:
        """The guest selects the file, to read or to write: what it holds then.

        The device forgets `control`, but neither status nor addresses.
        """
        control = Control.DISABLE if self.is_locked else 0
        self.fields = self.fields._replace(version=VERSION, capabilities=Control.IGVM, control=control)
        return encode(self.fields)

    def write(self, data: bytes, read_memory: ReadMemory) -> bytes:
        """The guest has written the whole file; what it holds afterwards. Raises `FormatError` for another size.

        A locked device answers status 0 to everything, and takes nothing: so a write was successful only where address
        and size are zeros afterwards, too.
        """
        fields = decode(data)
        self.fields = fields._replace(status=Status.DONE)
        has_image = bool(fields.image_address or fields.image_size)

        if self.is_locked:
            return encode(self.fields)
        if fields.control & Control.DISABLE:
            self.is_locked = True  # An image in the same write is not loaded, whatever the specification says.
            return encode(self.fields)
        if fields.control & Control.HOST_IGVM and not has_image:
            self.restores_host_file = True
            return encode(self.fields)

        status = Status.DONE
        if fields.control & Control.IGVM:
            status = self._load(read_memory)
        elif has_image:
            status = Status.LOAD_FAILED
        self.fields = self.fields._replace(status=status)
        if status is Status.DONE:
            self.fields = self.fields._replace(image_address=0, image_size=0)
        return encode(self.fields)

    def _load(self, read_memory: ReadMemory) -> Status:
        """Take the image where it can be read and parsed; there is no limit to its size but the guest's memory."""
        if self._host_file is None:
            return Status.NOT_STARTED_FROM_IGVM
        address, size = self.fields.image_address, self.fields.image_size
        image = read_memory(address, size) if address and size else None
        if image is None or not can_be_parsed(image):
            return Status.LOAD_FAILED
        self.file = image
        return Status.DONE

    def reset(self) -> bytes | None:
        """The machine resets: the file that it starts from; None for a host without files.

        Restoring the host's file opens the lock, which the specification's case D says otherwise.
        """
        if self.restores_host_file:
            self.file = self._host_file
            self.restores_host_file = self.is_locked = False
            self.fields = self.fields._replace(control=self.fields.control & ~Control.HOST_IGVM)
        if self.fields.control & Control.HOST_IGVM and self.fields.status == Status.DONE:
            self.restores_host_file = True  # at the reset after this one
        return self.file


def can_be_parsed(image: bytes) -> bool:
    """Whether the device takes an image: it looks at no more than the headers and their checksum."""
    try:
        return igvm.decode(Reader.of(image)) is not None
    except FormatError:
        return False
