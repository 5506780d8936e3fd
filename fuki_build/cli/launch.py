"""`fuki launch`: what confidential guests that start with some firmware measure at launch."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from fuki_build import pipeline
from fuki_build.cli.firmware import read_subjects
from fuki_build.cli.launch_diff import DifferencesDocument, compare
from fuki_build.cli.launch_options import launch_options, launched_platform_option
from fuki_build.cli.machine import read_machine
from fuki_build.cli.measure import inspect_uki
from fuki_build.cli.options import is_given, json_option
from fuki_build.cli.selecting import filter_options, start_options
from fuki_build.cli.telling import format_options, refuse_with_format, refuse_without_format, write_format
from fuki_build.errors import FukiError, RecipeError
from fuki_build.formats.documents import Document
from fuki_build.hooks.host import PluginHost, loaded_machines
from fuki_build.hooks.launch import DirectBootMode, LaunchDocument, LaunchRecord, to_document
from fuki_build.hooks.launches import LaunchFilter
from fuki_build.image.assemble import assemble
from fuki_build.image.blob import Blob
from fuki_build.image.digest_plan import measured_in
from fuki_build.image.image import ImageKind
from fuki_build.image.inspect import inspect
from fuki_build.image.section import HAND_OVER
from fuki_build.launch.boots import (
    LaunchFirmware,
    ProfileBoot,
    file_boot,
    image_boot,
    section_boots,
    section_digest,
)
from fuki_build.launch.predict import predict
from fuki_build.launch.runtime import Runtime, runtime_banks
from fuki_build.measure.boot_options import read_boot
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.recipe.launch import LaunchRequest, resolve_launch
from fuki_build.recipe.model import LaunchTable

if TYPE_CHECKING:
    from fuki_build.emit.of_image import ImageFacts

_WHERE = "launch"


def _documents() -> tuple[type[Document], ...]:
    from fuki_build.launch.search_views import LaunchSearchDocument  # noqa: PLC0415 - only what --expect needs

    return LaunchDocument, DifferencesDocument, LaunchSearchDocument


@click.command()
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@launched_platform_option
@launch_options
@click.option("--kernel", type=click.Path(path_type=Path), help="A kernel that the hypervisor boots itself.")
@click.option("--initrd", type=click.Path(path_type=Path), help="Its initrd.")
@click.option("--cmdline", help="Its command line.")
@filter_options
@click.option(
    "--machine",
    "machines",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Of a UKI, only firmware that this machine selects: a machine file or dump (repeatable).",
)
@click.option("--svsm", type=click.Path(path_type=Path), help="An SVSM that the guest starts in.")
@click.option("--variables-size", type=click.IntRange(0), help="Size of the variable store between SVSM and firmware.")
@start_options
@format_options
@click.option("--diff", is_flag=True, help="Tell where the launches of two files, or with two values, first differ.")
@click.option("--expect", metavar="DIGEST", help="Tell which launch has this digest, or what is nearest.")
@json_option(_documents)
@click.pass_obj
def launch(  # noqa: PLR0917 - click passes them by name
    plugins: tuple[str, ...],
    /,
    files: tuple[Path, ...],
    platform: tuple[str, ...],
    launched: LaunchTable,
    kernel: Path | None,
    initrd: Path | None,
    cmdline: str | None,
    profiles: tuple[str, ...],
    firmware: tuple[str, ...],
    machines: tuple[Path, ...],
    svsm: Path | None,
    variables_size: int | None,
    form: str | None,
    settings: tuple[str, ...],
    output: Path | None,
    diff: bool,
    expect: str | None,
    as_json: bool,
    **start: Any,  # noqa: ANN401 - what start_options give
) -> None:
    """Predict what guests that start with the firmware in FILEs measure at launch; FILE is firmware or a UKI.

    The technologies are those of loaded plugins. Every combination of the options is a row, as far as it matters.
    Of a UKI, runtime registers are told as well: from --options on, options say how it is started. With --format, in a
    form that attestation services read, such as corim, launch-rvps or contrast of the plugin coco.

    With --expect, what options leave open is searched: every number of vCPUs up to 512, CPU model, hypervisor, usual
    guest feature, direct boot of the UKIs' parts, firmware bare and as an IGVM file. Exits with 3 unless a launch that
    the options allow has the digest.
    """
    refuse_without_format(form, settings, output)
    refuse_with_format(form, {"--json": as_json, "--diff": diff, "a second file": len(files) > 1})
    if form is not None and not _is_uki(files[0]):
        hint = "of firmware alone, --json prints the launches"
        raise RecipeError("a format tells of a UKI", where=str(files[0]), hint=hint)
    if diff and expect is not None:
        raise click.UsageError("--diff and --expect are two questions.")
    if expect is not None and (form is not None or profiles or machines or len(firmware) > 1):
        raise click.UsageError("--expect goes with no --format, --profile or --machine, and one --firmware.")
    table = replace(launched, platform=platform, svsm=str(svsm) if svsm else None, variables_size=variables_size)

    host = pipeline.new_host(plugins)
    given = _given(kernel, initrd, cmdline)
    if expect is not None:
        from fuki_build.cli.launch_search import ExpectedLaunch, search  # noqa: PLC0415 - only what this option needs

        expected = ExpectedLaunch(
            table=table,
            firmware=firmware[0] if firmware else None,
            direct_boot=is_given("direct_boot"),
            boot=given[0].boot if given else None,
            cmdline=cmdline or "",
            start=start,
        )
        search(host, expected, files, expect, as_json=as_json)
        return

    requests = resolve_launch(table, host, Path(), _WHERE)
    chosen = _Chosen(profiles, firmware, machines)
    targets = [(file, chosen.subjects(file), _boots(file, table.direct_boot, given)) for file in files]

    if diff:
        sides = [(subject, boots) for _, subjects, boots in targets for subject in subjects]
        compare(host, requests, sides, as_json=as_json)
        return

    banks = () if given else tuple(runtime_banks(host, requests))
    records: list[LaunchRecord] = []
    for file, subjects, boots in targets:
        runtime = _runtime(file, table.direct_boot, banks, start)
        of_file = [record for subject in subjects for record in _predict(host, requests, subject, boots, runtime)]
        records += chosen.records(file, of_file)

    if form is not None:
        write_format(host, form, {}, settings, output, lambda: _facts(files[0], host, start, records))
        return
    _show(records, [str(file) for file in files if _is_image(file) and inspect(file).find(HAND_OVER)], as_json)


class _Chosen:
    """The firmware of UKIs that options ask for; that of other files is all that they have."""

    def __init__(self, profiles: tuple[str, ...], firmware: tuple[str, ...], machines: tuple[Path, ...]) -> None:
        self._profiles = profiles
        self._firmware = firmware
        self._machines = [read_machine(file) for file in machines] if machines else None

    def subjects(self, file: Path) -> list[LaunchFirmware]:
        """The firmware of a UKI that is asked for, or the one that a file is."""
        subjects = read_subjects(file)
        kept = self._filter(file)
        if kept is None:
            return subjects
        left = [subject for subject in subjects if kept.keeps(subject.name, subject.profile)]
        if not left:
            hint = f"there are: {', '.join(dict.fromkeys(subject.name for subject in subjects))}"
            raise RecipeError("the image has no firmware that was asked for", where=str(file), hint=hint)
        return left

    def records(self, file: Path, records: Sequence[LaunchRecord]) -> Sequence[LaunchRecord]:
        """The launches with the boots of the profiles that are asked for."""
        kept = self._filter(file)
        return records if kept is None else kept.records(records)

    def _filter(self, file: Path) -> LaunchFilter | None:
        if not (self._profiles or self._firmware or self._machines) or not _is_image(file):
            return None
        return LaunchFilter(inspect(file), self._profiles, self._firmware, self._machines)


def _facts(image: Path, host: PluginHost, start: dict[str, Any], records: Sequence[LaunchRecord]) -> "ImageFacts":
    from fuki_build.emit.of_image import ImageFacts  # noqa: PLC0415 - only where a format was asked for

    return ImageFacts(
        path=image,
        layout=inspect(image),
        addons=start["addons"],
        machines=tuple(loaded_machines(host)),
        launches=tuple(records),
    )


def _runtime(file: Path, mode: DirectBootMode, banks: tuple[str, ...], start: dict[str, Any]) -> Runtime | None:
    """The image that guests boot as a whole, digested in the banks of runtime registers; None for other files."""
    if not banks or not _is_uki(file):
        return None
    layout = inspect_uki(file)
    contents = SectionDigests(layout, assemble(layout, digests=measured_in(banks)), banks)
    return Runtime(contents, read_boot(banks, direct=mode is DirectBootMode.IMAGE, **start))


def _is_uki(file: Path) -> bool:
    return _is_image(file) and inspect(file).kind is ImageKind.UKI


def _is_image(file: Path) -> bool:
    return Blob.of_file(file).read_at(0, 2) == b"MZ"


def _given(kernel: Path | None, initrd: Path | None, cmdline: str | None) -> list[ProfileBoot]:
    if kernel is None:
        if initrd is not None or cmdline is not None:
            raise click.UsageError("--initrd and --cmdline need --kernel.")
        return []
    text = (cmdline or "").encode()
    return [
        ProfileBoot(None, file_boot(kernel.name, Blob.of_file(kernel), Blob.of_file(initrd) if initrd else None, text))
    ]


def _boots(file: Path, mode: DirectBootMode, given: Sequence[ProfileBoot]) -> Sequence[ProfileBoot]:
    """What a hypervisor boots itself beside this file's firmware: what was given, or what a UKI has."""
    if mode is DirectBootMode.NONE:
        return given
    if given:
        raise click.UsageError("--kernel and --direct-boot are two ways to say what is booted.")
    if not _is_image(file):
        raise RecipeError("only a UKI has a kernel to boot", where=str(file), hint="name the kernel with --kernel")
    if mode is DirectBootMode.IMAGE:
        return [image_boot(Blob.of_file(file))]
    return list(section_boots(inspect(file), section_digest))


def _predict(
    host: PluginHost,
    requests: Sequence[LaunchRequest],
    subject: LaunchFirmware,
    boots: Sequence[ProfileBoot],
    runtime: Runtime | None,
) -> Iterator[LaunchRecord]:
    for request in requests:
        record = next(predict(host, request, [subject], boots, runtime))
        if not record.prediction.digests:
            reasons = [note.message for note in record.prediction.notes]
            hint = "'fuki firmware show' tells what it has"
            text = reasons[0] if reasons else "the firmware is not made for any known confidential technology"
            raise FukiError(text, where=subject.name, hint=hint)
        yield record


def _show(records: Sequence[LaunchRecord], handing_over: Sequence[str], as_json: bool) -> None:
    if as_json:
        from fuki_build.cli.render.json import print_document  # noqa: PLC0415

        print_document(to_document(records))
        return
    from fuki_build.cli.render.launch import show_launches  # noqa: PLC0415

    show_launches(records, handing_over)
