"""edk2's variable store: the UEFI variables in OVMF_VARS.fd, or in an image that holds code and variables.

Sources: MdePkg/Include/Pi/PiFirmwareVolume.h, MdeModulePkg/Include/Guid/VariableFormat.h, and, for which of several
copies counts, FindVariableEx() in MdeModulePkg/Universal/Variable/RuntimeDxe/VariableParsing.c.
"""

from collections.abc import Iterator
from struct import Struct
from uuid import UUID

import msgspec

from fuki_build.errors import FormatError
from fuki_build.formats.reader import Reader
from fuki_build.formats.uefi import efi_time
from fuki_build.formats.uefi.efi_time import EfiTime

# EFI_FIRMWARE_VOLUME_HEADER up to its block map: zero vector, file system, size, signature, attributes, header size.
_VOLUME = Struct("<16x16sQ4sIH")
_VOLUME_GUID = UUID("fff12b8d-7696-4c8b-a985-2747075b4f50").bytes_le
_VOLUME_ALIGNMENT = 4096
_CHUNK = 64 * 1024
_STORE = Struct("<16sIBB6x")  # GUID, size with this header, format, state
_FORMATTED, _HEALTHY = 0x5A, 0xFE
_ALIGNMENT = 4
_START = 0x55AA
_AUTHENTICATED = Struct("<HBxI8x16s4xII16s")  # start mark, state, attributes, time, name size, data size, vendor
_PLAIN = Struct("<HBxIII16s")  # the same without time
_PLAIN_STORE = UUID("ddcf3616-3275-4164-98b6-fe85707ffe7d")
_AUTHENTICATED_STORE = UUID("aaf32c78-947b-439a-a180-2e144ec37792")
_QCOW2 = b"QFI\xfb"

# A variable's state: each step clears one bit, which flash can do without erasing.
_ADDED = 0x3F
_BEING_REPLACED = 0x3E
_DELETED = 0xFD
_ERASED = b"\xff"
MAX_SIZE = 64 * 1024 * 1024
"""Largest image that is searched, in bytes, and so the largest possible store."""


class StoredVariable(msgspec.Struct, frozen=True, kw_only=True):
    """A variable; `timestamp` is that of the last authenticated write, if any."""

    name: str
    vendor: UUID
    attributes: int
    timestamp: EfiTime
    data: bytes


_NOTHING = StoredVariable(name="", vendor=UUID(int=0), attributes=0, timestamp=efi_time.NONE, data=b"")


def decode(image: Reader) -> tuple[StoredVariable, ...] | None:
    """The variables that firmware would find, in the store's order; None where the image has no store.

    Raises `FormatError` for a damaged store, and for a QEMU disk image.
    """
    place = _find_volume(image)
    return None if place is None else _current(_decode_variables(*_open_store(image, *place)))


def decode_written(image: Reader) -> tuple[StoredVariable, ...]:
    """Every variable that was written completely and not replaced; of repeated names, firmware finds only the first.

    Other programs take the last one; checks that must hold for all of them use this. Errors as in `decode`.
    """
    place = _find_volume(image)
    if place is None:
        return ()
    return tuple(variable for state, variable in _decode_variables(*_open_store(image, *place)) if state == _ADDED)


def assign(image: bytes, variable: StoredVariable) -> bytes:
    """The image with a variable in its store; an existing one of that name and vendor is deleted, as firmware does.

    Raises `FormatError` where there is no store, and where the store lacks space.
    """
    reader = Reader.of(image)
    place = _find_volume(reader)
    if place is None:
        raise FormatError("the image has no UEFI variable store")

    start, _, header_size = place
    store, layout = _open_store(reader, *place)

    # Variables are only appended: an existing one stays, with its state changed.
    changed = bytearray(store)
    end = _align(_STORE.size)
    for at, after, state, existing in _walk(store, layout):
        if state in {_ADDED, _BEING_REPLACED} and (existing.name, existing.vendor) == (variable.name, variable.vendor):
            changed[at + 2] = state & _DELETED
        end = after

    data = _encode_variable(variable, layout)
    if end + len(data) > len(store):
        raise FormatError(f"the variable store has no room for {variable.name}")
    changed[end : end + len(data)] = data

    offset = start + header_size
    return image[:offset] + bytes(changed) + image[offset + len(store) :]


def _encode_variable(variable: StoredVariable, layout: Struct) -> bytes:
    name = (variable.name + "\0").encode("utf-16-le")
    time = (efi_time.encode(variable.timestamp),) if layout is _AUTHENTICATED else ()
    sizes = len(name), len(variable.data)

    head = layout.pack(_START, _ADDED, variable.attributes, *time, *sizes, variable.vendor.bytes_le)
    data = head + name + variable.data
    return data.ljust(_align(len(data)), _ERASED)


