"""Verbs on finished images, as functions: what `fuki check`, `verify`, `sign`, … do, without the command line.

Paths are strings or paths. Machines are given, or named as in recipes: a loaded platform, `platform:selector`, a file.
`plugins` are names of installed plugins, loaded for the call. All functions raise `FukiError`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fuki_build import pipeline
from fuki_build.checks.run import check as run_checks
from fuki_build.cli.trusting import read_level, read_trust
from fuki_build.errors import RecipeError
from fuki_build.hardware.machine import Machine
from fuki_build.hooks.host import PluginHost, loaded_machines
from fuki_build.hooks.launch import DirectBootMode, LaunchRecord
from fuki_build.hooks.rules import Finding
from fuki_build.image.assemble import assemble
from fuki_build.image.blob import AnyPath, Blob
from fuki_build.image.firmware import slices
from fuki_build.image.guard import guarding
from fuki_build.image.inspect import inspect
from fuki_build.image.output_file import OutputFile
from fuki_build.image.profiles import find_profiles
from fuki_build.image.section import HAND_OVER
from fuki_build.image.selection import Selector
from fuki_build.image.selection_view import MatchView, MatchViews
from fuki_build.launch.boots import LaunchFirmware, ProfileBoot, image_boot, section_boots, section_digest, subjects
from fuki_build.launch.of_image import inspect_uki
from fuki_build.launch.predict import predict as predict_launch
from fuki_build.measure.boot_options import boot_digests, read_boot
from fuki_build.measure.predict import cases, predict
from fuki_build.measure.registers import PHASES, check_banks, split_phases
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.measure.views import PredictionsView, predictions_view
from fuki_build.recipe.launch import resolve_launch
from fuki_build.recipe.machines import find_machines
from fuki_build.recipe.model import LaunchTable
from fuki_build.signing.secure_boot.boot import with_authorities

if TYPE_CHECKING:
    from fuki_build.report.differences.views import ImageDifferences
    from fuki_build.report.gather import ReportOptions
    from fuki_build.report.machines import Group
    from fuki_build.signing.verified_image import VerifiedImage

_SHA256 = ("sha256",)


def check(subject: AnyPath, *, plugins: Sequence[str] = (), addons: Sequence[AnyPath] = ()) -> tuple[Finding, ...]:
    """The findings about a finished image and its addons, or about a recipe: a file, or a directory with one."""
    path = Path(subject)
    if path.is_file() and Blob.of_file(path).read_at(0, 2) == b"MZ":
        layouts = [inspect(image) for image in (path, *addons)]
        return run_checks(pipeline.new_host(plugins), layouts)
    if addons:
        raise RecipeError("addons are given with a finished image; a recipe names its own", where="addons")
    with pipeline.plan(path, plugins) as planned:
        pipeline.preview(planned)
        return planned.findings


def verify(
    image: AnyPath,
    *,
    certificates: Sequence[AnyPath] = (),
    db: Sequence[AnyPath] = (),
    dbx: Sequence[AnyPath] = (),
    sbat_level: AnyPath | None = None,
) -> "VerifiedImage":
    """Verify all signatures of a PE image; `objection` of the result is None where `fuki verify` exits with 0."""
    from fuki_build.signing.verified_image import verify_image  # noqa: PLC0415 - cryptography is slow to load

    trust = read_trust(*(tuple(map(Path, files)) for files in (certificates, db, dbx)))
    return verify_image(inspect(image), trust, read_level(None if sbat_level is None else Path(sbat_level)))


def sign(
    image: AnyPath,
    output: AnyPath | None = None,
    *,
    signer: Mapping[str, Any],
    plugins: Sequence[str] = (),
    replace: bool = False,
    again: bool = False,
) -> bool:
    """Sign a PE image with what `signer`, a table as [fuki.sign] in recipes, names; tell whether a file was written.

    The image is replaced unless there is an `output`. Other signatures stay unless `replace` is set; an image that the
    signer has signed already stays as it is unless `again` is set. Paths in the table are relative to the current
    directory.
    """
    from fuki_build.recipe.signing import resolve_signer  # noqa: PLC0415 - cryptography is slow to load
    from fuki_build.signing.authenticode.finished_image import missing_signers, sign_image  # noqa: PLC0415
    from fuki_build.signing.authenticode.sign import check_key  # noqa: PLC0415
    from fuki_build.signing.request import open_signers, signing_context  # noqa: PLC0415

    table = {"backend": "local", **signer}
    with guarding(), signing_context(Path()) as context:
        layout = inspect(image)
        signers = open_signers((resolve_signer(table, pipeline.new_host(plugins), "sign"),), context)
        for one in signers:
            check_key(one)
        missing = signers if replace or again else missing_signers(layout, signers)
        if missing or output is not None:
            sign_image(layout, Path(output or image), missing, context, replace=replace)
            return True
    return False


def match(
    image: AnyPath,
    machines: Sequence[str | Machine] | None = None,
    *,
    plugins: Sequence[str] = (),
    profile: str | None = None,
) -> tuple[MatchView, ...]:
    """What machines select from an image, in one profile or in each; without `machines`, those of loaded platforms."""
    host = pipeline.new_host(plugins)
    asked = loaded_machines(host) if machines is None else _machines(machines, host)
    layout = inspect(image)
    selector = Selector(slices(layout.plain_sections), layout.model)
    views = MatchViews(has_program=bool(layout.find(HAND_OVER)))
    return tuple(
        views.view(machine.name, selector.select(machine, number))
        for number in find_profiles(layout, profile)
        for machine in asked
    )


def predict_registers(
    image: AnyPath,
    machines: Sequence[str | Machine] | None = None,
    *,
    plugins: Sequence[str] = (),
    profile: str | None = None,
    banks: Sequence[str] = _SHA256,
    phases: Sequence[str] = PHASES,
    **boot: Any,  # noqa: ANN401 - what read_boot takes
) -> PredictionsView:
    """The registers of every case of a UKI: each profile, and what these machines, or any, select there.

    `boot` says how the image is started, in the words of `read_boot`: `options`, `variables`, `loaders`, …
    """
    layout = inspect_uki(Path(image))
    asked = None if machines is None else _machines(machines, pipeline.new_host(plugins))
    chosen = check_banks(tuple(banks))
    how = read_boot(chosen, **boot)
    contents = SectionDigests(layout, assemble(layout, digests=boot_digests(chosen, how.policy)), chosen)
    how = with_authorities(how, contents)
    predictions = predict(contents, cases(layout, asked, find_profiles(layout, profile)), how)
    return predictions_view(layout, predictions, [split_phases(path) for path in phases], how)


def predict_launches(
    file: AnyPath,
    *,
    plugins: Sequence[str] = (),
    direct_boot: DirectBootMode | str = DirectBootMode.NONE,
    **launch: Any,  # noqa: ANN401 - what the table takes
) -> tuple[LaunchRecord, ...]:
    """What guests that start with the firmware of a UKI, or with that in a file, measure at launch.

    `launch` are keys of [[fuki.launch]] in recipes: `technology`, `vmm`, `vcpus`, `vcpu_model`, `platform`, … The
    technologies are those of loaded plugins.
    """
    path, mode = Path(file), DirectBootMode(direct_boot)
    host = pipeline.new_host(plugins)
    requests = resolve_launch(LaunchTable(direct_boot=mode, **launch), host, Path(), "launch")

    content = Blob.of_file(path)
    firmware = [LaunchFirmware(path.name, None, content)]
    boots: Sequence[ProfileBoot] = ()
    if content.read_at(0, 2) == b"MZ":
        layout = inspect_uki(path)
        firmware = list(subjects(layout))
        if mode is DirectBootMode.IMAGE:
            boots = [image_boot(content)]
        elif mode is DirectBootMode.SECTIONS:
            boots = list(section_boots(layout, section_digest))
    return tuple(record for request in requests for record in predict_launch(host, request, firmware, boots))


def write_report(
    image: AnyPath,
    output: AnyPath,
    *,
    plugins: Sequence[str] = (),
    certificates: Sequence[AnyPath] = (),
    banks: Sequence[str] = _SHA256,
    **boot: Any,  # noqa: ANN401 - what read_boot takes
) -> None:
    """Write the HTML page about an image that `fuki report` writes, with the machines of all loaded platforms."""
    from fuki_build.cli.render.page import page_of  # noqa: PLC0415 - Jinja2 and cryptography are slow to load
    from fuki_build.report.gather import gather  # noqa: PLC0415
    from fuki_build.report.machines import platform_groups  # noqa: PLC0415

    host = pipeline.new_host(plugins)
    with guarding():
        options = _report_options(platform_groups(host), certificates, banks, boot)
        page = page_of(gather(inspect(image), host, options))
        with OutputFile(Path(output)) as file:
            file.write(page.encode())
            file.commit()


def diff(
    old: AnyPath,
    new: AnyPath,
    machines: Sequence[str | Machine] | None = None,
    *,
    plugins: Sequence[str] = (),
    certificates: Sequence[AnyPath] = (),
    banks: Sequence[str] = _SHA256,
    **boot: Any,  # noqa: ANN401 - what read_boot takes
) -> "ImageDifferences":
    """What differs between two images, and what these machines, or those of loaded platforms, select and measure."""
    from fuki_build.report.differences.compare import compare, read_compared  # noqa: PLC0415 - cryptography is slow
    from fuki_build.report.machines import Group  # noqa: PLC0415

    host = pipeline.new_host(plugins)
    asked = loaded_machines(host) if machines is None else _machines(machines, host)
    options = _report_options([Group("", "", asked)], certificates, banks, boot)
    sides = [read_compared(inspect(image), host, options) for image in (old, new)]
    return compare(sides[0], sides[1], asked, only_machines=machines is not None)


def _machines(machines: Sequence[str | Machine], host: PluginHost) -> list[Machine]:
    asked: list[Machine] = []
    for index, machine in enumerate(machines):
        if isinstance(machine, Machine):
            asked.append(machine)
        else:
            asked += find_machines(machine, Path(), host, f"machines[{index}]")
    return asked


def _report_options(
    groups: "Sequence[Group]", certificates: Sequence[AnyPath], banks: Sequence[str], boot: Mapping[str, Any]
) -> "ReportOptions":
    from fuki_build.report.gather import ReportOptions  # noqa: PLC0415 - cryptography is slow to load

    chosen = check_banks(tuple(banks))
    how = read_boot(chosen, **boot)
    return ReportOptions(
        groups=groups,
        trust=read_trust(tuple(map(Path, certificates)), (), ()),
        level=(),
        banks=chosen,
        phases=[split_phases(path) for path in PHASES],
        boot=lambda contents: with_authorities(how, contents),
    )
