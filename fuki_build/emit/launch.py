"""The launches that a recipe asks for, of the image that was built from it."""

from collections.abc import Iterator, Sequence

from fuki_build.emit.plan import Plan
from fuki_build.hooks.launch import DirectBootMode, LaunchRecord
from fuki_build.hooks.records import BuiltImage
from fuki_build.image.blob import Blob
from fuki_build.launch.boots import ProfileBoot, image_boot, section_boots, subjects
from fuki_build.launch.predict import predict
from fuki_build.launch.runtime import Runtime, runtime_banks
from fuki_build.measure.boot import Addon, Boot, BootMethod
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.recipe.launch import LaunchRequest


def build_launches(plan: Plan, built: BuiltImage, addons: Sequence[BuiltImage]) -> Iterator[LaunchRecord]:
    """The launches that a recipe asks for, of the image that was built from it; on a disk, its addons are beside it."""
    layout = built.layout
    firmware = list(subjects(layout))
    section_hash = built.assembly.section_hash
    contents = SectionDigests(layout, built.assembly, tuple(runtime_banks(plan.host, plan.resolved.launches)))
    for request in plan.resolved.launches:
        boots: list[ProfileBoot] = []
        if request.direct_boot is DirectBootMode.SECTIONS:
            boots = list(section_boots(layout, lambda section: section_hash(section.index, "sha256").digest()))
        elif request.direct_boot is DirectBootMode.IMAGE and built.path is not None:
            boots = [image_boot(Blob.of_file(built.path))]

        # Sections that the hypervisor boots itself pass the stub by, so that nothing of it is measured.
        runtime = None
        if contents.banks and request.direct_boot is not DirectBootMode.SECTIONS:
            runtime = Runtime(contents, _start(request, addons))
        yield from predict(plan.host, request, firmware, boots, runtime)


def _start(request: LaunchRequest, addons: Sequence[BuiltImage]) -> Boot:
    """How the image as a whole is started."""
    if request.direct_boot is DirectBootMode.IMAGE:
        return Boot(method=BootMethod.DIRECT, secret=request.boot_secret)
    beside = tuple(Addon(f"{addon.layout.name}.addon.efi", addon.layout, addon.assembly) for addon in addons)
    return Boot(secret=request.boot_secret, addons=beside)