def _find_volume(image: Reader) -> tuple[int, int, int] | None:
    """Offset, size and header size of the volume with the store. Raises `FormatError` if the image is unsuitable."""
    if image.read_at(0, len(_QCOW2)) == _QCOW2:
        hint = "convert it: qemu-img convert -O raw"
        raise FormatError("this is a qcow2 image, of which fuki reads only the raw form", hint=hint)

    if image.size > MAX_SIZE:
        raise FormatError(f"an image of {image.size} bytes is too large to hold a variable store")

    for start in range(0, image.size, _CHUNK):
        chunk = image.read_at(start, _CHUNK)
        for at in range(0, len(chunk) - _VOLUME.size, _VOLUME_ALIGNMENT):
            guid, size, magic, _, header_size = _VOLUME.unpack_from(chunk, at)
            if magic == b"_FVH" and guid == _VOLUME_GUID:
                return start + at, size, header_size

    return None


def _open_store(image: Reader, start: int, volume_size: int, offset: int) -> tuple[bytes, Struct]:
    """The store's bytes, and the layout of its variables' headers."""
    if start + volume_size > image.size:
        raise FormatError(f"the volume with the variable store is cut short ({volume_size} bytes at {start:#x})")
    volume = image.window(start, volume_size)

    guid, size, form, state = _STORE.unpack(volume.read(offset, _STORE.size, "the variable store"))
    if (form, state) != (_FORMATTED, _HEALTHY):
        raise FormatError(f"the variable store is not in use (format {form:#04x}, state {state:#04x})")
    if not _STORE.size <= size <= volume.size - offset:
        raise FormatError(f"the variable store claims {size} bytes, its volume has {volume.size - offset} for it")

    store = volume.read(offset, size, "the variable store")
    match UUID(bytes_le=guid):
        case kind if kind == _AUTHENTICATED_STORE:
            return store, _AUTHENTICATED
        case kind if kind == _PLAIN_STORE:
            return store, _PLAIN
        case kind:
            raise FormatError(f"the variable store is of the unknown kind {kind}")


def _current(written: Iterator[tuple[int, StoredVariable]]) -> tuple[StoredVariable, ...]:
    """The valid copies: one whose replacement was not finished counts only while no finished one exists."""
    variables: dict[tuple[str, UUID], tuple[int, StoredVariable]] = {}
    for state, variable in written:
        key = variable.name, variable.vendor
        if state == _ADDED and (key not in variables or variables[key][0] == _BEING_REPLACED):
            variables.pop(key, None)
            variables[key] = state, variable
        elif state == _BEING_REPLACED and key not in variables:
            variables[key] = state, variable

    return tuple(variable for _, variable in variables.values())


def _decode_variables(store: bytes, layout: Struct) -> Iterator[tuple[int, StoredVariable]]:
    """Each variable that was written completely and not deleted, with its state."""
    return ((state, variable) for _, _, state, variable in _walk(store, layout) if state in {_ADDED, _BEING_REPLACED})


def _walk(store: bytes, layout: Struct) -> Iterator[tuple[int, int, int, StoredVariable]]:
    """Each variable's offset, that of the next, state, and content; the content is empty where it does not count.

    Anything without a start mark ends the list.
    """
    at = _align(_STORE.size)

    while at + layout.size <= len(store):
        start, state, attributes, *time, name_size, data_size, vendor = layout.unpack_from(store, at)
        if start != _START:
            return

        name_at = at + layout.size
        data_at = name_at + name_size
        end = data_at + data_size
        if end > len(store):
            raise FormatError(f"the variable at {at:#x} of the store claims {name_size} + {data_size} bytes")

        variable = _NOTHING
        if state in {_ADDED, _BEING_REPLACED}:
            description = f"the variable at {at:#x} of the store"
            name = _decode_name(store[name_at:data_at], description)
            timestamp = efi_time.decode(time[0], 0, description) if time else efi_time.NONE
            variable = StoredVariable(
                name=name,
                vendor=UUID(bytes_le=vendor),
                attributes=attributes,
                timestamp=timestamp,
                data=store[data_at:end],
            )

        yield at, _align(end), state, variable
        at = _align(end)


def _decode_name(data: bytes, description: str) -> str:
    try:
        name, nul, rest = data.decode("utf-16-le").partition("\0")
    except UnicodeDecodeError:
        raise FormatError(f"{description} has a name that is not UTF-16") from None
    if not (name and nul) or rest:
        raise FormatError(f"{description} has a name that is empty, or whose first NUL is not its end")
    return name


def _align(offset: int) -> int:
    return -(-offset // _ALIGNMENT) * _ALIGNMENT
