"""`fuki measure`: what machines will measure when they boot an image, computed from its file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from fuki_build import pipeline
from fuki_build.checks.stub import unknown as unknown_stub
from fuki_build.cli.fleet import cache_option, each_image, images_argument, json_lines_option
from fuki_build.cli.render.json import DocumentPrinter
from fuki_build.cli.render.plain import tell
from fuki_build.cli.selecting import (
    boot_options,
    chosen_machines,
    filter_options,
    machine_options,
)
from fuki_build.cli.telling import format_options, refuse_with_format, refuse_without_format
from fuki_build.errors import FukiError, RecipeError, located
from fuki_build.formats.documents import Document
from fuki_build.formats.hashes import SIZES
from fuki_build.hooks.rules import CheckSubject
from fuki_build.image.digest_cache import digest_image, keeping_digests
from fuki_build.image.image import ImageKind
from fuki_build.image.inspect import inspect
from fuki_build.image.layout import Layout
from fuki_build.image.profiles import chosen_profiles
from fuki_build.measure.boot_options import boot_digests, read_boot
from fuki_build.measure.pcr0 import PCR as PCR0
from fuki_build.measure.pcr1 import PCR as PCR1
from fuki_build.measure.pcr7 import PCR as PCR7
from fuki_build.measure.predict import REGISTERS, cases, predict, with_firmware
from fuki_build.measure.registers import BANKS, PHASES, check_banks, split_phases
from fuki_build.measure.rtmr import BANK as RTMR_BANK
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.measure.views import PredictionsView, predictions_view
from fuki_build.signing.secure_boot.boot import with_authorities

bank_option = click.option(
    "--bank",
    "banks",
    metavar="NAME",
    multiple=True,
    help=f"{', '.join(BANKS)}, sm3, or 'all' of the first four (repeatable); by default sha256.",
)


def _documents() -> tuple[type[Document], ...]:
    from fuki_build.release.update_views import UpdateView  # noqa: PLC0415 - only with a log

    return PredictionsView, UpdateView


@click.command()
@images_argument
@machine_options
@filter_options
@click.option("--phase", "phases", metavar="PATH", multiple=True, help="A path of boot phases (repeatable).")
@bank_option
@click.option("--pcr", "registers", type=int, multiple=True, help="Only this register (repeatable).")
@click.option("--rtmr", "rtmrs", is_flag=True, help="RTMRs of a TDX guest too, and the bank sha384.")
@click.option("--events", is_flag=True, help="List the events that make the values.")
@click.option("--log", type=click.Path(path_type=Path), help="The machine's event log of a boot before the update.")
@click.option("--old", type=click.Path(path_type=Path), help="The image that it booted then, with --log.")
@boot_options
@format_options
@cache_option
@json_lines_option(_documents)
@click.pass_obj
def measure(  # noqa: PLR0917 - click passes them by name
    plugins: tuple[str, ...],
    /,
    images: tuple[Path, ...],
    files: tuple[Path, ...],
    platforms: tuple[str, ...],
    this_machine: bool,
    profiles: tuple[str, ...],
    firmware: tuple[str, ...],
    phases: tuple[str, ...],
    banks: tuple[str, ...],
    registers: tuple[int, ...],
    rtmrs: bool,
    events: bool,
    log: Path | None,
    old: Path | None,
    form: str | None,
    settings: tuple[str, ...],
    output: Path | None,
    cache: bool,
    as_json: bool,
    **boot: Any,  # noqa: ANN401 - what boot_options give
) -> int:
    """Predict the registers that measure each IMAGE: 4, 9, 11, 12; with Secure Boot's variables 7; RTMRs.

    For each profile, and each firmware and devicetree that machines may select; with --machine or --platform for
    those that these machines do select. With --format, in a form that attestation services read: predictions,
    pcrlock, rvps, keylime, in-toto, and those of loaded plugins.

    With --log, predict all registers of the machine whose log it is, after an update to IMAGE: what firmware and boot
    loaders measured is kept, and the image's events take the place of those of the image that it booted. With --format,
    too, tell of that boot alone.
    """
    refuse_without_format(form, settings, output)
    others = {"--json": as_json, "--events": events, "a second image": len(images) > 1}
    refuse_with_format(form, others)
    if form is not None and cache:
        raise click.UsageError("--cache is for what is shown: what --format writes is computed of all bytes.")
    if log is None:
        _check_registers(registers, boot)
    _refuse_with_log(log, old, rtmrs=rtmrs, profiles=profiles, firmware=firmware)

    chosen = chosen_banks((*banks, *([RTMR_BANK] if rtmrs else ())))
    words = [split_phases(path) for path in phases or PHASES]

    machines = None
    if files or platforms or this_machine:
        machines = chosen_machines(pipeline.new_host(plugins), files, platforms, this_machine=this_machine)

    if log is not None:
        from fuki_build.cli.measure_update import (  # noqa: PLC0415 - only with a log
            UpdateRequest,
            boot_after_update,
            measure_updates,
        )

        request = UpdateRequest(
            log=log,
            old=old,
            profile=profiles[0] if profiles else None,
            machines=machines,
            banks=banks,
            phases=words,
            registers=registers,
            boot=boot,
            cache=cache,
        )
        if form is None:
            return measure_updates(images, request, as_json=as_json, events=events)
        boot, profiles, firmware = boot_after_update(images[0], request)

    if form is not None:
        from fuki_build.cli.measure_format import recipe_options, write_measured  # noqa: PLC0415 - only with a format

        selected = {"--profile": profiles, "--firmware": firmware, "--phase": phases, "--pcr": registers}
        options = recipe_options(banks, selected, boot, rtmrs=rtmrs, chosen=machines is not None)
        write_measured(pipeline.new_host(plugins), form, options, settings, output, images[0], machines, boot["addons"])
        return 0

    def measure_one(image: Path, printer: DocumentPrinter) -> None:
        layout = inspect_uki(image)
        possible = cases(layout, machines, chosen_profiles(layout, profiles))
        with located("--firmware"):
            boot_cases = with_firmware(possible, firmware)

        with keeping_digests(cache):
            how = read_boot(chosen, **boot)
            contents = SectionDigests(layout, digest_image(layout, boot_digests(chosen, how.policy)), chosen)
            how = with_authorities(how, contents)

            predictions = predict(contents, boot_cases, how)
            view = predictions_view(layout, predictions, words, how, registers, rtmrs=rtmrs)

        if as_json:
            printer.print(view)
        else:
            from fuki_build.cli.render.measure import show_predictions  # noqa: PLC0415

            show_predictions(view, events=events)

    return each_image(
        images, measure_one, as_json=as_json, machines=machines or (), modules=("fuki_build.cli.render.measure",)
    )


def _check_registers(registers: Sequence[int], boot: Mapping[str, Any]) -> None:
    """Raise `RecipeError` for a register that is not predicted, or not without what decides it."""
    for register in registers:
        if register not in (PCR0, PCR1, *REGISTERS, PCR7):
            known = ", ".join(map(str, sorted((PCR0, *REGISTERS, PCR7))))
            raise RecipeError(f"register {register} is not predicted", where="--pcr", hint=f"there are: {known}")

    of_firmware = [register for register in registers if register in (PCR0, PCR1)]
    if of_firmware and not boot["host_firmware"]:
        raise RecipeError(
            f"register {of_firmware[0]} is made of the machine's firmware, and none was given",
            where="--pcr",
            hint="give the OVMF image that it starts with: --host-firmware OVMF.fd",
        )

    if PCR7 in registers and not (boot["variables"] or boot["lists"]):
        raise RecipeError(
            "register 7 is made of Secure Boot's variables, and none were given",
            where="--pcr",
            hint="give the machine's: --variables OVMF_VARS.fd, or --variable db=FILE and the others",
        )


def _refuse_with_log(
    log: Path | None, old: Path | None, *, rtmrs: bool, profiles: Sequence[str], firmware: Sequence[str]
) -> None:
    """Raise `RecipeError` for what means nothing without a log, or with one."""
    if old is not None and log is None:
        raise RecipeError("an old image says nothing without a log of its boot", where="--old", hint="give --log FILE")
    if log is None:
        return
    if rtmrs:
        raise RecipeError("the log tells whether the machine has RTMRs", where="--rtmr", hint="leave it out")
    if firmware:
        hint = "leave it out, and name the machine with --machine"
        raise RecipeError("an update is of one machine, which selects one firmware", where="--firmware", hint=hint)
    if len(profiles) > 1:
        raise RecipeError("an update is to one profile", where="--profile", hint="give one of them")


def chosen_banks(names: Sequence[str]) -> tuple[str, ...]:
    """The banks that `--bank` names. Raises `RecipeError`."""
    named = [name for name in names if name != "all"]
    usual = BANKS if "all" in names else ()
    return check_banks((*usual, *named) or ("sha256",), known=SIZES)


def inspect_uki(image: Path) -> Layout:
    """The layout of a UKI; a warning where its stub's behaviour is not known. Raises `FukiError` for other files."""
    layout = inspect(image)
    if layout.kind is not ImageKind.UKI:
        raise FukiError("this is no UKI: it has no .linux section", where=str(image))
    for problem in unknown_stub(CheckSubject(layout)):
        tell(f"fuki: warning: {problem.message}")
    return layout
