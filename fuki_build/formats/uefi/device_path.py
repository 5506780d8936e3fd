"""UEFI device paths as text (UEFI 2.10, 10): the kinds of node that appear in event logs."""

from collections.abc import Callable, Iterator
from struct import Struct
from uuid import UUID

from fuki_build.errors import FormatError
from fuki_build.formats.reader import unpack

_NODE = Struct("<BBH")  # type, subtype, length with this header
_END = 0x7F
_MAX_NODES = 64
_HARD_DRIVE = Struct("<IQQ16sBB")  # partition, start, size, signature, format, kind of signature
_GPT_SIGNATURE = 2


def decode(data: bytes) -> str:
    """The text of a device path, nodes between slashes. Raises `FormatError` for a damaged one."""
    return "/".join(text for kind, subtype, content in _nodes(data) if (text := _text(kind, subtype, content)))


def _nodes(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    for _ in range(_MAX_NODES):
        if at >= len(data):
            return

        kind, subtype, length = unpack(_NODE, data, at, "a device path's node")
        if length < _NODE.size or at + length > len(data):
            raise FormatError(f"a device path's node at {at:#x} claims {length} bytes")

        if kind == _END and subtype == 0xFF:
            return

        yield kind, subtype, data[at + _NODE.size : at + length]
        at += length

    raise FormatError(f"a device path of more than {_MAX_NODES} nodes is beyond belief")


def _text(kind: int, subtype: int, content: bytes) -> str:
    words = _WORDS.get((kind, subtype))
    try:
        return words(content) if words else f"Path({kind},{subtype},{content[:32].hex()})"
    except FormatError:
        return f"Path({kind},{subtype},{content[:32].hex()})"


def _pci(content: bytes) -> str:
    function, device = unpack(Struct("<BB"), content, 0, "a PCI node")
    return f"Pci({device:#x},{function:#x})"


def _memory(content: bytes) -> str:
    kind, start, end = unpack(Struct("<IQQ"), content, 0, "a memory node")
    return f"MemoryMapped({kind:#x},{start:#x},{end:#x})"


def _vendor(content: bytes) -> str:
    (guid,) = unpack(Struct("<16s"), content, 0, "a vendor node")
    return f"Vendor({UUID(bytes_le=guid)})"


def _acpi(content: bytes) -> str:
    hid, uid = unpack(Struct("<II"), content, 0, "an ACPI node")
    return f"PciRoot({uid:#x})" if hid == 0x0A0341D0 else f"Acpi({hid:#010x},{uid:#x})"


def _hard_drive(content: bytes) -> str:
    number, _, _, signature, _, kind = unpack(_HARD_DRIVE, content, 0, "a hard drive node")
    text = str(UUID(bytes_le=signature)) if kind == _GPT_SIGNATURE else signature[:4][::-1].hex()
    return f"HD({number},{text})"


def _file(content: bytes) -> str:
    return content.decode("utf-16-le", "replace").partition("\0")[0]


def _firmware_file(name: str) -> Callable[[bytes], str]:
    def text(content: bytes) -> str:
        (guid,) = unpack(Struct("<16s"), content, 0, "a firmware file's node")
        return f"{name}({UUID(bytes_le=guid)})"

    return text


def _numbers(name: str, layout: str) -> Callable[[bytes], str]:
    def text(content: bytes) -> str:
        values = unpack(Struct(layout), content, 0, "a device path's node")
        return f"{name}({','.join(f'{value:#x}' for value in values)})"

    return text


_WORDS: dict[tuple[int, int], Callable[[bytes], str]] = {
    (1, 1): _pci,
    (1, 3): _memory,
    (1, 4): _vendor,
    (2, 1): _acpi,
    (3, 1): _numbers("Ata", "<BBH"),
    (3, 2): _numbers("Scsi", "<HH"),
    (3, 5): _numbers("USB", "<BB"),
    (3, 10): _vendor,
    (3, 18): _numbers("Sata", "<HHH"),
    (3, 23): _numbers("NVMe", "<IQ"),
    (4, 1): _hard_drive,
    (4, 2): _numbers("CDROM", "<IQQ"),
    (4, 3): _vendor,
    (4, 4): _file,
    (4, 6): _firmware_file("FvFile"),
    (4, 7): _firmware_file("Fv"),
}
