"""The content keys of an image, profile or addon as sections."""

from msgspec import Struct

from fuki_build.errors import FormatError, RecipeError, raised_as
from fuki_build.formats.uki import hwids, sbat
from fuki_build.image.blob import Blob
from fuki_build.image.kernel import Kernel, read_kernel, release
from fuki_build.image.section import HAND_OVER, IMAGE_ORDER, STUB_MEASURED, STUB_OWN, Section
from fuki_build.recipe.firmware import FirmwareSet
from fuki_build.recipe.hwids import read_devices
from fuki_build.recipe.inputs import Inputs
from fuki_build.recipe.model import ContentTable, InlineText, TextFile
from fuki_build.recipe.text import place_of

_INITRD_ALIGNMENT = 4
"""The kernel wants each of several concatenated archives to start at such an offset."""


class ResolvedContents(Struct, frozen=True):
    """The sections of the base, a profile or an addon, in file order, without `.sbat` and `.profile`."""

    sections: tuple[Section, ...]
    kernel: Kernel | None


def resolve_contents(
    contents: ContentTable, firmware: FirmwareSet, profile: int | None, inputs: Inputs, where: str
) -> ResolvedContents:
    """Everything that `contents` names, as sections whose bytes stay where they are."""
    kernel = _kernel(contents, inputs, where)
    blobs: dict[str, list[tuple[Blob, str]]] = {}

    def add(name: str, blob: Blob, source: str) -> None:
        if blob.size:
            blobs.setdefault(name, []).append((blob, source))

    if kernel:
        add(".linux", kernel.content, contents.linux or "")
    for name, key in ((".splash", "splash"), (".dtb", "dtb"), (".ucode", "ucode")):
        value = getattr(contents, key)
        if value is not None:
            add(name, inputs.file(value, f"{where}.{key}"), value)
    for name, key in ((".osrel", "os_release"), (".pcrpkey", "pcrpkey")):
        value = getattr(contents, key)
        if value is not None:
            add(name, inputs.file_or_text(value, f"{where}.{key.replace('_', '-')}"), _file(value))
    if contents.cmdline is not None:
        add(".cmdline", _cmdline(contents, inputs, where), _text_file(contents.cmdline))
    add(".initrd", *_initrd(contents, inputs, where))
    add(".uname", *_uname(contents, kernel, where))
    for index, path in enumerate(contents.dtbauto):
        add(".dtbauto", inputs.file(path, f"{where}.dtbauto[{index}]"), path)
    add(".hwids", *_hwids(contents, firmware, inputs, where))

    sections = [
        Section(name=name, content=content, source=source, profile=profile)
        for name in IMAGE_ORDER
        for content, source in blobs.get(name, [])
    ]
    sections = _insert_firmware(sections, firmware)
    return ResolvedContents((*sections, *_extra(contents, profile, inputs, where)), kernel)


def _kernel(contents: ContentTable, inputs: Inputs, where: str) -> Kernel | None:
    if contents.linux is None:
        return None
    place = f"{where}.linux"
    path = inputs.path(contents.linux, place)
    content = inputs.blob(path, place)
    with raised_as(RecipeError, place):
        kernel = read_kernel(path, content, inputs.workspace, place)
    inputs.note(path, place, kernel.content, sha256=kernel.packed_sha256)
    return kernel


def _file(value: str | InlineText) -> str:
    return value if isinstance(value, str) else "recipe"


def _text_file(value: str | TextFile) -> str:
    return value.file if isinstance(value, TextFile) else "recipe"


def _cmdline(contents: ContentTable, inputs: Inputs, where: str) -> Blob:
    value = contents.cmdline
    if isinstance(value, TextFile):
        return Blob.of_bytes(inputs.text(value, f"{where}.cmdline"))
    # Line breaks and indentation in a recipe are for its readers, not for the kernel.
    return Blob.of_bytes(" ".join((value or "").split()).encode())


def _initrd(contents: ContentTable, inputs: Inputs, where: str) -> tuple[Blob, str]:
    if isinstance(contents.initrd, str):
        return inputs.file(contents.initrd, f"{where}.initrd"), contents.initrd
    blobs = [inputs.file(path, f"{where}.initrd[{i}]") for i, path in enumerate(contents.initrd)]
    if len(blobs) > 1:
        blobs = [blob + Blob.of_bytes(bytes(-blob.size % _INITRD_ALIGNMENT)) for blob in blobs]
    return sum(blobs, Blob()), ", ".join(contents.initrd)


def _uname(contents: ContentTable, kernel: Kernel | None, where: str) -> tuple[Blob, str]:
    if contents.uname is not None and contents.uname != "auto":
        return Blob.of_bytes(contents.uname.encode()), "recipe"
    if kernel is None:
        return Blob(), ""
    try:
        text = release(kernel) or ""
    except FormatError as error:
        hint = ", or ".join([*([error.hint] if error.hint else []), 'give the release with uname = "…"'])
        message = f"the kernel's release cannot be read: {error.message}"
        raise RecipeError(message, where=f"{where}.linux", hint=hint) from error
    return Blob.of_bytes(text.encode()), contents.linux or ""


def _hwids(contents: ContentTable, firmware: FirmwareSet, inputs: Inputs, where: str) -> tuple[Blob, str]:
    devices = [*read_devices(contents.hwids, inputs, f"{where}.hwids"), *firmware.devices]
    if not devices:
        return Blob(), ""
    names = ", ".join(dict.fromkeys(device.key for device in devices))
    with raised_as(RecipeError, where, of=FormatError):
        return Blob.of_bytes(hwids.encode(devices)), names


def _insert_firmware(sections: list[Section], firmware: FirmwareSet) -> list[Section]:
    place = IMAGE_ORDER.index(".efifw")
    before = [s for s in sections if IMAGE_ORDER.index(s.name) < place]
    return [*before, *firmware.sections, *sections[len(before) :]]


def _extra(contents: ContentTable, profile: int | None, inputs: Inputs, where: str) -> list[Section]:
    taken = {*STUB_MEASURED, *STUB_OWN, HAND_OVER}
    sections = []

    for name, value in contents.sections.items():
        place = place_of(f"{where}.sections", name)
        if name in taken:
            raise RecipeError(
                f"{name} is not a section to name yourself",
                where=place,
                hint="it has a key of its own, or is the stub's",
            )
        sections.append(
            Section(name=name, content=inputs.file_or_text(value, place), source=_file(value), profile=profile)
        )
    return sections


def sbat_lines(contents: ContentTable, default: str, inputs: Inputs, where: str) -> tuple[str, ...]:
    """The recipe's own SBAT components, or the default one."""
    place = f"{where}.sbat"
    if isinstance(contents.sbat, TextFile):
        return _parse_sbat(inputs.text(contents.sbat, place), place)

    lines: list[str] = []
    for index, item in enumerate(contents.sbat or (default,)):
        where_item = (
            f"{place}[{index}]" if contents.sbat and any(isinstance(i, TextFile) for i in contents.sbat) else place
        )
        data = inputs.text(item, where_item)
        lines += _parse_sbat(data if isinstance(item, TextFile) else f"{sbat.HEADER}\n".encode() + data, where_item)

    # Lines of one component may stand in several items.
    return _parse_sbat("\n".join((sbat.HEADER, *lines)).encode(), place)


def _parse_sbat(table: bytes, where: str) -> tuple[str, ...]:
    with raised_as(RecipeError, where, of=FormatError):
        lines = sbat.parse(table)
    for problem in sbat.problems(sbat.decode(table)):
        raise RecipeError(problem, where=where)
    return lines
