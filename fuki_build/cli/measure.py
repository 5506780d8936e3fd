"""`fuki measure`: what machines will measure when they boot an image, computed from its file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fuki_build import pipeline
from fuki_build.checks.stub import unknown as unknown_stub
from fuki_build.cli.fleet import each_image, images_argument, json_lines_option
from fuki_build.cli.render.json import DocumentPrinter
from fuki_build.cli.render.plain import tell
from fuki_build.cli.selecting import (
    boot_options,
    chosen_machines,
    filter_options,
    machine_options,
)
from fuki_build.cli.telling import format_options, refuse_with_format, refuse_without_format, write_format
from fuki_build.errors import FukiError, RecipeError, located
from fuki_build.formats.hashes import SIZES
from fuki_build.hardware.machine import Machine
from fuki_build.hooks.host import PluginHost, loaded_machines
from fuki_build.hooks.records import CheckSubject
from fuki_build.image.assemble import assemble
from fuki_build.image.image import ImageKind
from fuki_build.image.inspect import inspect
from fuki_build.image.layout import Layout
from fuki_build.image.profiles import chosen_profiles
from fuki_build.measure.boot_options import boot_digests, read_boot
from fuki_build.measure.pcr7 import PCR as PCR7
from fuki_build.measure.predict import REGISTERS, cases, predict, with_firmware
from fuki_build.measure.registers import BANKS, PHASES, check_banks, split_phases
from fuki_build.measure.rtmr import BANK as RTMR_BANK
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.measure.views import PredictionsView, predictions_view
from fuki_build.signing.secure_boot.boot import with_authorities

if TYPE_CHECKING:
    from fuki_build.emit.of_image import ImageFacts

bank_option = click.option(
    "--bank",
    "banks",
    metavar="NAME",
    multiple=True,
    help=f"{', '.join(BANKS)}, sm3, or 'all' of the first four (repeatable); by default sha256.",
)


@click.command()
@images_argument
@machine_options
@filter_options
@click.option("--phase", "phases", metavar="PATH", multiple=True, help="A path of boot phases (repeatable).")
@bank_option
@click.option("--pcr", "registers", type=int, multiple=True, help="Only this register (repeatable).")
@click.option("--rtmr", "rtmrs", is_flag=True, help="RTMRs of a TDX guest too, and the bank sha384.")
@click.option("--events", is_flag=True, help="List the events that make the values.")
@boot_options
@format_options
@json_lines_option(lambda: PredictionsView)
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
    form: str | None,
    settings: tuple[str, ...],
    output: Path | None,
    as_json: bool,
    **boot: Any,  # noqa: ANN401 - what boot_options give
) -> int:
    """Predict the registers that measure each IMAGE: 4, 9, 11, 12; with Secure Boot's variables 7; RTMRs.

    For each profile, and each firmware and devicetree that machines may select; with --machine or --platform for
    those that these machines do select. With --format, in a form that attestation services read: predictions,
    pcrlock, rvps, keylime, in-toto, and those of loaded plugins.
    """
    refuse_without_format(form, settings, output)
    refuse_with_format(form, {"--json": as_json, "--events": events, "a second image": len(images) > 1})
    chosen = chosen_banks((*banks, *([RTMR_BANK] if rtmrs else ())))
    words = [split_phases(path) for path in phases or PHASES]

    for register in registers:
        if register not in (*REGISTERS, PCR7):
            known = ", ".join(map(str, sorted((*REGISTERS, PCR7))))
            raise RecipeError(f"register {register} is not predicted", where="--pcr", hint=f"there are: {known}")

    if PCR7 in registers and not (boot["variables"] or boot["lists"]):
        raise RecipeError(
            "register 7 is made of Secure Boot's variables, and none were given",
            where="--pcr",
            hint="give the machine's: --variables OVMF_VARS.fd, or --variable db=FILE and the others",
        )

    machines = None
    if files or platforms or this_machine or form:
        host = pipeline.new_host(plugins)
    if files or platforms or this_machine:
        machines = chosen_machines(host, files, platforms, this_machine=this_machine)

    if form is not None:
        selected = {"--profile": profiles, "--firmware": firmware, "--phase": phases, "--pcr": registers}
        options = _recipe_options(banks, selected, boot, rtmrs=rtmrs, chosen=machines is not None)
        write_format(host, form, options, settings, output, lambda: _facts(images[0], host, machines, boot))
        return 0

    def measure_one(image: Path, printer: DocumentPrinter) -> None:
        layout = inspect_uki(image)
        possible = cases(layout, machines, chosen_profiles(layout, profiles))
        with located("--firmware"):
            boot_cases = with_firmware(possible, firmware)

        how = read_boot(chosen, **boot)
        contents = SectionDigests(layout, assemble(layout, digests=boot_digests(chosen, how.policy)), chosen)
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


_OPTIONS = {
    "direct": "direct",
    "options": "options",
    "smbios_options": "smbios-options",
    "console": "console",
    "secure_boot": "secure-boot",
    "variables": "variables",
    "shim": "shim",
    "disk": "disk",
}
"""Options of the command line that are one value in recipes, by their names there."""
_LISTS = {"lists": ("secure-boot-variables", "--variable"), "loaders": ("loaders", "--loader")}
_LISTS["global_addons"] = ("global-addons", "--global-addon")
_FILTERS = {"--profile": "profiles", "--firmware": "firmware", "--phase": "phases", "--pcr": "pcrs"}


def _recipe_options(
    banks: Sequence[str],
    selected: Mapping[str, Sequence[Any]],
    boot: Mapping[str, Any],
    *,
    rtmrs: bool,
    chosen: bool,
) -> Mapping[str, tuple[str, Any]]:
    """The options that were given, by their names in recipes' outputs, each with the option of the command line."""
    options: dict[str, tuple[str, Any]] = {}
    if banks:
        options["banks"] = ("--bank", list(chosen_banks(banks)))
    options |= {_FILTERS[place]: (place, list(values)) for place, values in selected.items() if values}
    if chosen:
        options["machines"] = ("--machine", ["*"])
    if rtmrs:
        options["rtmrs"] = ("--rtmr", True)

    for name, key in _OPTIONS.items():
        if boot[name] not in (None, False):
            value = boot[name]
            options[key] = (f"--{key}", str(value) if isinstance(value, Path) else value)
    for name, (key, place) in _LISTS.items():
        if boot[name]:
            options[key] = (place, [str(value) for value in boot[name]])
    if boot["no_boot_secret"]:
        options["boot-secret"] = ("--no-boot-secret", False)
    return options


def _facts(image: Path, host: PluginHost, machines: Sequence[Machine] | None, boot: Mapping[str, Any]) -> "ImageFacts":
    """The image, with the machines that were named, or all that are known."""
    from fuki_build.emit.of_image import ImageFacts  # noqa: PLC0415 - only where a format was asked for

    known = loaded_machines(host) if machines is None else machines
    return ImageFacts(path=image, layout=inspect_uki(image), addons=boot["addons"], machines=tuple(known))


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
