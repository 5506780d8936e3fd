"""Rules about the PE file itself: what firmware loads, and where to."""

from collections.abc import Iterator

from fuki_build.formats.pe import pe
from fuki_build.formats.pe.pe import Directory, SectionHeader
from fuki_build.hooks.rules import CheckSubject, Problem, Problems, Rule, Severity
from fuki_build.image.image import ImageKind

_SECTION_LIMITS = (25, 96)
"""Ascending; where they come from, the rule says."""
_WINDOWS_SECTOR = 512
_REBUILD = "build the image anew; a tool that placed sections at addresses of its own made this one"


def _loaded(subject: CheckSubject) -> Iterator[tuple[SectionHeader, int]]:
    """Each section that takes memory, with how much: firmware loads the whole raw data of one of VirtualSize 0."""
    for header in subject.layout.headers.sections:
        size = header.virtual_size or header.raw_size
        if size:
            yield header, size


def overlap(subject: CheckSubject) -> Problems:
    end, last = 0, ""
    for header, size in sorted(_loaded(subject), key=lambda pair: pair[0].virtual_address):
        if header.virtual_address < end:
            yield Problem(
                f"it begins at {header.virtual_address:#x} in memory, inside {last}, which ends at {end:#x}",
                where=header.name,
                hint=_REBUILD,
            )
        if header.virtual_address + size > end:
            end, last = header.virtual_address + size, header.name


def size_of_image(subject: CheckSubject) -> Problems:
    limit = subject.layout.headers.optional.size_of_image
    for header, size in _loaded(subject):
        if header.virtual_address + size > limit:
            yield Problem(
                f"it ends at {header.virtual_address + size:#x} in memory, SizeOfImage is {limit:#x}",
                where=header.name,
                hint="build the image anew, with a tool that sets SizeOfImage",
            )


def unaligned(subject: CheckSubject) -> Problems:
    alignment = subject.layout.headers.optional.section_alignment
    for header, _ in _loaded(subject):
        if header.virtual_address % alignment:
            yield Problem(
                f"its address {header.virtual_address:#x} is no multiple of SectionAlignment ({alignment:#x})",
                where=header.name,
                hint=_REBUILD,
            )


def offset_unaligned(subject: CheckSubject) -> Problems:
    for header in subject.layout.headers.sections:
        if header.raw_size and header.raw_offset % _WINDOWS_SECTOR:
            yield Problem(
                f"it begins at {header.raw_offset:#x} in the file, which is no multiple of {_WINDOWS_SECTOR}",
                where=header.name,
                hint=_REBUILD,
            )


def virtual_size_zero(subject: CheckSubject) -> Problems:
    if subject.layout.kind is ImageKind.OTHER:
        return
    for header in subject.layout.headers.sections:
        if header.raw_size and not header.virtual_size:
            yield Problem(
                f"its VirtualSize is 0: the stub takes it for absent, with {header.raw_size} bytes in the file",
                where=header.name,
                hint="build the image anew, with a tool that sets VirtualSize",
            )


def inside_headers(subject: CheckSubject) -> Problems:
    limit = subject.layout.headers.optional.size_of_headers
    for header in subject.layout.headers.sections:
        places = {"memory": header.virtual_address, "the file": header.raw_offset} if header.raw_size else {}
        for place, start in places.items():
            if start < limit:
                message = f"it begins at {start:#x} in {place}, inside the headers, which end at {limit:#x}"
                yield Problem(message, where=header.name, hint=_REBUILD)


def _inside_section(subject: CheckSubject, start: int, size: int) -> bool:
    return any(
        header.virtual_address <= start and start + size <= header.virtual_address + length
        for header, length in _loaded(subject)
    )


def entry_point(subject: CheckSubject) -> Problems:
    address = subject.layout.headers.optional.address_of_entry_point
    if subject.layout.kind is not ImageKind.ADDON and not _inside_section(subject, address, 1):
        yield Problem(f"the entry point {address:#x} lies in no section", where="AddressOfEntryPoint")


def relocations(subject: CheckSubject) -> Problems:
    directories = subject.layout.headers.directories
    table = directories[pe.RELOCATION_DIRECTORY] if len(directories) > pe.RELOCATION_DIRECTORY else Directory(0, 0)
    if table.size and not _inside_section(subject, table.address, table.size):
        yield Problem(
            f"the base relocations at {table.address:#x}, {table.size} bytes, lie in no section",
            where="data directory 5",
        )


def no_application(subject: CheckSubject) -> Problems:
    subsystem = subject.layout.headers.optional.subsystem
    if subject.layout.kind is not ImageKind.OTHER and subsystem != pe.SUBSYSTEM_EFI_APPLICATION:
        message = f"its subsystem is {subsystem}, an EFI application has {pe.SUBSYSTEM_EFI_APPLICATION}"
        yield Problem(message, where="Subsystem")


