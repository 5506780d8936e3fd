"""Recipe to images: every input found, every section made, nothing placed yet."""

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from fuki_build.errors import RecipeError
from fuki_build.formats.pe.pe import CoffMachine
from fuki_build.formats.uki import sbat
from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.rules import Expectation
from fuki_build.hooks.signers import SigningContext
from fuki_build.hooks.sources import FirmwareFile
from fuki_build.image.blob import Blob
from fuki_build.image.image import Image, ImageKind
from fuki_build.image.section import ADDON_PAYLOAD, MATCHED, Section
from fuki_build.recipe.base_image import read_base
from fuki_build.recipe.caller import Caller, Product
from fuki_build.recipe.changed import ResolvedImage, profile_names, resolve_changed
from fuki_build.recipe.contents import ResolvedContents, resolve_contents, sbat_lines
from fuki_build.recipe.expectations import explicit_expectations
from fuki_build.recipe.firmware import FirmwareSet, resolve_firmware
from fuki_build.recipe.hand_over import hand_over_program
from fuki_build.recipe.inputs import Inputs
from fuki_build.recipe.joined import join_sections
from fuki_build.recipe.launch import LaunchRequest, resolve_launch
from fuki_build.recipe.load import LoadedRecipe
from fuki_build.recipe.model import AddonTable, ProfileTable
from fuki_build.recipe.pcr_policies import reserve_policies, resolve_policies, with_public_key
from fuki_build.recipe.profile_sections import base_profile, check_profile_ids, check_unique, profile_section
from fuki_build.recipe.sbat_tables import uki_sbat
from fuki_build.recipe.signing import KernelSigning, resolve_signers
from fuki_build.recipe.stubs import find_stub, read_stub
from fuki_build.signing.request import SignRequest

if TYPE_CHECKING:
    from fuki_build.signing.authenticode.kernel import KernelReservation
    from fuki_build.signing.pcr_policy.kept import KeptPolicies
    from fuki_build.signing.pcr_policy.section import PolicyKey, PolicyReservation


class Resolved(Struct, frozen=True, kw_only=True):
    """The images that a recipe describes, with what they were made from."""

    uki: Image
    addons: tuple[Image, ...]
    inputs: Inputs
    firmware_origins: Mapping[str, Mapping[str, str]]
    expectations: tuple[Expectation, ...] = ()
    signers: tuple[SignRequest, ...] = ()
    kernels: tuple["KernelReservation", ...] = ()
    """Kernels of the image that are to be signed."""
    policies: tuple["PolicyReservation", ...] = ()
    """Sections of the image with policies that are to be signed."""
    kept_policies: tuple["KeptPolicies", ...] = ()
    """Sections of the image with policies of its base image, of which those that hold are kept."""
    launches: tuple[LaunchRequest, ...] = ()
    notes: tuple[str, ...] = ()
    """What people should know of what is gone of a base image."""


def resolve(
    loaded: LoadedRecipe,
    host: PluginHost,
    signing: SigningContext,
    fetched: dict[Hashable, FirmwareFile] | None = None,
    *,
    unsigned: bool = False,
    offline_policies: bool = False,
) -> Resolved:
    """Resolve a recipe whose plugins are loaded. Reads headers and small files; raises `RecipeError` with the place.

    `unsigned` leaves out what signs, as if the recipe had none of it; with `offline_policies`, policies are signed
    elsewhere and joined to the image. `fetched` has the firmware that other cells of a matrix got from its sources, and
    is added to.
    """
    inputs = Inputs(
        recipe=loaded,
        workspace=signing.workspace,
        commands=signing.commands,
        fetched={} if fetched is None else fetched,
    )
    signers = () if unsigned else resolve_signers(loaded.recipe.sign, host, "fuki.sign")
    kernels = KernelSigning(tuple(signer for signer in signers if signer.sign_kernel), signing)
    base = read_base(loaded.recipe.image, inputs)
    profiles = profile_names(loaded.recipe, base)
    policies = resolve_policies(loaded.recipe, profiles, host, signing)

    # An addon, or a profile to be joined, has no addons, expectations and launches beside it.
    if base is None and loaded.caller is not None and loaded.caller.product is not Product.UKI:
        part = _resolve_part(loaded, loaded.caller, host, inputs)
        return Resolved(uki=part, addons=(), inputs=inputs, firmware_origins={}, signers=signers)

    if base is None:
        main = _resolve_uki(loaded, host, inputs, kernels, policies)
    else:
        main = resolve_changed(loaded, base, host, inputs, kernels, policies)
    addons = tuple(
        _resolve_addon(addon, main.image.machine, inputs, f"fuki.addon[{i}]")
        for i, addon in enumerate(loaded.recipe.addon)
    )
    check_unique([a.name for a in addons], "fuki.addon", "name")

    # The base's firmware under its fwid, a profile's as `fwid@number`.
    origins = {
        f"{fwid}@{number}" if number else fwid: origin
        for number, firmware_set in enumerate(main.firmware)
        for fwid, origin in firmware_set.origins.items()
    }
    declared = [
        Expectation(machine=d.machine, fwid=d.fwid, profile=d.profile, where=d.where)
        for firmware_set in main.firmware
        for d in firmware_set.declared
    ]

    expected = explicit_expectations(loaded.recipe, loaded.directory, host, inputs.dependencies, profiles)
    launches = [
        request
        for index, table in enumerate(loaded.recipe.launch)
        for request in resolve_launch(table, host, loaded.directory, f"fuki.launch[{index}]", inputs.dependencies)
    ]

    uki, reservations = reserve_policies(main.image, policies, with_messages=offline_policies)
    return Resolved(
        uki=uki,
        addons=addons,
        inputs=inputs,
        firmware_origins=origins,
        expectations=(*declared, *expected),
        signers=signers,
        kernels=tuple(kernels.reservations),
        policies=reservations,
        kept_policies=main.kept,
        launches=tuple(launches),
        notes=main.notes,
    )


