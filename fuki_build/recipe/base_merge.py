"""The one rule by which a recipe changes a base image.

What the recipe makes stands in place of what the base has of the same name: a section of its name in the same profile;
of firmware and devicetrees, which may repeat, the one of the same fwid or compatible string; in `.hwids` the records of
the same fwid or compatible string. An id of hardware that the recipe lists is listed nowhere else. All the rest of the
base stays, in its place.
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from fuki_build.errors import FormatError, RecipeError, raised_as
from fuki_build.formats.uki import hwids, pcrsig
from fuki_build.formats.uki.hwids import Device
from fuki_build.image.addresses import key_of
from fuki_build.image.blob import Blob
from fuki_build.image.section import HAND_OVER, IMAGE_ORDER, MATCHED, Section
from fuki_build.recipe.base_image import WHERE, read_devices_of
from fuki_build.recipe.model import ContentTable

_BEHIND = (".sbat", HAND_OVER, pcrsig.SECTION)
"""What stands behind sections of people's own, in this order."""
_KEYS = {
    "os_release": ".osrel",
    "cmdline": ".cmdline",
    "dtb": ".dtb",
    "uname": ".uname",
    "splash": ".splash",
    "pcrpkey": ".pcrpkey",
    "ucode": ".ucode",
}


def merge_sections(base: Iterable[Section], own: Iterable[Section]) -> list[Section]:
    """The sections of one slice: the recipe's `own` in place of the base's, or where fuki would have put them."""
    merged = list(base)
    for section in own:
        same = [index for index, other in enumerate(merged) if _is_same(section, other)]
        if section.name == ".hwids" and same:
            merged[same[0]] = _with_devices(merged[same[0]], section)
        elif same:
            # The stub takes the first of several; none of the others is to come back.
            merged[same[0]] = section
            for index in reversed(same[1:]):
                del merged[index]
        else:
            merged.insert(_place(merged, section.name), section)
    return merged


def emptied(contents: ContentTable, own: Iterable[Section]) -> frozenset[str]:
    """The sections that a recipe gives, and gives empty: an image does not have them."""
    names = {section.name for section in own}
    given = {name for key, name in _KEYS.items() if getattr(contents, key) is not None}
    if contents.linux is not None:
        # The release of another kernel; it stays unknown where this one's cannot be read.
        given.add(".uname")
    return frozenset(given - names)


def _is_same(one: Section, other: Section) -> bool:
    if one.name != other.name:
        return False
    return one.name not in MATCHED or key_of(one) == key_of(other)


def _place(sections: Sequence[Section], name: str) -> int:
    """Where a section stands that the base does not have: as in an image that fuki makes, which is as in ukify's."""
    rank = _rank(name)
    same = [index for index, section in enumerate(sections) if section.name == name]
    if same:
        return same[-1] + 1
    return next((index for index, section in enumerate(sections) if _rank(section.name) > rank), len(sections))


def _rank(name: str) -> int:
    if name == ".profile":
        return -1
    if name in IMAGE_ORDER:
        return IMAGE_ORDER.index(name)
    return len(IMAGE_ORDER) + (1 + _BEHIND.index(name) if name in _BEHIND else 0)


def _with_devices(base: Section, own: Section) -> Section:
    """One table of both. The base's order is kept, the recipe's devices are behind it."""
    devices = _devices(own)
    keys = {(device.type, device.key) for device in devices}
    ids = {(device.type, chid) for device in devices for chid in device.chids}

    kept = []
    for device in read_devices_of(base):
        left = frozenset(chid for chid in device.chids if (device.type, chid) not in ids)
        if (device.type, device.key) not in keys and left:
            kept.append(replace(device, chids=left))

    with raised_as(RecipeError, WHERE, of=FormatError):
        content = Blob.of_bytes(hwids.encode([*kept, *devices]))
    return replace(own, content=content, source=f"base, {own.source}")


def _devices(section: Section) -> Sequence[Device]:
    return hwids.group(hwids.decode(section.content.read_small(hwids.MAX_SIZE, "the hardware ids")))
