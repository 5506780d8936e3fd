"""Options of verbs that ask what machines select from an image: machines, profiles, ways to boot."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from fuki_build.cli.machine import read_machine
from fuki_build.errors import RecipeError
from fuki_build.hardware.machine import Machine
from fuki_build.hooks.host import PluginHost, loaded_machines
from fuki_build.measure.chipset import Chipset
from fuki_build.measure.pcr7 import SecureBootState
from fuki_build.recipe.machines import platform_machines

F = TypeVar("F", bound=Callable[..., Any])
_path = click.Path(path_type=Path)

profile_option = click.option("--profile", help="Only this profile, by number or id; by default all.")


def filter_options(verb: F) -> F:
    """`--profile` and `--firmware`, each repeatable, as `profiles` and `firmware`."""
    options = (
        click.option(
            "--profile",
            "profiles",
            metavar="NAME",
            multiple=True,
            help="Only this profile, number or id (repeatable).",
        ),
        click.option(
            "--firmware",
            metavar="FWID",
            multiple=True,
            help="Only where such firmware is selected, also with wildcards; '' is for none (repeatable).",
        ),
    )
    return _with(verb, options)


def machine_options(verb: F) -> F:
    """`--machine`, `--platform` and `--this-machine`, as `files`, `platforms` and `this_machine`."""
    options = (
        click.option(
            "--machine", "files", metavar="FILE", multiple=True, type=_path, help="A machine file or dump (repeatable)."
        ),
        click.option(
            "--platform",
            "platforms",
            metavar="NAME",
            multiple=True,
            help="A loaded platform, 'name:selector', or 'all' (repeatable).",
        ),
        click.option("--this-machine", is_flag=True, help="The machine that this runs on."),
    )

    return _with(verb, options)


def boot_options(verb: F) -> F:
    """How the image is started; `read_boot` takes these as keywords."""
    direct = click.option("--direct", is_flag=True, help="The hypervisor hands the image over, as with QEMU's -kernel.")
    return _with(verb, (direct, *_STARTED, *_SECURED))


def start_options(verb: F) -> F:
    """Those of `boot_options` without the way, and without Secure Boot and what it lets start."""
    return _with(verb, _STARTED)


_STARTED: Sequence[Callable[[Any], Any]] = (
    click.option("--options", metavar="TEXT", help="The command line that the boot loader passes."),
    click.option("--smbios-options", metavar="TEXT", help="What io.systemd.stub.kernel-cmdline-extra= adds."),
    click.option("--console", metavar="TEXT", help="What the stub appends where no console= is given, or ''."),
    click.option("--no-boot-secret", is_flag=True, help="The stub finds no randomness to make its secret of."),
    click.option("--disk", metavar="FILE", type=_path, help="The disk that it starts from, as raw data, for RTMR1."),
    click.option("--addon", "addons", metavar="FILE", multiple=True, type=_path, help="An addon (repeatable)."),
    click.option(
        "--global-addon",
        "global_addons",
        metavar="FILE",
        multiple=True,
        type=_path,
        help="An addon for all images, in loader/addons (repeatable).",
    ),
)
_SECURED: Sequence[Callable[[Any], Any]] = (
    click.option(
        "--secure-boot",
        type=click.Choice([state.value for state in SecureBootState]),
        help="What the variable SecureBoot says; by default as the store of --variables has it, else off.",
    ),
    click.option("--variables", metavar="FILE", type=_path, help="A variable store (OVMF_VARS.fd), to predict PCR 7."),
    click.option(
        "--variable",
        "lists",
        metavar="NAME=FILE",
        multiple=True,
        help="PK, KEK, db or dbx: signature lists or an .auth file, to predict PCR 7 (repeatable).",
    ),
    click.option(
        "--host-firmware",
        metavar="FILE",
        type=_path,
        help="The OVMF image that the machine starts with, to predict PCR 0.",
    ),
    click.option(
        "--chipset",
        type=click.Choice([chipset.value for chipset in Chipset]),
        help="The chipset of the virtual machine, which some builds of OVMF note in what they measure.",
    ),
    click.option(
        "--memory",
        metavar="SIZE",
        help="How much memory the virtual machine has, such as 2G, for RTMR0 of a TDX guest of QEMU.",
    ),
    click.option(
        "--volume-unchanged",
        is_flag=True,
        help="No driver of that build but its PEI core writes into its first volume before it is measured.",
    ),
    click.option(
        "--firmware-log",
        metavar="FILE",
        type=_path,
        help="An event log of such a machine with that firmware, for what its drivers write.",
    ),
    click.option("--shim", is_flag=True, help="A shim is there, through which the stub loads the kernel."),
    click.option(
        "--loader",
        "loaders",
        metavar="FILE",
        multiple=True,
        type=_path,
        help="An EFI program that starts before the image, such as a boot menu (repeatable, in their order).",
    ),
)


def _with(verb: F, options: Iterable[Callable[[F], F]]) -> F:
    for option in reversed(list(options)):
        verb = option(verb)
    return verb


def chosen_machines(
    host: PluginHost, files: Sequence[Path], platforms: Sequence[str], *, this_machine: bool
) -> list[Machine]:
    """The machines that `machine_options` name, this one first."""
    machines = [read_machine(None)] if this_machine else []
    machines += [read_machine(file) for file in files]
    for name in platforms:
        machines += loaded_machines(host) if name == "all" else platform_machines(name, host, "--platform")
    if platforms and not machines:
        raise RecipeError("the platforms that were named have no machines", where="--platform")
    return machines