def _resolve_uki(
    loaded: LoadedRecipe,
    host: PluginHost,
    inputs: Inputs,
    kernels_to_sign: KernelSigning,
    policies: Sequence["PolicyKey"],
) -> ResolvedImage:
    recipe, caller = loaded.recipe, loaded.caller or Caller()
    table = recipe.image
    if table.linux is None:
        raise RecipeError("the image has no kernel", where="fuki.image.linux", hint='add linux = "path/to/vmlinuz"')
    firmware = [resolve_firmware(recipe.firmware, None, inputs, host, "fuki.firmware")]
    base = kernels_to_sign.reserve(resolve_contents(table, firmware[0], None, inputs, "fuki.image"), None)
    stub = find_stub(table, base.kernel, inputs)
    sections = [
        *with_sections(with_public_key(base.sections, policies), caller),
        uki_sbat(table, stub, base.kernel, None, inputs, "fuki.image"),
    ]
    if recipe.hand_over is not None:
        sections.append(hand_over_program(recipe.hand_over, stub, host))
    kernels = [base.kernel] if base.kernel else []
    if recipe.profile:
        check_profile_ids(table, recipe.profile)
        sections.append(base_profile(table, caller))
    for number, profile in enumerate(recipe.profile, 1):
        where = f"fuki.profile[{number - 1}]"
        firmware.append(resolve_firmware(profile.firmware, number, inputs, host, f"{where}.firmware"))
        own = _resolve_profile(profile, firmware[-1], number, inputs, where)
        own = kernels_to_sign.reserve(join_sections(own, caller.joined_sections(profile.id), number, where), number)
        sections += own.sections
        if profile.sbat:
            sections.append(uki_sbat(profile, stub, own.kernel or base.kernel, number, inputs, where))
        kernels += [own.kernel] if own.kernel else []

    image = Image(
        kind=ImageKind.UKI,
        name=recipe.name,
        machine=CoffMachine(stub.headers.coff.machine),
        stub=stub,
        sections=tuple(sections),
        kernels=tuple(kernels),
        share_blocks=table.share_blocks,
    )
    return ResolvedImage(image, firmware)


def with_sections(sections: Sequence[Section], caller: Caller) -> list[Section]:
    """Sections of an image with those that a caller names; `RecipeError` where there is one already."""
    merged = list(sections)
    for section in caller.sections:
        if section.name not in MATCHED and any(section.name == other.name for other in merged):
            raise RecipeError(f"there is a section {section.name} already", where=caller.place)
        merged.append(section)
    return merged


def _resolve_part(loaded: LoadedRecipe, caller: Caller, host: PluginHost, inputs: Inputs) -> Image:
    """What a caller asks for that is no UKI: an addon, or a profile that is to be joined to one."""
    table = loaded.recipe.image
    firmware = resolve_firmware(loaded.recipe.firmware, None, inputs, host, "fuki.firmware")
    slice_ = resolve_contents(table, firmware, None, inputs, "fuki.image")
    sections = with_sections(slice_.sections, caller)
    kernels = (slice_.kernel,) if slice_.kernel else ()

    stub = find_stub(table, slice_.kernel, inputs, program=None if slice_.kernel else "systemd-addon")
    if caller.product is Product.PROFILE:
        sections = [replace(section, profile=0) for section in (base_profile(table, caller), *sections)]
    else:
        lines = sbat_lines(table, sbat.ADDON_COMPONENT, inputs, "fuki.image")
        sections.append(Section(name=".sbat", content=Blob.of_bytes(sbat.merge([lines])), source="recipe"))

    kind = ImageKind.UKI if slice_.kernel else ImageKind.ADDON
    machine = CoffMachine(stub.headers.coff.machine)
    return Image(
        kind=kind, name=loaded.recipe.name, machine=machine, stub=stub, sections=tuple(sections), kernels=kernels
    )


def _resolve_profile(
    profile: ProfileTable, firmware: FirmwareSet, number: int, inputs: Inputs, where: str
) -> ResolvedContents:
    resolved = resolve_contents(profile, firmware, number, inputs, where)
    return ResolvedContents(
        (profile_section(profile.id, profile.title, number, where), *resolved.sections), resolved.kernel
    )


def _resolve_addon(addon: AddonTable, machine: CoffMachine, inputs: Inputs, where: str) -> Image:
    if addon.linux is not None:
        raise RecipeError("an addon has no kernel of its own", where=f"{where}.linux", hint="remove it there")

    resolved = resolve_contents(addon, FirmwareSet(), None, inputs, where)
    if not {s.name for s in resolved.sections} & set(ADDON_PAYLOAD):
        keys = ", ".join(name.removeprefix(".") for name in ADDON_PAYLOAD)
        raise RecipeError("the stub ignores an addon that brings nothing", where=where, hint=f"give one of {keys}")

    stub = None
    if addon.stub is not None:
        stub = read_stub(addon.stub, "systemd-addon", machine.name, inputs, f"{where}.stub")
        if stub.headers.coff.machine != machine:
            problem = f"the addon's stub is for {stub.headers.machine_name}, the image for {machine.name}"
            raise RecipeError(problem, where=f"{where}.stub")

    lines = sbat_lines(addon, sbat.ADDON_COMPONENT, inputs, where)
    table = Section(name=".sbat", content=Blob.of_bytes(sbat.merge([lines])), source="recipe")
    return Image(
        kind=ImageKind.ADDON,
        name=addon.name,
        machine=machine,
        stub=stub,
        sections=(*resolved.sections, table),
        where=where,
    )
