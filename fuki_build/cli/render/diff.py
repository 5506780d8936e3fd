"""The differences of two images on standard output."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from fuki_build.cli.render.plain import plain
from fuki_build.cli.render.sizes import human_size
from fuki_build.cli.render.table import StandardOutput, TextTable
from fuki_build.report.differences.views import (
    ComponentDifference,
    ContentView,
    ImageDifferences,
    RegisterDifference,
    SelectedView,
)

_MAX_MACHINES = 3
_Row = tuple[str, ...]
IMAGE_COLUMNS = ("", "Image", "Kind", "Stub", "Size", "Signature", "SHA-256")


class Part(NamedTuple):
    """A table of one kind of difference."""

    title: str
    columns: Sequence[str]
    rows: Sequence[_Row]


def show_differences(document: ImageDifferences) -> None:
    """Both images, then a table for each kind of thing that differs, and the registers that do not."""
    console = StandardOutput()
    _table(console, IMAGE_COLUMNS, images(document))

    for part in parts(document):
        if part.rows:
            console.print()
            console.print(part.title, bold=True)
            _table(console, part.columns, part.rows)

    if not document.identical:
        console.print()
    for line in remarks(document):
        console.print(plain(line))


def _table(console: StandardOutput, columns: Sequence[str], rows: Iterable[_Row]) -> None:
    table = TextTable(*columns)
    for row in rows:
        table.add_row(*row)
    console.table(table)


def images(document: ImageDifferences) -> Iterator[_Row]:
    """A row for each image, under `IMAGE_COLUMNS`."""
    for name, image in (("old", document.old), ("new", document.new)):
        stub = f"{image.stub.program} {image.stub.version}" if image.stub else ""
        kind = f"{image.kind} for {image.arch}"
        yield name, image.image, kind, stub, human_size(image.file_size), image.signature, image.sha256


def parts(document: ImageDifferences) -> Iterator[Part]:
    """The tables of what differs, those without rows among them."""
    yield from _content_parts(document)
    yield from _boot_parts(document)
    yield from _trust_parts(document)


def _content_parts(document: ImageDifferences) -> Iterator[Part]:
    contents = "Old size", "New size", "Old SHA-256", "New SHA-256"
    profiles = [(_at(p.number), p.id or "", p.title or "", p.change.value) for p in document.profiles]

    sections = [
        (_at(s.profile), s.name, s.fwid or s.compatible or "", s.change.value, *_contents(s.old, s.new))
        for s in document.sections
    ]

    firmware = [
        (_at(f.profile), f.fwid or "", f.change.value, _what(f.old, f.new), *_contents(f.old, f.new))
        for f in document.firmware
    ]

    yield Part("Profiles", ("Profile", "Id", "Title", "Change"), profiles)
    yield Part("Sections", ("Profile", "Section", "Of", "Change", *contents), sections)
    yield Part("Texts", ("Profile", "Section", "Change", "Text"), list(_texts(document)))
    yield Part("Firmware", ("Profile", "Firmware", "Change", "What", *contents), firmware)


def _boot_parts(document: ImageDifferences) -> Iterator[Part]:
    selections = [
        (_named(s.machines), " ".join(map(_at, s.profiles)), _selected(s.old), _selected(s.new))
        for s in document.selections
    ]

    registers = list(_registers(document.registers))
    launches = [
        (x.fwid, _at(x.profile), x.technology, x.register, x.case, x.old or "-", x.new or "-")
        for x in document.launches or ()
    ]

    launch_columns = "Firmware", "Profile", "Technology", "Register", "Case", "Old", "New"
    yield Part("Selections", ("Machines", "Profile", "Old", "New"), selections)
    yield Part("Registers", ("Profile", "PCR", "Bank", "With", "Old", "New"), registers)
    yield Part("Launch measurements", launch_columns, launches)


def _trust_parts(document: ImageDifferences) -> Iterator[Part]:
    components = [(c.component, _number(c.old), _number(c.new), _direction(c)) for c in document.sbat]
    signatures = [(s.of, s.change.value, s.signer, s.fingerprint) for s in document.signatures]

    policies = [
        (
            _at(p.profile),
            _selected(SelectedView(p.fwid, p.compatible)),
            p.change.value,
            p.fingerprint[:16],
            " ".join(phase or "none" for phase in p.phases),
            " ".join(p.banks),
        )
        for p in document.policies
    ]

    yield Part("SBAT", ("Component", "Old", "New", "Change"), components)
    yield Part("Signatures", ("Of", "Change", "Signer", "Certificate SHA-256"), signatures)
    yield Part("PCR policies", ("Profile", "With", "Change", "Key", "Phases", "Banks"), policies)


def _contents(old: ContentView | None, new: ContentView | None) -> _Row:
    sizes = tuple(human_size(side.size) if side else "-" for side in (old, new))
    return *sizes, *(side.sha256 if side else "-" for side in (old, new))


def _what(old: ContentView | None, new: ContentView | None) -> str:
    words = [side.what for side in (old, new) if side]
    return " -> ".join(dict.fromkeys(words))


def _texts(document: ImageDifferences) -> Iterator[_Row]:
    for text in document.texts:
        at = _at(text.profile), text.section
        for change, pieces in (("removed", text.removed), ("added", text.added)):
            yield from ((*at, change, piece) for piece in pieces)
        if not text.removed and not text.added:
            yield *at, "changed", "(the order, or the space between)"


def _registers(registers: Sequence[RegisterDifference]) -> Iterator[_Row]:
    """Those that differ, and of PCR 11 the value before any phase alone, as all others follow from it."""
    for row in registers:
        if row.same is None and row.phase is None:
            yield _at(row.profile), str(row.pcr), "", _with(row), "cannot be told:", row.unknown
        elif row.same is False and row.phase is None:
            for bank, value in row.new.items():
                if row.old.get(bank) != value:
                    yield _at(row.profile), str(row.pcr), bank, _with(row), row.old[bank], value


def _with(row: RegisterDifference) -> str:
    if row.selected_from_new is None or row.selected_from_old is None:
        return ""
    old, new = _selected(row.selected_from_old), _selected(row.selected_from_new)
    words = new if old == new else f"{old} -> {new}"
    return f"{words} ({_named(row.machines)})" if row.machines else words


def remarks(document: ImageDifferences) -> Iterator[str]:
    """What no table tells, a line each."""
    if document.identical:
        yield "The images are the same, byte for byte."
        return

    old, new = document.old.file_size, document.new.file_size
    yield f"Size: {old} bytes, now {new} ({new - old:+d})"

    if document.unpredicted:
        yield f"Registers are not compared: {document.unpredicted}"
    elif stay := _unchanged(document.registers):
        yield f"Registers that stay in every case: {', '.join(f'PCR {number}' for number in stay)}"
    if document.uncovered:
        yield f"PCR policies are not compared: {document.uncovered}"
    if document.sbat_flaw:
        yield f"The new image's .sbat cannot be read: {document.sbat_flaw}"
    if not any(part.rows for part in parts(document)):
        yield "Nothing that is compared differs: the files do in headers, addresses or padding."


def _unchanged(registers: Sequence[RegisterDifference]) -> Sequence[int]:
    numbers = sorted({row.pcr for row in registers})
    return [number for number in numbers if all(row.same for row in registers if row.pcr == number)]


def _selected(selected: SelectedView) -> str:
    return " and ".join(filter(None, (selected.fwid, selected.compatible))) or "nothing"


def _named(machines: Sequence[str]) -> str:
    more = len(machines) - _MAX_MACHINES
    return ", ".join(machines[:_MAX_MACHINES]) + (f" and {more} more" if more > 0 else "")


def _at(profile: int | None) -> str:
    return "" if profile is None else f"@{profile}"


def _direction(component: ComponentDifference) -> str:
    if component.falls:
        return "lost" if component.new is None else "falls"
    return "added" if component.old is None else "rises"


def _number(generation: int | None) -> str:
    return "-" if generation is None else str(generation)
