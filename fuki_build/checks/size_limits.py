"""Rules about room: in the header, in sections that already exist, and in the firmware that loads the image."""

from fuki_build.formats.pe import pe
from fuki_build.hooks.rules import CheckSubject, Problem, Problems, Rule, Severity

_TWO_GIB = 2 * 1024**3


def header_room(subject: CheckSubject) -> Problems:
    headers = subject.layout.headers
    end = headers.section_table_offset + len(headers.sections) * pe.SECTION_HEADER_SIZE
    first = min((s.raw_offset for s in headers.sections if s.raw_size), default=end)
    missing = end - min(headers.optional.size_of_headers, first)
    if missing > 0:
        count = -(-missing // pe.SECTION_HEADER_SIZE)
        yield Problem(
            f"{len(headers.sections)} section headers do not fit into the header, by {count}",
            hint="use fewer sections, or a stub with more room (262 has 497 free slots)",
        )


def image_size(subject: CheckSubject) -> Problems:
    layout = subject.layout
    size = max(layout.file_size, layout.headers.optional.size_of_image)
    if size >= _TWO_GIB:
        yield Problem(f"the image has {size} bytes", hint="make the initrd smaller, or move content to the disk")


def sbat_room(subject: CheckSubject) -> Problems:
    headers = [placed.header for placed in subject.layout.sections]
    for placed in subject.layout.sections:
        if placed.name != ".sbat":
            continue

        # What follows in memory bounds the section too, not only its part of the file.
        address, size = placed.header.virtual_address, placed.header.virtual_size
        behind = [h.virtual_address - address for h in headers if h.virtual_address > address]
        room = min([placed.header.raw_size, *behind])

        if size > room:
            yield Problem(
                f"the SBAT table has {size} bytes, the stub has room for {room}",
                where=".sbat",
                hint="use a stub with more room (262 has 1024 bytes), or the shortest component, in [fuki.image]: "
                'sbat = ["uki,1,UKI,uki,1,-"]',
            )


def section_room(subject: CheckSubject) -> Problems:
    for placed in subject.layout.sections:
        size, room = placed.section.content.size, placed.header.raw_size
        if placed.name != ".sbat" and size > room:
            yield Problem(
                f"the content has {size} bytes, the stub's own section of that name has room for {room}",
                where=placed.name,
                hint="use a stub without that section, as systemd's are",
            )


RULES = (
    Rule(
        id="header-size",
        severity=Severity.ERROR,
        summary="All section headers fit between the section table and SizeOfHeaders",
        explanation="Section headers can only stand in the room that the stub's linker left before the first "
        "section's data. What does not fit cannot be written.",
        check=header_room,
    ),
    Rule(
        id="image-size",
        severity=Severity.ERROR,
        summary="The image is smaller than 2 GiB",
        explanation="EFI firmware has been seen refusing images of 2 GiB and more, and all firmware loads the whole "
        "image into memory below 4 GiB before it starts it.",
        check=image_size,
    ),
    Rule(
        id="section-room",
        severity=Severity.ERROR,
        summary="Content fits where the stub has a section of that name",
        explanation="What the stub has already is replaced in place, as its .sbat is, so that there is one section of "
        "a name.",
        check=section_room,
    ),
    Rule(
        id="sbat-size",
        severity=Severity.ERROR,
        summary="The SBAT table fits where the stub has its own",
        explanation="A UKI's .sbat replaces the stub's in place. Its size is bounded by that section's size in the "
        "file, and by the address of the next section: those of systemd 252 stand only 256 bytes apart.",
        check=sbat_room,
    ),
)
