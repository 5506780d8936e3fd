"""Options of verbs that ask what machines select from an image: machines, profiles, ways to boot."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from fuki_build.cli.machine import read_machine
from fuki_build.errors import FukiError, RecipeError
from fuki_build.hardware.machine import Machine
from fuki_build.hooks.host import PluginHost, loaded_machines
from fuki_build.image.assemble import assemble
from fuki_build.image.describe import describe
from fuki_build.image.inspect import inspect
from fuki_build.image.layout import Layout
from fuki_build.measure.boot import Addon, Boot, Way
from fuki_build.recipe.machines import platform_machines

F = TypeVar("F", bound=Callable[..., Any])
_path = click.Path(path_type=Path)

profile_option = click.option("--profile", help="Only this profile, by number or id; by default all.")


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
    options = (
        click.option("--direct", is_flag=True, help="The hypervisor hands the image over, as with QEMU's -kernel."),
        click.option("--options", metavar="TEXT", help="The command line that the boot loader passes."),
        click.option("--smbios-options", metavar="TEXT", help="What io.systemd.stub.kernel-cmdline-extra= adds."),
        click.option("--console", metavar="TEXT", help="What the stub appends where no console= is given, or ''."),
        click.option("--secure-boot", is_flag=True, help="Secure Boot is on."),
        click.option("--shim", is_flag=True, help="A shim is there, through which the stub loads the kernel."),
        click.option("--no-boot-secret", is_flag=True, help="The stub finds no randomness to make its secret of."),
        click.option(
            "--loader",
            "loaders",
            metavar="FILE",
            multiple=True,
            type=_path,
            help="An EFI program that starts before the image, such as a boot menu (repeatable, in their order).",
        ),
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
    return _with(verb, options)


def _with(verb: F, options: Iterable[Callable[[F], F]]) -> F:
    for option in reversed(list(options)):
        verb = option(verb)
    return verb


def chosen_machines(
    host: PluginHost, files: Sequence[Path], platforms: Sequence[str], *, this_machine: bool
) -> list[Machine]:
    """The machines that `machine_options` name, this one first."""
    found = [read_machine(None)] if this_machine else []
    found += [read_machine(file) for file in files]
    for name in platforms:
        found += loaded_machines(host) if name == "all" else platform_machines(name, host, "--platform")
    return found


def chosen_profiles(layout: Layout, text: str | None) -> Sequence[int | None]:
    """The profiles that `--profile` names. Raises `RecipeError` where there is none."""
    numbers: Sequence[int | None] = layout.profiles or (None,)
    if text is None:
        return numbers
    profiles = describe(layout).profiles
    found = [p.number for p in profiles if text in (p.id, str(p.number))]
    if not found:
        there = ", ".join(f"{p.number} ({p.id})" for p in profiles) or "none"
        raise RecipeError(f"there is no profile {text!r}", where=layout.where, hint=f"there are: {there}")
    return found


def read_boot(
    banks: Sequence[str],
    *,
    direct: bool,
    options: str | None,
    smbios_options: str | None,
    console: str | None,
    secure_boot: bool,
    shim: bool,
    no_boot_secret: bool,
    loaders: Sequence[Path],
    addons: Sequence[Path],
    global_addons: Sequence[Path],
) -> Boot:
    """The boot that `boot_options` describe; programs and addons are read, and digested in these banks."""
    return Boot(
        way=Way.DIRECT if direct else Way.DISK,
        options=options,
        smbios=smbios_options,
        secure_boot=secure_boot,
        shim=shim,
        secret=not no_boot_secret,
        console=console,
        loaders=tuple(_program(path, banks) for path in loaders),
        global_addons=tuple(_program(path, banks) for path in global_addons),
        addons=tuple(_program(path, banks) for path in addons),
    )


def _program(path: Path, banks: Sequence[str]) -> Addon:
    try:
        layout = inspect(path)
        return Addon(path.name, layout, assemble(layout, algorithms=banks, measured=True))
    except FukiError as error:
        raise error.at(str(path)) from error
