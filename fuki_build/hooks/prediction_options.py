"""The options of output formats that tell of predictions, and the boot that they describe."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from fuki_build.errors import FukiError, RecipeError
from fuki_build.hooks.options import Options
from fuki_build.hooks.outputs import Build, BuiltImage
from fuki_build.image.blob import Blob
from fuki_build.image.inspect import inspect
from fuki_build.measure.boot import Addon, Boot
from fuki_build.measure.boot_options import memory_size, read_boot, refuse_log_alone
from fuki_build.measure.chipset import Chipset
from fuki_build.measure.pcr7 import SecureBootState
from fuki_build.measure.registers import BANKS, PHASES
from fuki_build.measure.secure_boot_files import read_policy, split_variable


class PredictionOptions(Options, frozen=True, kw_only=True):
    """What predictions are of; a format's own options derive from it. `fuki measure` has the same."""

    banks: Annotated[tuple[str, ...], Meta(description=f"of {', '.join(BANKS)}")] = ("sha256",)
    pcrs: Annotated[tuple[int, ...], Meta(description="the registers to tell of; by default all predicted ones")] = ()
    phases: Annotated[tuple[str, ...], Meta(description="paths of boot phases for PCR 11")] = PHASES
    profiles: Annotated[tuple[str, ...], Meta(description="only these profiles, by number or id")] = ()
    firmware: Annotated[
        tuple[str, ...],
        Meta(description='only where such firmware is selected: fwids, also with wildcards; "" is for none selected'),
    ] = ()
    machines: Annotated[
        tuple[str, ...],
        Meta(description="only what such machines select: names of the recipe's and the platforms', with wildcards"),
    ] = ()
    direct: Annotated[bool, Meta(description="whether the hypervisor hands the image over, as with -kernel")] = False
    options: Annotated[str | None, Meta(description="the command line that the boot loader passes")] = None
    smbios_options: Annotated[
        str | None, Meta(description="what the SMBIOS string io.systemd.stub.kernel-cmdline-extra= adds to it")
    ] = None
    console: Annotated[
        str | None, Meta(description='what the stub appends where no console= is given; "" for nothing')
    ] = None
    secure_boot: Annotated[
        bool | SecureBootState | None,
        Meta(description="what the variable SecureBoot says; by default as the store has it, else off"),
    ] = None
    variables: Annotated[
        str | None, Meta(description="a variable store (OVMF_VARS.fd) that PCR 7 is predicted from")
    ] = None
    secure_boot_variables: Annotated[
        tuple[str, ...],
        Meta(description="PK, KEK, db or dbx that PCR 7 is predicted from, as NAME=FILE: signature lists, .auth files"),
    ] = ()
    host_firmware: Annotated[
        str | None, Meta(description="the OVMF image that the machine starts with, that PCR 0 is predicted from")
    ] = None
    chipset: Annotated[
        Chipset | None, Meta(description="the virtual machine's, which some builds of OVMF note in what they measure")
    ] = None
    memory: Annotated[
        str | None, Meta(description="how much memory it has, such as 2G, for RTMR0 of a TDX guest of QEMU")
    ] = None
    volume_unchanged: Annotated[
        bool, Meta(description="whether no driver of that build but its PEI core writes into its first volume")
    ] = False
    firmware_log: Annotated[
        str | None,
        Meta(description="an event log of such a machine with that firmware, for what its drivers write"),
    ] = None
    shim: Annotated[bool, Meta(description="whether a shim is there, through which the stub loads the kernel")] = False
    boot_secret: Annotated[bool, Meta(description="whether the stub may add a secret of the machine")] = True
    loaders: Annotated[
        tuple[str, ...], Meta(description="EFI programs that start before the image, such as a boot menu, in order")
    ] = ()
    addons: Annotated[bool, Meta(description="whether the image's addons are beside it")] = True
    global_addons: Annotated[
        tuple[str, ...], Meta(description="addons for all images, in loader/addons of the boot partition")
    ] = ()


class RegisterOptions(PredictionOptions, frozen=True, kw_only=True):
    """Those of formats that tell of the registers of guests without a TPM, too."""

    rtmrs: Annotated[bool, Meta(description="RTMRs of a TDX guest too, and the bank sha384")] = False
    disk: Annotated[str | None, Meta(description="the disk that it starts from, as raw data, for RTMR1")] = None


