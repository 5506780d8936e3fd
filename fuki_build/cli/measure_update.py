"""`fuki measure --log`: the registers of a machine after an update, from the event log of its boot before it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct

from fuki_build.cli.fleet import each_image
from fuki_build.cli.measure import inspect_uki
from fuki_build.cli.render.json import DocumentPrinter
from fuki_build.cli.replay import read_log
from fuki_build.errors import FukiError, MismatchError, RecipeError, located
from fuki_build.formats.hashes import SIZES
from fuki_build.formats.tcg.event_log import EventLog
from fuki_build.hardware.machine import Machine
from fuki_build.image.digest_cache import digest_image, keeping_digests
from fuki_build.image.layout import Layout
from fuki_build.measure.boot import BootMethod
from fuki_build.measure.boot_options import boot_digests, read_boot
from fuki_build.measure.logged_boot import with_logged
from fuki_build.measure.pcr7 import SecureBootState
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.release.machine_update import MachineUpdate, update_with_old, update_without_old
from fuki_build.release.update_views import UpdateView, update_view

_DEFAULT_BANK = "sha256"


class UpdateRequest(Struct, frozen=True, kw_only=True):
    """What is asked of an update: the log and perhaps the image of the boot before it, and what is to be shown.

    `machines` is None where none were named, `boot` are keywords of `read_boot`, `phases` are words of phase paths;
    `cache` lets digests be kept.
    """

    log: Path
    old: Path | None
    profile: str | None
    machines: Sequence[Machine] | None
    banks: Sequence[str]
    phases: Sequence[Sequence[str]]
    registers: Sequence[int]
    boot: Mapping[str, Any]
    cache: bool


def measure_updates(images: Sequence[Path], request: UpdateRequest, *, as_json: bool, events: bool) -> int:
    """Show the registers after an update to each image; the worst exit code. Raises `FukiError`."""
    log = _whole_log(request.log)
    banks = _shown_banks(log, request.banks)

    def measure_one(image: Path, printer: DocumentPrinter) -> None:
        with keeping_digests(request.cache):
            view = _view(image, request, log, banks)
        if as_json:
            printer.print(view)
        else:
            from fuki_build.cli.render.update import show_update  # noqa: PLC0415

            show_update(view, events=events)

    machines, modules = request.machines or (), ("fuki_build.cli.render.update",)
    return each_image(images, measure_one, as_json=as_json, machines=machines, modules=modules)


class LoggedBoot(NamedTuple):
    """How a log's machine boots an image, in the words of the verb's options: keywords of `read_boot`, and filters."""

    boot: dict[str, Any]
    profiles: tuple[str, ...]
    firmware: tuple[str, ...]


def boot_after_update(image: Path, request: UpdateRequest) -> LoggedBoot:
    """How the machine boots the image after the update. Raises `FukiError`."""
    update, _, _ = _update(image, request, _whole_log(request.log))
    boot, case = update.boot, update.prediction.case
    logged = {
        "direct": boot.method is BootMethod.DIRECT,
        "options": boot.options,
        "smbios_options": boot.smbios,
        "console": boot.console,
        "no_boot_secret": not boot.secret,
        "shim": boot.shim,
        "secure_boot": SecureBootState.ON.value if boot.secure_boot else request.boot["secure_boot"],
    }
    profiles = () if case.profile is None else (str(case.profile),)
    return LoggedBoot({**request.boot, **logged}, profiles, (case.firmware or "",))


def _view(image: Path, request: UpdateRequest, log: EventLog, banks: Sequence[str]) -> UpdateView:
    update, new, old = _update(image, request, log)
    return update_view(update, new, old, str(request.log), banks, request.phases, request.registers)


def _update(image: Path, request: UpdateRequest, log: EventLog) -> tuple[MachineUpdate, Layout, Layout | None]:
    """The update, the new image, and the old one if it was given."""
    if request.old is not None and request.profile is not None:
        raise RecipeError("the log and the old image tell the profile", where="--profile", hint="leave it out")
    new = inspect_uki(image)
    old = None if request.old is None else inspect_uki(request.old)

    computed = _computable(log)
    boot = with_logged(read_boot(computed, **request.boot), log)
    digests = boot_digests(computed, boot.policy)
    contents = SectionDigests(new, digest_image(new, digests), computed)

    update: MachineUpdate
    with located(str(request.log)):
        if old is None:
            update = update_without_old(log, contents, request.profile, request.machines, boot)
        else:
            before = SectionDigests(old, digest_image(old, digests), computed)
            update = update_with_old(log, before, contents, request.machines, boot)

    return update, new, old


def _whole_log(path: Path) -> EventLog:
    """The log in a file. Raises `FukiError`, of a damaged one too: what follows the damage would be missing."""
    log = read_log(path, None)
    if log.flaw:
        raise MismatchError(
            f"the log is damaged behind its first {log.end} bytes ({log.end:#x}): {log.flaw}",
            where=str(path),
            hint="was the file copied to its end? fuki replay shows what stands before that",
        )
    return log


def _computable(log: EventLog) -> tuple[str, ...]:
    return tuple(bank for bank in SIZES if bank in log.banks)


def _shown_banks(log: EventLog, named: Sequence[str]) -> tuple[str, ...]:
    """The banks that `--bank` names, all of the log's for `all`, by default SHA-256 or the log's first.

    Raises `RecipeError` for a bank that the log does not have, `FukiError` where none of its banks can be computed.
    """
    banks = _computable(log)
    if not banks:
        raise FukiError(f"none of the log's banks can be computed: {', '.join(log.banks)}")
    if "all" in named:
        return banks

    missing = [name for name in named if name not in banks]
    if missing:
        raise RecipeError(f"the log has no bank {missing[0]}", where="--bank", hint=f"it has {', '.join(banks)}")
    return tuple(bank for bank in banks if bank in named) or ((_DEFAULT_BANK,) if _DEFAULT_BANK in banks else banks[:1])
