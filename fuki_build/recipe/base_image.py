"""`base` of `[fuki.image]`: a finished image of anyone's, and what a recipe leaves out of it."""

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from fuki_build.errors import FormatError, FukiError, RecipeError, raised_as
from fuki_build.formats.uki import hwids
from fuki_build.formats.uki.hwids import DeviceType
from fuki_build.image.addresses import SectionAddress, find_sections, key_of, missing_section, parse_address
from fuki_build.image.blob import Blob
from fuki_build.image.image import ImageKind
from fuki_build.image.image_parts import FROM_BASE, take_apart
from fuki_build.image.inspect import read_layout
from fuki_build.image.layout import Layout
from fuki_build.image.profiles import Profile, find_profile, profiles
from fuki_build.image.section import STUB_OWN, Section, by_profile
from fuki_build.image.stub import Stub
from fuki_build.recipe.inputs import Inputs
from fuki_build.recipe.model import ImageTable

WHERE = "fuki.image.base"
_REMOVE = "fuki.image.remove"
_KINDS = {".efifw": DeviceType.UEFI_FW, ".dtbauto": DeviceType.DEVICETREE}


class BaseImage(Struct, frozen=True, kw_only=True):
    """A finished image that a recipe changes: its stub, and what of its sections and profiles is to stay.

    `numbers` has the number in `layout` of each profile, by the number that it has now; None is the sections that all
    profiles share.
    """

    layout: Layout
    stub: Stub
    sections: tuple[Section, ...]
    profiles: tuple[Profile, ...]
    numbers: Mapping[int | None, int | None]

    @property
    def slices(self) -> Mapping[int | None, Sequence[Section]]:
        return by_profile(self.sections)

    def find(self, name: str, profile: int | None = None) -> Section | None:
        """The first section of that name in exactly one slice, which is the one that the stub takes."""
        return next((s for s in self.sections if s.name == name and s.profile == profile), None)

    def number_of(self, text: str) -> int | None:
        """The profile with that id or, where it has none, that number; None where there is none."""
        for profile in self.profiles:
            if text == (str(profile.number) if profile.id is None else profile.id):
                return profile.number
        return None


def read_base(table: ImageTable, inputs: Inputs) -> BaseImage | None:
    """The image that a recipe changes, without what it removes; None where it makes one anew.

    Reads headers, the stub and small sections. Raises `RecipeError`.
    """
    if table.base is None:
        if table.remove:
            hint = 'name it with base = "image.efi", or leave this out'
            raise RecipeError("there is no base image to remove anything from", where=_REMOVE, hint=hint)
        return None

    path = inputs.path(table.base, WHERE)
    file = inputs.blob(path, WHERE)
    try:
        layout = read_layout(file, path)
        _check_kind(layout)
        parts = take_apart(layout)
    except FukiError as error:
        raise RecipeError(
            f"{path} cannot be changed: {error.message}", where=WHERE, hint=error.hint or "build it from its parts"
        ) from error

    removed = [_removed(layout, text, f"{_REMOVE}[{index}]") for index, text in enumerate(table.remove)]
    return _without(layout, parts.stub, parts.sections, removed)


def _check_kind(layout: Layout) -> None:
    if layout.kind is ImageKind.OTHER:
        hint = "a stub is given as stub, a kernel as linux"
        raise FormatError("it is neither a UKI nor an addon", hint=hint)


class _Removal(Struct, frozen=True):
    """A profile, by its number, or the sections at an address."""

    profile: int | None = None
    sections: tuple[Section, ...] = ()


def _removed(layout: Layout, text: str, where: str) -> _Removal:
    if text.startswith("@"):
        with raised_as(RecipeError, where):
            return _Removal(profile=find_profile(layout, text[1:]))

    address = parse_address(text)
    if address is None:
        raise RecipeError(f"{text!r} is not SECTION[:KEY][@PROFILE] or @PROFILE", where=where)
    if address.name in STUB_OWN:
        hint = "another stub is given with stub"
        raise RecipeError(f"{address.name} is the stub's own", where=where, hint=hint)
    if address.name in {".profile", ".sbat"}:
        hint = "a whole profile is @PROFILE" if address.name == ".profile" else "lines are replaced with sbat"
        raise RecipeError(f"{address.name} cannot be removed alone", where=where, hint=hint)

    with raised_as(RecipeError, where):
        sections = find_sections(layout, address)
        if not sections:
            raise missing_section(layout, address)
    return _Removal(sections=tuple(sections))


def _without(layout: Layout, stub: Stub, sections: Sequence[Section], removed: Sequence[_Removal]) -> BaseImage:
    """What stays: profiles that stand behind a removed one move up."""
    gone = {removal.profile for removal in removed if removal.profile is not None}
    known = [profile for profile in profiles(layout) if profile.number not in gone]
    old_numbers: dict[int | None, int | None] = {None: None}
    old_numbers |= {number: profile.number for number, profile in enumerate(known)}
    new_numbers = {old: new for new, old in old_numbers.items()}

    # Sections of the stub come first and are not among `sections`.
    first = len(layout.sections) - len(sections)
    indices = {section.index - first for removal in removed for section in removal.sections}
    kept = [
        replace(section, profile=new_numbers[section.profile])
        for index, section in enumerate(sections)
        if index not in indices and section.profile in new_numbers
    ]

    taken = [section for removal in removed for section in removal.sections]
    return BaseImage(
        layout=layout,
        stub=stub,
        sections=tuple(_without_records(kept, taken)),
        profiles=tuple(replace(profile, number=number) for number, profile in enumerate(known)),
        numbers=old_numbers,
    )


def _without_records(kept: Sequence[Section], taken: Sequence[Section]) -> Sequence[Section]:
    """The sections without the records of `.hwids` that lead to firmware or devicetrees that nothing has any more."""
    there = {(section.name, key_of(section)) for section in kept if section.name in _KINDS}
    keys = {(s.name, key_of(s)) for s in taken if s.name in _KINDS} - there
    dangling = {(_KINDS[name], key) for name, key in keys if key is not None}
    if not dangling:
        return kept

    left = []
    for section in kept:
        if section.name != ".hwids":
            left.append(section)
            continue
        devices = read_devices_of(section)
        rest = [device for device in devices if (device.type, device.key) not in dangling]
        if len(rest) == len(devices):
            left.append(section)
        elif rest:
            left.append(replace(section, content=Blob.of_bytes(hwids.encode(rest))))
    return left


def read_devices_of(section: Section) -> Sequence[hwids.Device]:
    """The devices of a `.hwids` of the base image. Raises `RecipeError`."""
    with raised_as(RecipeError, WHERE, of=FormatError, about="its .hwids cannot be changed"):
        return hwids.group(hwids.decode(section.content.read_small(hwids.MAX_SIZE, "the section")))


def note_kept(base: BaseImage, sections: Sequence[Section], inputs: Inputs, *, stub: bool) -> None:
    """Make inputs of the base image's sections among these, and of its stub's: as a whole, the image is not read."""
    path = base.stub.path
    if stub:
        for header, content in zip(base.stub.headers.sections, base.stub.contents, strict=True):
            own = Blob.of_bytes(content[: header.content_size])
            inputs.note(path, WHERE, own, name=f"{inputs.name(path)}:{header.name}")

    for section in sections:
        if section.source == FROM_BASE:
            number = base.numbers[section.profile]
            address = SectionAddress(section.name, key_of(section), None if number is None else f"{number}")
            inputs.note(path, WHERE, section.content, name=f"{inputs.name(path)}:{address}")