def has_variables(options: PredictionOptions) -> bool:
    """Whether PCR 7 is predicted."""
    return bool(options.variables or options.secure_boot_variables)


def has_rtmrs(options: PredictionOptions) -> bool:
    """Whether RTMRs are told."""
    return isinstance(options, RegisterOptions) and options.rtmrs


def _disk(options: PredictionOptions) -> str | None:
    return options.disk if isinstance(options, RegisterOptions) else None


def option_files(options: PredictionOptions) -> Iterator[str]:
    """The files that are read, as the options name them. Raises `RecipeError`."""
    if options.variables is not None:
        yield options.variables
    for index, text in enumerate(options.secure_boot_variables):
        yield split_variable(text, f"secure-boot-variables[{index}]")[1]
    if options.host_firmware is not None:
        yield options.host_firmware
    if options.firmware_log is not None:
        yield options.firmware_log
    yield from (file for _, file in _programs(options))
    disk = _disk(options)
    if disk is not None:
        yield disk


def _programs(options: PredictionOptions) -> Iterator[tuple[str, str]]:
    """EFI programs beside the image, with the places of the options that name them."""
    for name, files in (("loaders", options.loaders), ("global-addons", options.global_addons)):
        for index, file in enumerate(files):
            yield f"{name}[{index}]", file


def check_files(options: PredictionOptions, directory: Path) -> None:
    """Raise `FukiError` at the option that names a file which cannot be used, as far as headers tell."""
    if options.variables is not None:
        with named("variables"):
            read_policy(directory / options.variables, (), None)
    for index, text in enumerate(options.secure_boot_variables):
        place = f"secure-boot-variables[{index}]"
        split_variable(text, place)
        with named(place):
            read_policy(None, [_in_directory(text, directory)], None)

    if options.host_firmware is not None:
        with named("host-firmware"):
            Blob.of_file(directory / options.host_firmware)
    if options.memory is not None:
        with named("memory"):
            memory_size(options.memory)
    if options.firmware_log is not None:
        with named("firmware-log"):
            refuse_log_alone(options.firmware_log, options.host_firmware)
            Blob.of_file(directory / options.firmware_log)
    for place, file in _programs(options):
        with named(place):
            inspect(directory / file)
    disk = _disk(options)
    if disk is not None:
        with named("disk"):
            Blob.of_file(directory / disk)


def _in_directory(text: str, directory: Path) -> str:
    """NAME=FILE with the file where it is."""
    name, file = split_variable(text)
    return f"{name}={directory / file}"


@contextmanager
def named(place: str) -> Iterator[None]:
    """Around what may be wrong with an option's value: an error names the option, and before its message the file."""
    try:
        yield
    except FukiError as error:
        if error.where and not isinstance(error, RecipeError):
            error.message = f"{error.where}: {error.message}"
        error.where = place
        raise


def boot_of(options: PredictionOptions, build: Build, banks: Sequence[str]) -> Boot:
    """How the image is started, with the files read that the options name. Raises `FukiError`."""
    directory = build.directory
    disk = _disk(options)
    boot = read_boot(
        banks,
        direct=options.direct,
        options=options.options,
        smbios_options=options.smbios_options,
        console=options.console,
        secure_boot=_state(options.secure_boot),
        variables=directory / options.variables if options.variables is not None else None,
        lists=[_in_directory(text, directory) for text in options.secure_boot_variables],
        shim=options.shim,
        no_boot_secret=not options.boot_secret,
        loaders=[directory / file for file in options.loaders],
        global_addons=[directory / file for file in options.global_addons],
        disk=directory / disk if disk is not None else None,
        host_firmware=directory / options.host_firmware if options.host_firmware is not None else None,
        chipset=options.chipset,
        memory=options.memory,
        volume_unchanged=options.volume_unchanged,
        firmware_log=directory / options.firmware_log if options.firmware_log is not None else None,
    )
    return replace(boot, addons=tuple(map(_beside, build.addons)) if options.addons else ())


def _state(secure_boot: bool | SecureBootState | None) -> SecureBootState | None:
    if isinstance(secure_boot, bool):
        return SecureBootState.ON if secure_boot else SecureBootState.OFF
    return secure_boot


def _beside(addon: BuiltImage) -> Addon:
    name = addon.layout.name
    return Addon(name if name.endswith(".efi") else f"{name}.addon.efi", addon.layout, addon.assembly)
