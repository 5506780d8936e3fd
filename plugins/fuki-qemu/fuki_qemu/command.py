"""`fuki boot`: an image in QEMU, as a machine of a cloud."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from fuki_build import json_option
from fuki_build.errors import FukiError, MismatchError
from fuki_build.hooks import encode_json

if TYPE_CHECKING:
    from fuki_build import Machine, PluginHost

    from fuki_qemu.session import Booted, BootRequest
    from fuki_qemu.show import BootDocument

_path = click.Path(path_type=Path)
_VERIFY_TIMEOUT = 300.0
"""Seconds that a boot may take which nobody watches."""
_LAST_LINES = 5


def _document() -> "type[BootDocument]":
    from fuki_qemu.show import BootDocument  # noqa: PLC0415

    return BootDocument


@click.command()
@click.argument("image", type=_path)
@click.option(
    "--as", "as_", metavar="PLATFORM", help="Be a machine of a platform ('name', 'name:selector'), or a file's."
)
@click.option("--profile", help="The profile to boot, by number or id; by default the first.")
@click.option("--options", metavar="TEXT", help="The command line that the firmware's boot option passes.")
@click.option("--addon", "addons", metavar="FILE", multiple=True, type=_path, help="An addon (repeatable).")
@click.option("--direct", is_flag=True, help="Hand the image over with QEMU's -kernel, without a disk.")
@click.option(
    "--host",
    "interface",
    metavar="INTERFACE",
    type=click.Choice(["vm-launch-update"]),
    help="A host that takes the guest's own firmware: QEMU's vm-launch-update, or where QEMU lacks it, a model of it.",
)
@click.option("--firmware", metavar="FILE", type=_path, help="OVMF.fd or OVMF_CODE.fd; by default this machine's.")
@click.option("--variables", metavar="FILE", type=_path, help="The variable store of that OVMF_CODE.fd.")
@click.option(
    "--secure-boot",
    "keys",
    metavar="KEYS",
    type=_path,
    help="Secure Boot with a directory of keys, or a store of them.",
)
@click.option("--memory", metavar="SIZE", default="1G", show_default=True, help="For instance 512M or 2G.")
@click.option("--kvm/--no-kvm", default=None, help="Let KVM run the guest, or emulate it; by default what works.")
@click.option("--timeout", metavar="SECONDS", type=click.FloatRange(min=1), help="End the guest after this time.")
@click.option("--raw", is_flag=True, help="Let all escape sequences of the guest through to the terminal.")
@click.option("--verify", is_flag=True, help="Hold what the guest measured against what was predicted.")
@click.option("--keep", metavar="DIR", type=_path, help="Leave console, report and event log there.")
@json_option(_document, "Print a verdict as JSON, and no console.")
@click.pass_obj
def boot(  # noqa: PLR0917 - click passes them by name
    plugins: tuple[str, ...],
    /,
    image: Path,
    as_: str | None,
    profile: str | None,
    options: str | None,
    addons: tuple[Path, ...],
    direct: bool,
    interface: str | None,
    firmware: Path | None,
    variables: Path | None,
    keys: Path | None,
    memory: str,
    kvm: bool | None,
    timeout: float | None,
    raw: bool,
    verify: bool,
    keep: Path | None,
    as_json: bool,
) -> None:
    """Boot IMAGE in QEMU, with UEFI firmware and a software TPM.

    The console is on the terminal, of its escape sequences those that move the cursor and colour: end the guest from
    inside, or with Ctrl-C. With --verify a probe starts in place of
    the initrd's first program; exit code 3 means that something was measured that was not predicted.
    """
    from fuki_build import new_host  # noqa: PLC0415 - slow to load

    from fuki_qemu import guest, session  # noqa: PLC0415
    from fuki_qemu.host.choice import Host  # noqa: PLC0415

    host = new_host(plugins)
    quiet = verify or as_json
    request = session.BootRequest(
        image=image,
        machine=_machine(as_, host) if as_ else None,
        profile=profile,
        options=options,
        addons=addons,
        direct=direct,
        host=Host(interface) if interface else None,
        firmware=firmware,
        variables=variables,
        keys=keys,
        memory=memory,
        kvm=kvm,
        verify=verify,
        timeout=timeout if timeout or not quiet else _VERIFY_TIMEOUT,
        screen=guest.Screen.NONE if quiet else guest.Screen.RAW if raw else guest.Screen.FILTERED,
    )
    _tell(session.boot(request, host, keep), request, as_json=as_json)


def _machine(text: str, host: "PluginHost") -> "Machine":
    from fuki_build import find_machines  # noqa: PLC0415

    machines = find_machines(text, Path(), host, "--as")
    if len(machines) > 1:
        click.echo(f"fuki: {text!r} is {len(machines)} machines; this is {machines[0].name}", err=True)
    return machines[0]


def _tell(booted: "Booted", request: "BootRequest", *, as_json: bool) -> None:
    """Say what came of it. Raises `FukiError` where the guest did not do what was asked for."""
    from fuki_qemu import show, verdict  # noqa: PLC0415
    from fuki_qemu.host.verdict import compare_starts  # noqa: PLC0415

    rows: tuple[verdict.VerdictRow, ...] = ()
    if booted.prediction is not None and booted.report is not None:
        rows = verdict.compare(booted.layout, booted.machine, booted.prediction, booted.report)
    starts = compare_starts(booted.hosted) if booted.hosted else ()
    if as_json:
        click.echo(encode_json(show.document(booted, rows, starts)), nl=False)
    else:
        if starts:
            show.print_starts(booted, starts)
        if rows:
            show.print_table(booted, rows)
        show.print_hand_over(booted)
    error = _error(booted, request)
    if error is not None:
        raise error
    if verdict.is_mismatch([*rows, *(row for start in starts for row in start.compared)]):
        raise MismatchError("the guest measured other things than predicted", where=str(request.image))


def _error(booted: "Booted", request: "BootRequest") -> FukiError | None:
    """What went wrong before there was anything to compare."""
    from fuki_qemu.guest import Ending  # noqa: PLC0415

    where = str(request.image)
    last = "\n".join(line for line in booted.console.splitlines() if line.strip()).splitlines()[-_LAST_LINES:]
    hint = "the console ends with: " + " / ".join(last) if last else "the console is empty"
    match booted.outcome.ending:
        case Ending.REFUSED:
            return FukiError(f"the firmware did not start the image: {booted.outcome.reason}", where=where, hint=hint)
        case Ending.TIMEOUT if booted.report is None:
            return FukiError(f"the guest was not done after {request.timeout:g} seconds", where=where, hint=hint)
    if request.verify and booted.report is None:
        return FukiError("the guest ended, and its probe told nothing", where=where, hint=hint)
    return None
