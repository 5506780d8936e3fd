"""Launch measurements of an image's firmware, or of firmware files: what is launched, and what the models say of it."""

import hashlib
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from fuki_build.emit.plan import Plan
from fuki_build.emit.runtime import Runtime, runtime_banks, runtime_registers
from fuki_build.errors import FormatError, FukiError, PluginError, RecipeError
from fuki_build.formats.pe import pe
from fuki_build.formats.pe.authenticode import digest_ranges, padding
from fuki_build.hooks.host import Contribution, PluginHost, blame
from fuki_build.hooks.launch import (
    DirectBoot,
    DirectBootMode,
    LaunchModel,
    LaunchNote,
    LaunchParameters,
    LaunchPrediction,
    LaunchRecord,
)
from fuki_build.hooks.records import BuiltImage
from fuki_build.image.assemble import read_pieces
from fuki_build.image.blob import Blob
from fuki_build.image.describe import describe
from fuki_build.image.firmware import slices
from fuki_build.image.layout import Layout
from fuki_build.image.section import Section
from fuki_build.measure import boot as measure
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.recipe.launch import MAX_FIRMWARE, LaunchRequest, models

_MAX_CMDLINE = 1024 * 1024

Sha256 = Callable[[Section], bytes]
"""The digest of a section's content: read for that, or known already."""


class LaunchFirmware(Struct, frozen=True):
    """Firmware that guests start with: `name` is its fwid or file, `profile` its slice."""

    name: str
    profile: int | None
    content: Blob


class ProfileBoot(Struct, frozen=True):
    """A direct boot, and the profile whose it is; None where it is that of every profile."""

    profile: int | None
    boot: DirectBoot


def boots_of(subject: LaunchFirmware, boots: Sequence[ProfileBoot]) -> tuple[DirectBoot | None, ...]:
    """What is booted beside this firmware: a profile's own firmware starts no other profile."""
    own = [boot.boot for boot in boots if subject.profile is None or boot.profile in (None, subject.profile)]
    return tuple(own) or (None,)


def subjects(layout: Layout) -> Iterator[LaunchFirmware]:
    """The firmware images of an image, base first."""
    for part in slices(layout.plain_sections):
        for image in part.firmware:
            if image.header is not None:
                yield LaunchFirmware(image.header.fwid, part.profile, image.payload)


def section_boots(layout: Layout, sha256: Sha256) -> Iterator[ProfileBoot]:
    """For each profile, the kernel, initrd and command line that a hypervisor would hand over itself."""
    names = {profile.number: profile.id for profile in describe(layout).profiles}
    for number in layout.profiles or (None,):
        found = {section.name: section for section in layout.effective(number)}
        if ".linux" not in found:
            continue
        empty = hashlib.sha256().digest()
        initrd, cmdline = found.get(".initrd"), found.get(".cmdline")
        text = cmdline.content.read_small(_MAX_CMDLINE, "the command line") if cmdline else b""
        yield ProfileBoot(
            number,
            DirectBoot(
                name="sections" if number is None else names.get(number) or str(number),
                kernel=sha256(found[".linux"]),
                initrd=sha256(initrd) if initrd else empty,
                cmdline=cmdline_digest(text),
                authenticode=authenticode(found[".linux"].content),
            ),
        )


def needs_image_file(requests: Sequence[LaunchRequest]) -> bool:
    """Whether a launch boots the finished image, which must then be there to be read."""
    return any(request.direct_boot is DirectBootMode.IMAGE for request in requests)


def build_launches(plan: Plan, built: BuiltImage, addons: Sequence[BuiltImage]) -> Iterator[LaunchRecord]:
    """The launches that a recipe asks for, of the image that was built from it; on a disk, its addons are beside it."""
    layout = built.layout
    known = {id(p.section): bytes.fromhex(d) for p, d in zip(layout.sections, built.assembly.sections, strict=True)}
    found = list(subjects(layout))
    contents = SectionDigests(layout, built.assembly, tuple(runtime_banks(plan.host, plan.resolved.launches)))
    for request in plan.resolved.launches:
        boots: list[ProfileBoot] = []
        if request.direct_boot is DirectBootMode.SECTIONS:
            boots = list(section_boots(layout, lambda section: known[id(section)]))
        elif request.direct_boot is DirectBootMode.IMAGE and built.path is not None:
            boots = [image_boot(Blob.of_file(built.path))]
        runtime = None
        if contents.banks and request.direct_boot is not DirectBootMode.SECTIONS:
            runtime = Runtime(contents, _start(request, addons))
        yield from predict(plan.host, request, found, boots, runtime)


