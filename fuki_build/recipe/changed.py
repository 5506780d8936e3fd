"""A recipe with a base image: what it changes, and the image that comes of it."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from fuki_build.errors import FormatError, RecipeError, raised_as
from fuki_build.formats.pe.pe import CoffMachine
from fuki_build.formats.uki import pcrsig, sbat
from fuki_build.hooks.host import PluginHost
from fuki_build.image.blob import Blob
from fuki_build.image.image import Image, ImageKind
from fuki_build.image.image_parts import FROM_BASE
from fuki_build.image.kernel import Kernel, embedded_kernel
from fuki_build.image.plan import shares_blocks
from fuki_build.image.section import HAND_OVER, Section
from fuki_build.image.stub import Stub
from fuki_build.recipe.base_image import WHERE, BaseImage, note_kept
from fuki_build.recipe.base_merge import emptied, merge_sections
from fuki_build.recipe.caller import Caller
from fuki_build.recipe.contents import ResolvedContents, resolve_contents
from fuki_build.recipe.firmware import FirmwareSet, resolve_firmware
from fuki_build.recipe.hand_over import hand_over_program
from fuki_build.recipe.inputs import Inputs
from fuki_build.recipe.load import LoadedRecipe
from fuki_build.recipe.model import ContentTable, ImageTable, ProfileTable, Recipe
from fuki_build.recipe.pcr_policies import with_public_key
from fuki_build.recipe.profile_sections import base_profile, check_unique, profile_section
from fuki_build.recipe.sbat_tables import changed_sbat, sbat_of
from fuki_build.recipe.signing import KernelSigning
from fuki_build.recipe.stubs import find_stub

if TYPE_CHECKING:
    from fuki_build.signing.pcr_policy.kept import KeptPolicies
    from fuki_build.signing.pcr_policy.section import PolicyKey


class ResolvedImage(Struct, frozen=True):
    """An image, and the firmware that the recipe brings to its base and profiles.

    Of a base image, `kept` are the policies of which some may hold, `notes` tell people what is gone.
    """

    image: Image
    firmware: Sequence[FirmwareSet]
    kept: tuple["KeptPolicies", ...] = ()
    notes: tuple[str, ...] = ()


def profile_names(recipe: Recipe, base: BaseImage | None) -> tuple[str, ...]:
    """The ids by which a recipe may name the profiles of its image, by number; none for an image without profiles."""
    if base is None:
        return (recipe.image.id, *(profile.id for profile in recipe.profile)) if recipe.profile else ()
    names = [str(profile.number) if profile.id is None else profile.id for profile in base.profiles]
    if recipe.profile and not names:
        names = [recipe.image.id]
    return (*names, *(profile.id for profile in recipe.profile if profile.id not in names))


def resolve_changed(
    loaded: LoadedRecipe,
    base: BaseImage,
    host: PluginHost,
    inputs: Inputs,
    kernels_to_sign: KernelSigning,
    policies: Sequence["PolicyKey"],
) -> ResolvedImage:
    """The base image with what the recipe makes in place of it. Raises `RecipeError`."""
    changed = _Change(loaded, base, host, inputs, kernels_to_sign).image(policies)
    resolved = _without_stale(changed, base, policies)
    note_kept(base, resolved.image.sections, inputs, stub=resolved.image.stub is base.stub)
    return resolved


def _without_stale(changed: ResolvedImage, base: BaseImage, keys: Sequence["PolicyKey"]) -> ResolvedImage:
    """The image without policies of the base that do not hold any more, or that the recipe makes anew."""
    image = changed.image
    policies = [section for section in image.sections if section.name == pcrsig.SECTION]
    if not policies:
        return changed
    from fuki_build.signing.pcr_policy.kept import keep_policies  # noqa: PLC0415 - cryptography is slow to load

    # Profiles, or the base of an image that has none, whose policies are made anew.
    profiles = {section.profile for section in image.sections if section.name == ".profile"} or {None}
    anew = {profile for profile in profiles if any(key.request.covers(profile) for key in keys)}
    own = {section.profile for section in policies if section.source != FROM_BASE}
    change = keep_policies(image, base.layout, base.numbers, own | anew)

    sections = [
        section
        for section in change.image.sections
        if section.name != pcrsig.SECTION or section.source != FROM_BASE or section.profile not in anew
    ]
    notes = [*changed.notes, *change.notes]
    if any(section.source == FROM_BASE and section.profile in anew for section in policies):
        notes.append("policies of the base are left out where the recipe makes them anew")
    return ResolvedImage(replace(image, sections=tuple(sections)), changed.firmware, change.kept, tuple(notes))


class _Change:
    def __init__(
        self, loaded: LoadedRecipe, base: BaseImage, host: PluginHost, inputs: Inputs, kernels_to_sign: KernelSigning
    ) -> None:
        self._recipe = loaded.recipe
        self._caller = loaded.caller or Caller()
        self._base = base
        self._host = host
        self._inputs = inputs
        self._kernels_to_sign = kernels_to_sign
        self._kernels: list[Kernel] = []
        self._notes: list[str] = []
        if self._caller.outputs_beside:
            hint = "use 'fuki edit' on the image that it makes"
            raise RecipeError("a call of ukify makes an image, and changes none", where=WHERE, hint=hint)

    def image(self, policies: Sequence["PolicyKey"]) -> ResolvedImage:
        recipe, base, inputs = self._recipe, self._base, self._inputs
        table = recipe.image
        firmware = [resolve_firmware(recipe.firmware, None, inputs, self._host, "fuki.firmware")]
        own = resolve_contents(table, firmware[0], None, inputs, "fuki.image")
        own = ResolvedContents(tuple(with_public_key(own.sections, policies)), own.kernel)
        stub = self._stub(table, own.kernel)

        sections = self._slice(own, table, None)
        revocable = self._sbat(table, stub, own.kernel, None, "fuki.image")
        if revocable is not None:
            if any(header.name == ".sbat" for header in stub.headers.sections):
                # There is room for one in the stub; a base that had none may have it behind.
                sections = [*(section for section in sections if section.name != ".sbat"), revocable]
            else:
                sections = merge_sections(sections, [revocable])
        if recipe.hand_over is not None:
            sections = merge_sections(sections, [hand_over_program(recipe.hand_over, stub, self._host)])

        sections += self._profiles(firmware)

        kinds = {section.name for section in sections}
        if base.layout.kind is ImageKind.UKI and ".linux" not in kinds:
            hint = "give another one with linux, which takes the place of the old"
            raise RecipeError("the image has no kernel", where="fuki.image.linux", hint=hint)
        image = Image(
            kind=ImageKind.UKI if ".linux" in kinds else ImageKind.ADDON,
            name=recipe.name,
            machine=CoffMachine(stub.headers.coff.machine),
            stub=stub,
            sections=tuple(sections),
            kernels=tuple(self._kernels),
            share_blocks=table.share_blocks or shares_blocks(base.layout),
        )
        if base.layout.certificate_table.size:
            self._notes.append(f"the signatures of {base.stub.path} are left out, they are not for the new image")
        return ResolvedImage(image, firmware, notes=tuple(self._notes))

    def _stub(self, table: ImageTable, kernel: Kernel | None) -> Stub:
        """The base's stub, or the one that the recipe gives in its place."""
        base = self._base
        name = base.stub.headers.machine_name
        if name not in CoffMachine.__members__:
            raise RecipeError(f"{base.stub.path} is for machine {name}, which no UKI is made for", where=WHERE)
        if table.stub is None:
            if table.arch not in {None, name}:
                raise RecipeError(
                    f"{base.stub.path} is for {name}, the recipe says {table.arch}", where="fuki.image.arch"
                )
            return base.stub

        if base.find(HAND_OVER) is not None and self._recipe.hand_over is None:
            hint = f'leave it out with remove = ["{HAND_OVER}"], or make it anew with [fuki.hand-over]'
            raise RecipeError("the hand-over program of the base starts the base's own stub", where=WHERE, hint=hint)
        program = "systemd-stub" if base.layout.kind is ImageKind.UKI else "systemd-addon"
        given = table if table.arch is not None or kernel is not None else replace(table, arch=name)
        stub = find_stub(given, kernel, self._inputs, program=program)
        if stub.headers.machine_name != name:
            problem = f"{stub.path} is for {stub.headers.machine_name}, the base image for {name}"
            raise RecipeError(problem, where="fuki.image.stub")
        return stub

    def _slice(self, own: ResolvedContents, contents: ContentTable, number: int | None) -> list[Section]:
        """The sections of the base, or of one profile, as they are to be."""
        there = self._base.slices.get(number, ())
        gone = emptied(contents, own.sections)
        merged = merge_sections([section for section in there if section.name not in gone], own.sections)

        kernel = own.kernel or self._old_kernel(number)
        if kernel is None:
            return merged
        self._kernels.append(kernel)
        signed = self._kernels_to_sign.reserve(ResolvedContents(tuple(merged), kernel), number)
        return list(signed.sections)

    def _old_kernel(self, number: int | None) -> Kernel | None:
        section = self._base.find(".linux", number)
        if section is None:
            return None
        return embedded_kernel(Path(f"{self._base.stub.path}:.linux"), section.content, WHERE)

    def _sbat(
        self, contents: ContentTable, stub: Stub, kernel: Kernel | None, number: int | None, where: str
    ) -> Section | None:
        """The `.sbat` of a slice, where something that it is about is another now."""
        base = self._base
        own = base.find(".sbat", number)
        old = own or base.find(".sbat")
        with raised_as(RecipeError, WHERE, of=FormatError):
            table = old.content.read_small(sbat.MAX_SIZE, "its .sbat") if old else base.stub.section(".sbat")

        parts: list[tuple[Sequence[str], Sequence[str]]] = []
        if number is None and stub is not base.stub:
            parts.append(((), sbat_of(stub.section(".sbat"), f"stub {stub.path}")))
        replaced = self._old_kernel(number) if kernel is not None else None
        if kernel is not None:
            lines: Sequence[str] = ()
            if replaced is not None:
                # Of one that cannot be read, nothing can be in the image's table.
                with suppress(RecipeError):
                    lines = sbat_of(replaced.sbat, "the base's kernel")
            parts.append((lines, sbat_of(kernel.sbat, f"kernel {kernel.path}")))

        content = changed_sbat(table, contents, parts, self._inputs, where)
        if content is None and number is None and stub is not base.stub and table:
            content = table
        if content is None or (number is not None and own is None and not contents.sbat):
            return None
        return Section(name=".sbat", content=Blob.of_bytes(content), source=f"{FROM_BASE}, recipe", profile=number)

    def _profiles(self, firmware: list[FirmwareSet]) -> list[Section]:
        """The sections of all profiles, those of the base first."""
        recipe, base = self._recipe, self._base
        check_unique([profile.id for profile in recipe.profile], "fuki.profile", "id")
        tables = {base.number_of(profile.id): index for index, profile in enumerate(recipe.profile)}
        sections: list[Section] = []

        for profile in base.profiles:
            firmware_set = FirmwareSet()
            index = tables.get(profile.number)
            if index is None:
                own = self._slice(ResolvedContents((), None), ContentTable(), profile.number)
            else:
                own, firmware_set = self._profile(recipe.profile[index], profile.number, f"fuki.profile[{index}]")
            if profile.number == 0:
                own = merge_sections(own, self._title_of_first(profile.id))
            sections += own
            _put(firmware, profile.number, firmware_set)

        new = [index for index, table in enumerate(recipe.profile) if base.number_of(table.id) is None]
        if new and not base.profiles:
            sections.append(base_profile(recipe.image, self._caller))
        for number, index in enumerate(new, max(1, len(base.profiles))):
            where = f"fuki.profile[{index}]"
            if not base.profiles and recipe.profile[index].id == recipe.image.id:
                raise RecipeError(
                    f"{recipe.image.id!r} is the id of the base's own profile, @0",
                    where=f"{where}.id",
                    hint="choose another id, or set fuki.image.id",
                )
            own, firmware_set = self._profile(recipe.profile[index], number, where)
            sections += own
            _put(firmware, number, firmware_set)
        return sections

    def _title_of_first(self, known: str | None) -> list[Section]:
        """The `.profile` of `@0`, where the recipe says something of it."""
        table = self._recipe.image
        usual = ImageTable()
        if table.title is None and table.id == usual.id:
            return []
        id_ = table.id if table.id != usual.id or known is None else known
        return [profile_section(id_, table.title, 0, "fuki.image")]

    def _profile(self, table: ProfileTable, number: int, where: str) -> tuple[list[Section], FirmwareSet]:
        """The sections of a profile that the recipe changes or adds, and the firmware that it brings."""
        firmware = resolve_firmware(table.firmware, number, self._inputs, self._host, f"{where}.firmware")
        own = resolve_contents(table, firmware, number, self._inputs, where)

        head: tuple[Section, ...] = ()
        if self._base.find(".profile", number) is None or table.title is not None:
            head = (profile_section(table.id, table.title, number, where),)
        sections = self._slice(ResolvedContents((*head, *own.sections), own.kernel), table, number)

        revocable = self._sbat(table, self._base.stub, own.kernel, number, where)
        return (sections if revocable is None else merge_sections(sections, [revocable])), firmware


def _put(firmware: list[FirmwareSet], number: int, firmware_set: FirmwareSet) -> None:
    """Sets stand in the order of profiles, that of the base first, though its `@0` has a number as well."""
    while len(firmware) <= number:
        firmware.append(FirmwareSet())
    if number:
        firmware[number] = firmware_set
    else:
        firmware[0].declared += firmware_set.declared
        firmware[0].origins.update({f"{fwid}@0": origin for fwid, origin in firmware_set.origins.items()})
