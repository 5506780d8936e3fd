"""What is predicted of a finished image, for those who hold evidence of a machine against it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from fuki_build.errors import RecipeError, located
from fuki_build.formats.hashes import SIZES
from fuki_build.formats.tcg.event_log import EventLog
from fuki_build.hardware.machine import Machine
from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.launch import DirectBootMode, LaunchRecord
from fuki_build.image.assemble import assemble
from fuki_build.image.blob import AnyPath, Blob
from fuki_build.image.digest_plan import measured_in
from fuki_build.image.image import ImageKind
from fuki_build.image.inspect import inspect
from fuki_build.image.layout import Layout
from fuki_build.image.profiles import find_profiles
from fuki_build.launch.boots import LaunchFirmware, ProfileBoot, image_boot, section_boots, section_digest, subjects
from fuki_build.launch.predict import predict
from fuki_build.launch.runtime import Runtime, runtime_banks
from fuki_build.measure.boot import Boot, BootMethod
from fuki_build.measure.explain import Explanation, explain
from fuki_build.measure.predict import Prediction, cases
from fuki_build.measure.predict import predict as predict_cases
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.recipe.launch import LaunchRequest, models, resolve_launch
from fuki_build.recipe.load import LoadedRecipe
from fuki_build.recipe.model import LaunchTable

_MANY = (*range(1, 65), 72, 80, 88, 96, 112, 128, 176, 192, 224, 256)
"""Numbers of vCPUs that machines of clouds have, for launches of which nothing is known."""


def launches_of_image(
    image: AnyPath, host: PluginHost, technology: str, recipe: LoadedRecipe | None = None
) -> tuple[LaunchRecord, ...]:
    """What guests that start with the firmware of an image, or with the firmware in a file, measure at launch.

    The launches are those of the recipe's `[[fuki.launch]]` tables; without a recipe every hypervisor that the model
    knows, with every usual number of vCPUs. Raises `FukiError`, where no loaded plugin knows the technology too.
    """
    with located("--image"):
        models(host, "--image")
        host.get("fuki_launch_models", technology)
    return requested_launches(Path(image), host, list(_requests(host, technology, recipe)))


def requested_launches(image: Path, host: PluginHost, requests: Sequence[LaunchRequest]) -> tuple[LaunchRecord, ...]:
    """What guests measure that are launched as `requests` say, with the firmware of an image or that in a file.

    Raises `FukiError`.
    """
    if Blob.of_file(image).read_at(0, 2) != b"MZ":
        firmware = [LaunchFirmware(image.name, None, Blob.of_file(image))]
        return tuple(record for request in requests for record in predict(host, request, firmware, ()))

    layout = inspect_uki(image)
    banks = tuple(runtime_banks(host, requests))
    contents = _digested(layout, banks) if banks else None
    records: list[LaunchRecord] = []
    for request in requests:
        runtime = None
        if contents is not None and request.direct_boot is not DirectBootMode.SECTIONS:
            runtime = Runtime(contents, _boot(request))
        records += predict(host, request, list(subjects(layout)), _boots(image, layout, request.direct_boot), runtime)
    return tuple(records)


def _requests(host: PluginHost, technology: str, recipe: LoadedRecipe | None) -> Iterator[LaunchRequest]:
    tables = recipe.recipe.launch if recipe is not None else ()
    directory = recipe.directory if recipe is not None else Path()
    if not tables:
        vmms = tuple(models(host)[technology].thing.vmms)
        tables = (LaunchTable(technology=technology, vmm=vmms, vcpus=_MANY),)

    for index, table in enumerate(tables):
        for request in resolve_launch(table, host, directory, f"fuki.launch[{index}]"):
            if not request.technologies or technology in request.technologies:
                # Of several firmware images, not all need to be made for it.
                yield replace(request, technologies=(technology,), named=False)


def _boot(request: LaunchRequest) -> Boot:
    method = BootMethod.DIRECT if request.direct_boot is DirectBootMode.IMAGE else BootMethod.DISK
    return Boot(method=method, secret=request.boot_secret)


def _boots(image: Path, layout: Layout, mode: DirectBootMode) -> Sequence[ProfileBoot]:
    if mode is DirectBootMode.IMAGE:
        return [image_boot(Blob.of_file(image))]
    return list(section_boots(layout, section_digest)) if mode is DirectBootMode.SECTIONS else ()


def boots_of_image(
    image: AnyPath, banks: Sequence[str], machines: Sequence[Machine] | None = None, profile: str | None = None
) -> tuple[Prediction, ...]:
    """What a TPM measures in every case of an image: each profile, and what these machines, or any, select there.

    Raises `FukiError`.
    """
    layout = inspect_uki(image)
    contents = _digested(layout, tuple(banks))
    return predict_cases(contents, cases(layout, machines, find_profiles(layout, profile)), Boot())


def explained_log(
    log: EventLog, image: AnyPath, machines: Sequence[Machine] | None = None, profile: str | None = None
) -> Explanation:
    """A machine's event log explained by an image, as `fuki replay --image` does. Raises `FukiError`."""
    banks = tuple(bank for bank in SIZES if bank in log.banks)
    if not banks:
        raise RecipeError(f"none of the log's banks can be computed: {', '.join(log.banks)}", where="--image")
    layout = inspect_uki(image)
    contents = _digested(layout, banks)
    return explain(log, contents, cases(layout, machines, find_profiles(layout, profile)), Boot())


def _digested(layout: Layout, banks: tuple[str, ...]) -> SectionDigests:
    return SectionDigests(layout, assemble(layout, digests=measured_in(banks)), banks)


def inspect_uki(image: AnyPath) -> Layout:
    """The layout of a UKI. Raises `RecipeError` for another file."""
    layout = inspect(image)
    if layout.kind is not ImageKind.UKI:
        raise RecipeError("this is no UKI: it has no .linux section", where=str(image))
    return layout