def _start(request: LaunchRequest, addons: Sequence[BuiltImage]) -> measure.Boot:
    """How the image as a whole is started."""
    if request.direct_boot is DirectBootMode.IMAGE:
        return measure.Boot(method=measure.BootMethod.DIRECT, secret=request.boot_secret)
    beside = tuple(measure.Addon(f"{addon.layout.name}.addon.efi", addon.layout, addon.assembly) for addon in addons)
    return measure.Boot(secret=request.boot_secret, addons=beside)


def image_boot(image: Blob) -> ProfileBoot:
    """The direct boot of a whole UKI: it is the kernel, and brings the rest itself."""
    return ProfileBoot(None, file_boot(DirectBootMode.IMAGE, image, None, b""))


def file_boot(name: str, kernel: Blob, initrd: Blob | None, cmdline: bytes) -> DirectBoot:
    """The direct boot of files."""
    return DirectBoot(
        name=name,
        kernel=blob_digest(kernel),
        initrd=blob_digest(initrd or Blob()),
        cmdline=cmdline_digest(cmdline),
        authenticode=authenticode(kernel),
    )


def section_digest(section: Section) -> bytes:
    return blob_digest(section.content)


def blob_digest(content: Blob) -> bytes:
    digest = hashlib.sha256()
    for piece in read_pieces(content):
        digest.update(piece)
    return digest.digest()


def cmdline_digest(text: bytes) -> bytes:
    """Of a command line as hypervisors hash it: with one NUL behind it."""
    return hashlib.sha256(text.rstrip(b"\0") + b"\0").digest()


def authenticode(content: Blob) -> bytes | None:
    """The SHA-384 Authenticode digest of a kernel; None where it is no EFI image."""
    try:
        ranges = digest_ranges(pe.decode(content.read_at(0, pe.HEAD_SIZE), content.size), content.size)
    except FormatError:
        return None
    digest = hashlib.sha384()
    for start, end in ranges:
        for piece in read_pieces(content.slice(start, end - start)):
            digest.update(piece)
    digest.update(padding(ranges[-1][1]))
    return digest.digest()


def predict(
    host: PluginHost,
    request: LaunchRequest,
    found: Sequence[LaunchFirmware],
    boots: Sequence[ProfileBoot],
    runtime: Runtime | None = None,
) -> Iterator[LaunchRecord]:
    """What every technology says of every firmware image that the request is about.

    `runtime` is the image that guests boot, where its registers are wanted.

    A technology that was not asked for by name, and that the firmware cannot do, gives a note; one that was, an error.
    """
    chosen = [subject for subject in found if not request.firmware or subject.name in request.firmware]
    for name in request.firmware:
        if name not in {subject.name for subject in found}:
            hint = f"there are: {', '.join(subject.name for subject in found) or 'none'}"
            raise RecipeError(f"there is no firmware {name!r}", where=request.where, hint=hint)
    for subject in chosen:
        content = subject.content.read_small(MAX_FIRMWARE, f"the firmware {subject.name}")
        registers = () if runtime is None else runtime_registers(runtime, subject.name, subject.profile)
        parameters = replace(request.parameters, boots=boots_of(subject, boots), runtime=tuple(registers))
        predictions = [
            _predict(model, content, parameters, subject, request)
            for name, model in models(host, request.where).items()
            if not request.technologies or name in request.technologies
        ]
        yield LaunchRecord(
            subject.name,
            subject.profile,
            hashlib.sha256(content).hexdigest(),
            LaunchPrediction(
                tuple(digest for prediction in predictions for digest in prediction.digests),
                (
                    *(LaunchNote(", ".join(request.technologies), text) for text in request.notes),
                    *(note for prediction in predictions for note in prediction.notes),
                ),
            ),
            request.policy,
        )


def _predict(
    model: Contribution[LaunchModel],
    content: bytes,
    parameters: LaunchParameters,
    subject: LaunchFirmware,
    request: LaunchRequest,
) -> LaunchPrediction:
    name = model.thing.name
    try:
        with blame(model.plugin, f"failed in launch model {name!r}"):
            prediction = model.thing.predict(content, parameters)
    except (PluginError, RecipeError) as error:
        error.at(request.where)
        raise
    except FukiError as error:
        if request.named:
            error.at(subject.name)
            raise
        return LaunchPrediction(notes=(LaunchNote(name, error.message),))
    if prediction is None and request.named:
        hint = "'fuki firmware show' tells what it has"
        raise FukiError(f"the firmware is not made for {model.thing.title}", where=subject.name, hint=hint)
    return prediction or LaunchPrediction()
