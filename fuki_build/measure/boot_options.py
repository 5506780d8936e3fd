"""How images are booted, as command lines describe it: programs beside the image, its disk, Secure Boot's variables."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from fuki_build.errors import FormatError, FukiError, RecipeError, located, raised_as
from fuki_build.formats.tcg.event_log import EventLog
from fuki_build.image.blob import AnyPath, Blob
from fuki_build.image.digest_cache import digest_image
from fuki_build.image.digest_plan import DigestNeeds, measured_in
from fuki_build.image.inspect import inspect
from fuki_build.measure.boot import Addon, Boot, BootMethod
from fuki_build.measure.chipset import Chipset
from fuki_build.measure.events import Event
from fuki_build.measure.pcr7 import SecureBootPolicy, SecureBootState
from fuki_build.measure.secure_boot_files import read_policy

_MEMORY, _UNITS = re.compile(r"([1-9][0-9]{0,6})([MGT])"), {"M": 20, "G": 30, "T": 40}
_MAX_FIRMWARE = 64 * 1024 * 1024
"""Largest firmware image that is read, in bytes; real ones have 2 to 16 MiB."""


def boot_digests(banks: Iterable[str], policy: SecureBootPolicy | None) -> DigestNeeds:
    """The digests of a program that a prediction of its boot takes.

    With Secure Boot, the SHA-256 is among them: db may list the program by that.
    """
    return _digests(banks, listed=policy is not None and policy.state is SecureBootState.ON)


def search_digests(banks: Iterable[str], policy: SecureBootPolicy | None) -> DigestNeeds:
    """The same where Secure Boot's other states are tried as well."""
    return _digests(banks, listed=policy is not None)


def _digests(banks: Iterable[str], *, listed: bool) -> DigestNeeds:
    return measured_in(banks) | DigestNeeds(image=frozenset({"sha256"} if listed else ()))


def read_program(named: AnyPath, banks: Iterable[str], policy: SecureBootPolicy | None = None) -> Addon:
    """An addon or EFI program beside the image, digested in these banks. Raises `FukiError`."""
    path = Path(named)
    with located(str(path)):
        layout = inspect(path)
        return Addon(path.name, layout, digest_image(layout, boot_digests(banks, policy)))


def read_addon(named: AnyPath, banks: Iterable[str], policy: SecureBootPolicy | None = None) -> Addon:
    """An addon, digested in these banks. Raises `FukiError`, also for a name that stubs pass over (stub.c, 254 on)."""
    name = Path(named).name
    if not name.isascii() or name.startswith("."):
        hint = "give it the name that it has on the machine, in ASCII and without a leading dot"
        raise FukiError("the stub passes over an addon of this name", where=str(named), hint=hint)
    return read_program(named, banks, policy)


def read_boot(  # noqa: PLR0913 - one for each option of the command line
    banks: Sequence[str],
    *,
    direct: bool = False,
    options: str | None = None,
    smbios_options: str | None = None,
    console: str | None = None,
    secure_boot: str | None = None,
    variables: AnyPath | None = None,
    lists: Sequence[str] = (),
    shim: bool = False,
    no_boot_secret: bool = False,
    loaders: Sequence[AnyPath] = (),
    addons: Sequence[AnyPath] = (),
    global_addons: Sequence[AnyPath] = (),
    disk: AnyPath | None = None,
    host_firmware: AnyPath | None = None,
    chipset: str | None = None,
    memory: str | None = None,
    volume_unchanged: bool = False,
    firmware_log: AnyPath | None = None,
) -> Boot:
    """The boot that options of the command line describe.

    Programs and addons are read, and digested in these banks; `variables` is a variable store, `lists` are NAME=FILE
    of Secure Boot's variables, `disk` is the disk's raw data, `host_firmware` an OVMF image that starts on QEMU's
    `chipset` with so much `memory`. `volume_unchanged` says that no driver of it but the PEI core writes into its first
    volume; `firmware_log` is the log of such a machine with it. Raises `FukiError`.
    """
    refuse_log_alone(firmware_log, host_firmware)
    size = None if memory is None else memory_size(memory)
    configuration = () if host_firmware is None else read_configuration(host_firmware, size)
    store = None if variables is None else Path(variables)
    policy = read_policy(store, lists, SecureBootState(secure_boot) if secure_boot else None)
    return Boot(
        method=BootMethod.DIRECT if direct else BootMethod.DISK,
        options=options,
        smbios=smbios_options,
        secure_boot=policy.state is SecureBootState.ON if policy else secure_boot == SecureBootState.ON,
        shim=shim,
        secret=not no_boot_secret,
        console=console,
        loaders=tuple(read_program(path, banks, policy) for path in loaders),
        global_addons=tuple(read_addon(path, banks, policy) for path in global_addons),
        addons=tuple(read_addon(path, banks, policy) for path in addons),
        policy=policy,
        partitions=None if disk is None else _read_partitions(disk),
        firmware=()
        if host_firmware is None
        else read_firmware(
            host_firmware,
            banks,
            chipset=Chipset(chipset) if chipset else None,
            is_unchanged=volume_unchanged,
            log=firmware_log,
            is_for_tpm=not configuration,
        ),
        configuration=configuration,
    )


