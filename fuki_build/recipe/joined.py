"""Profiles that were built as images of their own: read, and joined to what a recipe says of the same profile."""

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from fuki_build.errors import FormatError, RecipeError, raised_as
from fuki_build.formats.pe import pe
from fuki_build.formats.pe.pe import HEAD_SIZE
from fuki_build.formats.uki import env_file, hwids
from fuki_build.formats.uki.hwids import Device
from fuki_build.image.blob import Blob
from fuki_build.image.inspect import inspect
from fuki_build.image.kernel import Kernel
from fuki_build.image.section import MATCHED, STUB_OWN, Section
from fuki_build.recipe.caller import JoinedProfile
from fuki_build.recipe.contents import ResolvedContents

_MAX_TEXT = 64 * 1024
_UPSTREAM = frozenset(
    (
        ".linux", ".osrel", ".cmdline", ".initrd", ".efifw", ".ucode", ".splash", ".dtb", ".uname", ".sbat", ".profile",
    )
)  # fmt: skip
"""What ukify 262.1 takes over; it drops what else there is."""


def read_profile(
    path: Path, *, number: int, like_upstream: bool, without: frozenset[str] = frozenset()
) -> JoinedProfile:
    """The profile in an image that has one and nothing before it; `.pcrsig`, which no longer holds, is left out.

    `like_upstream` takes the sections that ukify takes, and no others; `without` are left out besides. A profile
    without an id gets one from its number. Raises `FukiError`.
    """
    layout = inspect(path)
    upstream = [section for section in layout.plain_sections if section.name in _UPSTREAM]
    if not upstream or upstream[0].name != ".profile":
        first = upstream[0].name if upstream else "nothing"
        hint = "build it with --profile on the addon stub, without a kernel"
        raise RecipeError(f"a profile begins with .profile, {path} with {first}", hint=hint)
    if sum(section.name == ".profile" for section in upstream) > 1:
        raise RecipeError(f"there is more than one profile in {path}")
    taken = upstream if like_upstream else [s for s in layout.plain_sections if s.name not in {*STUB_OWN, ".pcrsig"}]
    sections = tuple(section for section in taken if section.name not in without)
    return JoinedProfile(profile_id(upstream[0].content, str(path)) or f"{number}", sections)


def profile_id(text: Blob, where: str) -> str:
    """The ID of a `.profile`; empty where it has none."""
    with raised_as(RecipeError, where):
        return env_file.decode(text.read_small(_MAX_TEXT, "the .profile")).get("ID", "")


def join_sections(own: ResolvedContents, joined: Sequence[Section], number: int, where: str) -> ResolvedContents:
    """A profile's sections with those of an image: these stand, and of the recipe's what they leave open.

    Hardware ids of both are one table; firmware and devicetrees of both are there.
    """
    if not joined:
        return own

    names = {section.name for section in joined} - set(MATCHED)
    more = [section for section in own.sections if section.name not in names]

    sections = [
        replace(
            _with_devices(section, own, where) if section.name == ".hwids" else section,
            source="--join-profile",
            profile=number,
        )
        for section in joined
    ]

    return ResolvedContents((*sections, *more), _kernel(joined, where) or own.kernel)


def _with_devices(section: Section, own: ResolvedContents, where: str) -> Section:
    tables = [s.content for s in own.sections if s.name == ".hwids"]
    if not tables:
        return section
    with raised_as(RecipeError, where, of=FormatError):
        devices = [*_devices(section.content), *(device for table in tables for device in _devices(table))]
        return replace(section, content=Blob.of_bytes(hwids.encode(devices)))


def _devices(table: Blob) -> Sequence[Device]:
    return hwids.group(hwids.decode(table.read_small(hwids.MAX_SIZE, "the .hwids")))


def _kernel(sections: Sequence[Section], where: str) -> Kernel | None:
    content = next((section.content for section in sections if section.name == ".linux"), None)
    if content is None:
        return None
    try:
        headers = pe.decode(content.read_at(0, HEAD_SIZE), content.size)
    except FormatError:
        headers = None
    return Kernel(path=Path(".linux"), content=content, headers=headers, sbat=b"", packed_sha256=None, where=where)
