from collections.abc import Iterator
from contextlib import suppress
from struct import pack

from fuki_build.errors import FormatError
from fuki_build.formats.confidential import ovmf
from fuki_build.formats.confidential.igvm.data_hobs import DataKind
from fuki_build.image.blob import Blob
from fuki_build.image.unwrapping import unwrap
from fuki_build.image.wrapping import GuestData, WrapSettings, wrap

RESET = bytes.fromhex("0f20c0a8017405e90cffffffe9f1fe90")
DATA = [GuestData(DataKind.KERNEL, Blob.of_bytes(b"kernel"))]


def seeds() -> Iterator[bytes]:
    """The end of a firmware image, and whole files."""
    sev = metadata(b"ASEV", [(0x800000, 0x9000, 1), (0x80D000, 0x1000, 2), (0x80E000, 0x1000, 3)])
    igvm = metadata(
        b"IGVM", [(0x812000, 0x1000, 0x100), (0, 0xC0, 0x101), (0xC0, 16, 0x102), (0x813000, 0x1000, 0x200)]
    )
    yield image(sev, igvm)
    yield image(sev, metadata(b"IGVM", [(0x813000, 0xFFFFF000, 0x200), (0, 0xFFFFF000, 0x100)]))
    yield wrapped(image(sev, igvm))
    yield wrapped(image(sev, metadata(b"IGVM", [])))


def metadata(magic: bytes, sections: list[tuple[int, int, int]]) -> bytes:
    rows = b"".join(pack("<III", *section) for section in sections)
    return pack("<4sIII", magic, 16 + len(rows), 1, len(sections)) + rows


def image(sev: bytes, igvm: bytes) -> bytes:
    """A page of firmware with a GUID table that leads to this metadata."""
    entries = b""
    for guid, distance in ((ovmf.SEV_METADATA, 0x800), (ovmf.IGVM_METADATA, 0x600)):
        entries += pack("<IH16s", distance, 22, guid.bytes_le)
    table = entries + pack("<H16s", len(entries) + 18, ovmf.FOOTER.bytes_le)
    page = bytearray(4096)
    page[0x800 : 0x800 + len(sev)] = sev
    page[0xA00 : 0xA00 + len(igvm)] = igvm
    page[4096 - 32 - len(table) : 4096 - 32] = table
    page[-16:] = RESET
    return bytes(page)


def wrapped(firmware: bytes) -> bytes:
    with suppress(FormatError):
        file = wrap(Blob.of_bytes(firmware), WrapSettings(), DATA)
        return file.read_at(0, file.size)
    file = wrap(Blob.of_bytes(firmware), WrapSettings())
    return file.read_at(0, file.size)


def run(data: bytes) -> None:
    firmware = Blob.of_bytes(bytes(-len(data) % 4096) + data)
    for settings, pieces in ((WrapSettings(), ()), (WrapSettings(snp_parameters=True), DATA)):
        with suppress(FormatError):
            unwrapped = unwrap(wrap(firmware, settings, pieces))
            assert unwrapped is not None
            assert unwrapped.firmware.read_at(0, unwrapped.firmware.size) == firmware.read_at(0, firmware.size)
    unwrap(Blob.of_bytes(data))