def read_firmware(
    path: AnyPath,
    banks: Sequence[str],
    *,
    chipset: Chipset | None = None,
    is_unchanged: bool = False,
    log: AnyPath | None = None,
    is_for_tpm: bool = True,
) -> tuple[Event, ...]:
    """What OVMF measures of itself, out of its file and the log of a machine with it. Raises `FukiError`.

    Firmware that need not be for machines with a TPM may also tell nothing of that.
    """
    from fuki_build.formats.uefi.measured_firmware import measured_firmware  # noqa: PLC0415 - only where asked for
    from fuki_build.measure.pcr0 import firmware_events, unknown_event  # noqa: PLC0415

    with raised_as(FukiError, str(path), of=FormatError, about="what it measures of itself cannot be told"):
        image = Blob.of_file(path).read_small(_MAX_FIRMWARE, "the firmware")
        try:
            firmware = measured_firmware(image)
        except FormatError as error:
            if is_for_tpm:
                raise
            return (unknown_event(error.message),)

    logged = None if log is None else _read_log(log)
    with located(str(path) if log is None else str(log)):
        return tuple(firmware_events(firmware, banks, chipset=chipset, is_unchanged=is_unchanged, log=logged))


def read_configuration(path: AnyPath, memory: int | None) -> tuple[Event, ...]:
    """What a TDX guest's firmware measures first into RTMR0; nothing if it has no such volume. Raises `FukiError`."""
    from fuki_build.formats.confidential import ovmf  # noqa: PLC0415 - only where it is asked for
    from fuki_build.measure.rtmr0 import configuration_events  # noqa: PLC0415

    with located(str(path), FormatError):
        image = Blob.of_file(path).reader
        tables = ovmf.decode(image)
        return configuration_events(image, tables.tdx, memory) if tables is not None and tables.tdx else ()


def refuse_log_alone(log: AnyPath | None, firmware: AnyPath | None) -> None:
    """Raise `RecipeError` for a log of firmware of which there is no file."""
    if log is not None and firmware is None:
        text = "a log of the firmware says nothing without its file"
        raise RecipeError(text, where="--firmware-log", hint="give the file as host firmware")


def memory_size(text: str) -> int:
    """A size in bytes, as QEMU takes it: 512M, 2G. Raises `RecipeError`."""
    match = _MEMORY.fullmatch(text)
    if match is None:
        raise RecipeError(f"{text!r} is no size of memory", where="--memory", hint="for instance 512M or 2G")
    return int(match[1]) << _UNITS[match[2]]


def _read_log(path: AnyPath) -> EventLog:
    from fuki_build.formats.tcg import event_log  # noqa: PLC0415 - only where it is asked for

    with located(str(path)):
        return event_log.decode(Blob.of_file(path).read_small(event_log.MAX_SIZE, "the log"))


def _read_partitions(path: AnyPath) -> bytes:
    from fuki_build.formats.uefi import gpt  # noqa: PLC0415 - only where it is asked for

    with located(str(path), FormatError):
        return gpt.measured(Blob.of_file(path).reader)
