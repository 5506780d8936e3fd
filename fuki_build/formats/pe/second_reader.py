"""PE headers as pefile reads them, held against our own reading.

Programs that read one image in two ways are how signed images go wrong: what one verifies, another does not load.
pefile shares no code with `pe`, and reads as a loader of Windows does.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from fuki_build.formats.pe.pe import HEAD_SIZE, Directory, PeHeaders, SectionHeader
from fuki_build.formats.reader import Reader

MAX_SECTIONS = 8192
"""Of all images that one command reads again: pefile takes a tenth of a millisecond for each."""

_COFF: Mapping[str, str] = {
    "Machine": "machine",
    "NumberOfSections": "number_of_sections",
    "SizeOfOptionalHeader": "size_of_optional_header",
    "Characteristics": "characteristics",
}
_OPTIONAL: Mapping[str, str] = {
    "Magic": "magic",
    "AddressOfEntryPoint": "address_of_entry_point",
    "ImageBase": "image_base",
    "SectionAlignment": "section_alignment",
    "FileAlignment": "file_alignment",
    "SizeOfImage": "size_of_image",
    "SizeOfHeaders": "size_of_headers",
    "CheckSum": "checksum",
    "Subsystem": "subsystem",
    "DllCharacteristics": "dll_characteristics",
    "NumberOfRvaAndSizes": "number_of_directories",
}
"""The specification's names of fields, which are pefile's, and ours."""

_MEANINGLESS = (
    "extremely large > 256MiB",  # initrds and firmware may be
    "VirtualAddress is beyond 0x10000000",  # what stands behind them
    "cannot run under Windows 8",
    "AddressOfEntryPoint lies outside the sections' boundaries",  # addons need none; for others there is a rule
    "Both IMAGE_SCN_MEM_WRITE and IMAGE_SCN_MEM_EXECUTE",  # allowed without NX_COMPAT; with it, there is a rule
)
"""Parts of warnings that say nothing about an EFI image."""


class Difference(Struct, frozen=True):
    """A field that the two readers read differently; `where` is the section or directory, None for a header's field."""

    field: str
    ours: str
    theirs: str
    where: str | None = None

    def __str__(self) -> str:
        return f"{self.field} is {self.ours} to fuki, {self.theirs} to pefile"


class SecondReading(Struct, frozen=True):
    """What pefile says of headers that we have read; with `refusal` it could not read them, and says nothing else."""

    differences: tuple[Difference, ...] = ()
    warnings: tuple[str, ...] = ()
    refusal: str | None = None

    @property
    def dispute(self) -> str | None:
        """What the readers disagree about first, if they do."""
        if self.refusal is not None:
            return f"pefile has not read its headers: {self.refusal}"
        return str(self.differences[0]) if self.differences else None


class _Head:
    """A file's first bytes with the size of all of it: what pefile is to read.

    It slices up to the first section wherever that is, so from a file or a mapping it might copy gigabytes.
    """

    def __init__(self, head: bytes, file_size: int) -> None:
        self._head = head
        self._file_size = file_size

    def __len__(self) -> int:
        return self._file_size

    def __getitem__(self, index: slice) -> bytes:
        return self._head[index]


class SecondReader:
    """Reads with pefile what `pe.decode` has read of an image and of those inside, up to `MAX_SECTIONS` in all."""

    def __init__(self) -> None:
        self._remaining = MAX_SECTIONS

    def read(self, headers: PeHeaders, file: Reader) -> SecondReading:
        """Read the headers of `file` again. Raises nothing but what reading the file does."""
        self._remaining -= len(headers.sections)
        if self._remaining < 0:
            return SecondReading(refusal=f"the image, and those inside, have more than {MAX_SECTIONS} sections")
        return read_again(headers, file.read_at(0, HEAD_SIZE), file.size)


def read_again(headers: PeHeaders, head: bytes, file_size: int) -> SecondReading:
    """Read headers with pefile that `pe.decode` has read from the same `head` and `file_size`. Never raises."""
    import pefile  # noqa: PLC0415 - it takes a tenth of a second to load, and only finished images need it

    try:
        # Of data that it was given, nothing is open afterwards; its `close` would collect all of Python's garbage.
        other = pefile.PE(data=_Head(head, file_size), fast_load=True)
        differences = tuple(_differences(headers, other))
        warnings = tuple(dict.fromkeys(other.get_warnings()))
    except Exception as error:  # noqa: BLE001 - pefile raises anything on what it does not expect
        return SecondReading(refusal=f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
    telling = (warning for warning in warnings if not any(part in warning for part in _MEANINGLESS))
    return SecondReading(differences, tuple(" ".join(warning.split()) for warning in telling))


def _differences(headers: PeHeaders, other: Any) -> Iterator[Difference]:  # noqa: ANN401 - pefile has no types
    for names, ours, theirs in (
        (_COFF, headers.coff, other.FILE_HEADER),
        (_OPTIONAL, headers.optional, other.OPTIONAL_HEADER),
    ):
        for field, attribute in names.items():
            yield from _compare(field, getattr(ours, attribute), getattr(theirs, field))

    directories = [Directory(d.VirtualAddress, d.Size) for d in other.OPTIONAL_HEADER.DATA_DIRECTORY]
    yield from _compare("the number of data directories", len(headers.directories), len(directories))
    for index, (mine, directory) in enumerate(zip(headers.directories, directories, strict=False)):
        where = f"data directory {index}"
        yield from _compare("VirtualAddress", mine.address, directory.address, where)
        yield from _compare("Size", mine.size, directory.size, where)

    # pefile sorts sections by address; their headers tell where they stand in the table.
    sections = sorted(other.sections, key=lambda section: section.get_file_offset())
    yield from _compare("the number of sections", len(headers.sections), len(sections))
    for header, section in zip(headers.sections, sections, strict=False):
        yield from _section_differences(header, section)


def _section_differences(header: SectionHeader, section: Any) -> Iterator[Difference]:  # noqa: ANN401
    where = header.name
    name = section.Name.rstrip(b"\0").decode("ascii", "backslashreplace")
    if header.name != name:
        yield Difference("Name", header.name, name, where)

    yield from _compare("VirtualSize", header.virtual_size, section.Misc_VirtualSize, where)
    yield from _compare("VirtualAddress", header.virtual_address, section.VirtualAddress, where)
    yield from _compare("SizeOfRawData", header.raw_size, section.SizeOfRawData, where)
    # As it stands there, which is how EFI firmware takes it; pefile has the rounded one too, for loaders of Windows.
    yield from _compare("PointerToRawData", header.raw_offset, section.PointerToRawData, where)
    yield from _compare("Characteristics", header.flags, section.Characteristics, where)


def _compare(field: str, ours: int, theirs: int, where: str | None = None) -> Iterator[Difference]:
    if ours != theirs:
        yield Difference(field, f"{ours:#x}", f"{theirs:#x}", where)