def writable_code(subject: CheckSubject) -> Problems:
    if not subject.layout.headers.optional.dll_characteristics & pe.NX_COMPAT:
        return
    both = pe.SCN_WRITE | pe.SCN_EXECUTE
    for header, _ in _loaded(subject):
        if header.flags & both == both:
            yield Problem("it is both writable and executable, in an image marked NX_COMPAT", where=header.name)


def many_sections(subject: CheckSubject) -> Problems:
    count = len(subject.layout.headers.sections)
    exceeded = [limit for limit in _SECTION_LIMITS if count > limit]
    if exceeded:
        yield Problem(
            f"the image has {count} sections; firmware or loaders are known that refuse more than {exceeded[-1]}",
            where="section table",
            hint="use fewer profiles, devicetrees or firmware images, or try it on each kind of machine",
        )


RULES = (
    Rule(
        id="sections-overlap",
        severity=Severity.ERROR,
        summary="No two sections share memory",
        explanation="Firmware copies section after section to its address, so of two that overlap the later one "
        "stands over the earlier, and what is started or measured is neither. Tools that place sections at fixed "
        "addresses make such images as soon as a kernel or initrd outgrows its place. Source: edk2's BasePeCoffLib, "
        "which does not look.",
        check=overlap,
    ),
    Rule(
        id="size-of-image",
        severity=Severity.ERROR,
        summary="SizeOfImage covers all sections",
        explanation="Firmware reserves SizeOfImage bytes, and refuses to load an image with a section beyond them "
        "(edk2's BasePeCoffLib: Load Error).",
        check=size_of_image,
    ),
    Rule(
        id="section-unaligned",
        severity=Severity.WARNING,
        summary="Every section's address is a multiple of SectionAlignment",
        explanation="The PE specification asks for it. Firmware that protects memory page by page, and shim in its NX "
        "mode, refuse other images; edk2's loader starts them.",
        check=unaligned,
    ),
    Rule(
        id="offset-unaligned",
        severity=Severity.WARNING,
        summary="Every section's content begins at a multiple of 512 bytes in the file",
        explanation="EFI firmware takes PointerToRawData as it is, so the image starts. Loaders of Windows, and "
        "programs that read as they do, round it down: they see other content.",
        check=offset_unaligned,
    ),
    Rule(
        id="virtual-size-zero",
        severity=Severity.ERROR,
        summary="Every section with content has a size in memory",
        explanation="The stub takes VirtualSize for the size of a section's content, and one of 0 bytes for absent. "
        "Firmware loads such a section whole, so it is there and nothing uses it.",
        check=virtual_size_zero,
    ),
    Rule(
        id="section-in-headers",
        severity=Severity.ERROR,
        summary="Every section begins behind the headers",
        explanation="Firmware refuses an image whose sections begin inside SizeOfHeaders, in memory or in the file "
        "(edk2's BasePeCoffLib: Unsupported).",
        check=inside_headers,
    ),
    Rule(
        id="entry-point",
        severity=Severity.ERROR,
        summary="The entry point lies in a section",
        explanation="Firmware jumps to AddressOfEntryPoint, whatever is there. Addons are never started and need none.",
        check=entry_point,
    ),
    Rule(
        id="relocations-outside",
        severity=Severity.ERROR,
        summary="The base relocations lie in a section",
        explanation="Firmware that cannot load the image at its ImageBase, which is nearly always so, applies the base "
        "relocations, and refuses an image whose table lies outside it (edk2's BasePeCoffLib: Load Error).",
        check=relocations,
    ),
    Rule(
        id="not-an-application",
        severity=Severity.ERROR,
        summary="The image is an EFI application",
        explanation="Firmware starts images of subsystem 10. It unloads drivers once they return, and refuses other "
        "programs.",
        check=no_application,
    ),
    Rule(
        id="writable-code",
        severity=Severity.WARNING,
        summary="An image marked NX_COMPAT has no section that is writable and executable",
        explanation="NX_COMPAT promises that the image runs with memory that is either writable or executable. "
        "Firmware that enforces it, and shim in its NX mode, refuse such a section.",
        check=writable_code,
    ),
    Rule(
        id="section-count",
        severity=Severity.NOTE,
        summary="The image has no more sections than firmware is known to load",
        explanation="UEFI knows no limit, and edk2 has none. A firmware of American Megatrends (5.12) refuses more "
        "than 25 sections with an access violation (systemd/particleos pull request 44), and Windows' loader, like "
        "the stub before systemd 258, more than 96 (systemd pull request 35944).",
        check=many_sections,
    ),
)
