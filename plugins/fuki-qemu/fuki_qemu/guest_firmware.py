"""The firmware that a guest starts with: which it is, and the guest's own copy of its variables."""

from pathlib import Path

from fuki_build import PluginHost, read_program
from fuki_build.errors import FukiError

from fuki_qemu import boot_option, esp, firmware, machine, programs
from fuki_qemu.boot_request import BootRequest
from fuki_qemu.firmware import QemuFirmware


def choose(request: BootRequest, host: PluginHost, place: Path) -> QemuFirmware:
    """What is asked for, with the keys enrolled that are; without a host of its own, QEMU's. Raises `FukiError`."""
    if request.host is not None:
        if request.keys is not None or request.variables is not None:
            hint = "enroll keys into the image's own firmware: they are what counts after the hand-over"
            where = "--secure-boot" if request.keys is not None else "--variables"
            raise FukiError("a host that takes firmware has no variable store", where=where, hint=hint)
        if not request.direct and (request.options or request.profile):
            where = "--options" if request.options else "--profile"
            hint = "give --direct too, where no boot option is needed"
            raise FukiError("a host that takes firmware keeps no boot option", where=where, hint=hint)
        code = request.firmware or firmware.find(secure_boot=False).code
        return QemuFirmware(code)

    chosen = firmware.choose(request.firmware, request.variables, secure_boot=request.keys is not None)
    return chosen if request.keys is None else firmware.enrolled(chosen, request.keys, host, place)


def write_store(chosen: QemuFirmware, place: Path, options: str | None, *, trusted: bool) -> Path | None:
    """The guest's own copy of the firmware's variables, with what this boot needs added; None if it keeps none."""
    if not chosen.has_store:
        if options is not None:
            hint = "name a firmware with a variable store; or with --direct, no boot option is needed"
            raise FukiError(f"{chosen.code} keeps no variables, so no boot option", where="--firmware", hint=hint)
        return None

    store = firmware.read_store(chosen)
    if options is not None:
        store = boot_option.with_boot_option(store, "\\" + esp.LOADER.replace("/", "\\"), options)
    if trusted:
        digest = bytes.fromhex(read_program(programs.ADDON, ("sha256",)).assembly.authenticode)
        store = boot_option.with_trusted_hash(store, digest)

    path = place / "variables.fd"
    path.write_bytes(store)
    return path


def flash(chosen: QemuFirmware, store: Path | None) -> tuple[str, ...]:
    """QEMU's options for it."""
    if store is None:
        return machine.rom(chosen.code)
    return machine.flash(chosen.code, store) if chosen.store else machine.flash(store, None)
