"""One boot of an image: what is needed for it, put together; the prediction, the guest, and what it told."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from fuki_build import (
    Layout,
    Machine,
    PluginHost,
    Prediction,
    find_profiles,
    inspect,
    native_igvm,
    note_read,
    predict_boot,
    read_boot,
)
from fuki_build.errors import FukiError
from fuki_build.programs import scratch_directory
from msgspec import Struct, structs

from fuki_qemu import esp, firmware, guest, guest_firmware, machine, programs, smbios, tools
from fuki_qemu.boot_request import BootRequest
from fuki_qemu.firmware import QemuFirmware
from fuki_qemu.guest import Outcome
from fuki_qemu.host import choice, cycle
from fuki_qemu.host import plan as host_plan
from fuki_qemu.host.cycle import CycleSettings, Start
from fuki_qemu.host.native_start import memory_of_q35
from fuki_qemu.host.plan import BootConditions, ExpectedStart
from fuki_qemu.machine import VirtualMachine
from fuki_qemu.report import GuestReport
from fuki_qemu.told import kept, read_report

BANKS = ("sha1", "sha256", "sha384", "sha512")
_NO_MACHINE = Machine(name="QEMU q35", manufacturer="QEMU", product="Standard PC (Q35 + ICH9, 2009)")
"""What a guest is that is given no strings."""


class HostedBoot(Struct, frozen=True):
    """All starts on a host that takes firmware, and those that were expected; `layout` is what was booted."""

    layout: Layout
    settings: CycleSettings
    starts: tuple[Start, ...]
    expected: tuple[ExpectedStart, ...]


class Booted(Struct, frozen=True, kw_only=True):
    """What came of it; the report is None where none was asked for, or none came.

    `layout`, prediction and report are those of the guest's last start.
    """

    layout: Layout
    machine: Machine
    profile: int | None
    firmware: Path
    kvm: bool
    outcome: Outcome
    console: str
    prediction: Prediction | None
    report: GuestReport | None
    hosted: HostedBoot | None = None


def boot(request: BootRequest, host: PluginHost, keep: Path | None = None) -> Booted:
    """Boot an image. What the guest told is left in the directory `keep`, if that is given. Raises `FukiError`."""
    layout, profile = _inspect(request)
    tools.need(tools.QEMU, *(() if request.direct else tools.MTOOLS), *((tools.SWTPM,) if request.verify else ()))
    with scratch_directory("fuki-") as place, kept(place, keep):
        return _boot(request, layout, profile, host, place)


def _inspect(request: BootRequest) -> tuple[Layout, int | None]:
    layout = inspect(request.image)
    if not layout.find(".linux"):
        raise FukiError("this is no UKI: it has no .linux section", where=str(request.image))
    if layout.machine != "x64":
        raise FukiError(f"this image is for {layout.machine}, and guests are x64", where=str(request.image))
    if request.direct and request.addons:
        raise FukiError("without a disk, the stub finds no addons", where="--addon", hint="leave --direct out")
    if request.direct and request.verify and not _tells_by_itself(layout):
        raise FukiError("without a disk, there is no way to bring the probe in", where="--direct")
    profile = find_profiles(layout, request.profile)[0]
    return layout, profile


def _tells_by_itself(layout: Layout) -> bool:
    """Whether the image's kernel is the probe."""
    program = programs.KERNEL.read_bytes()
    return all(
        section.content.size == len(program) and section.content.read_at(0, len(program)) == program
        for section in layout.plain_sections
        if section.name == ".linux"
    )


def _boot(request: BootRequest, layout: Layout, profile: int | None, host: PluginHost, place: Path) -> Booted:
    addons = {path.name: path for path in request.addons}
    if request.verify and not _tells_by_itself(layout):
        addons[programs.ADDON.name] = programs.ADDON
    if len(addons) != len(request.addons) + (programs.ADDON in addons.values()):
        raise FukiError("two addons have one name, and only one can be beside the image", where="--addon")

    chosen = guest_firmware.choose(request, host, place)
    for path in (*request.addons, chosen.code, *([chosen.store] if chosen.store else [])):
        note_read(path)

    options = _options(request, profile)
    hosted = _settings(request, chosen)
    trusted = programs.ADDON in addons.values()
    store = None
    if hosted is None:
        passed = None if request.direct else options
        store = guest_firmware.write_store(chosen, place, passed, trusted=trusted)

    is_me = request.machine or _NO_MACHINE
    expected = _expect(request, layout, is_me, profile, list(addons.values()), chosen, store, hosted, place)

    parts = VirtualMachine(
        firmware=guest_firmware.flash(chosen, store) if hosted is None else cycle.options(hosted, place),
        smbios=tuple(smbios.options(request.machine)) if request.machine else (),
        memory=machine.check_memory(request.memory),
        smm=chosen.smm,
        options=options,
        direct=request.image.resolve() if request.direct else None,
        disk=None if request.direct else place / "esp.img",
        report=place / "report" if request.verify else None,
        debug=place / "debug" if request.verify else None,
    )

    if parts.disk:
        esp.write(parts.disk, request.image, addons)
    (outcome, starts), kvm = _run(request, parts, hosted, place)

    return Booted(
        layout=expected[-1].layout if expected else layout,
        machine=is_me,
        profile=profile,
        firmware=chosen.code if request.firmware is None else request.firmware,
        kvm=kvm,
        outcome=outcome,
        console=guest.read_console(place / "console"),
        prediction=expected[-1].prediction if expected else None,
        report=read_report(place) if request.verify else None,
        hosted=None if hosted is None else HostedBoot(layout, hosted, starts, expected),
    )


def _settings(request: BootRequest, chosen: QemuFirmware) -> CycleSettings | None:
    """How the host treats its guest; None for a host that takes no firmware."""
    if request.host is None:
        return None
    return CycleSettings(
        host_file=native_igvm(chosen.code),
        memory=memory_of_q35(machine.memory_size(request.memory)),
        is_modelled=not choice.is_real(),
        banks=BANKS if request.verify and tools.is_there(tools.SWTPM) else (),
    )


def _expect(  # noqa: PLR0913, PLR0917 - all that decides what is measured
    request: BootRequest,
    layout: Layout,
    is_me: Machine,
    profile: int | None,
    addons: Sequence[Path],
    chosen: QemuFirmware,
    store: Path | None,
    hosted: CycleSettings | None,
    place: Path,
) -> tuple[ExpectedStart, ...]:
    """What each start of the guest measures; nothing where nobody will compare."""
    if not request.verify:
        return ()
    if hosted is None:
        prediction = _predict(request, layout, is_me, profile, addons, chosen, store)
        return (ExpectedStart(host_plan.HOST, layout, prediction),)

    console = machine.STUB_CONSOLE
    conditions = BootConditions(
        machine=is_me,
        profile=profile,
        direct=request.direct,
        options=request.options,
        console=console,
        addons=tuple(addons),
        banks=BANKS,
    )

    return host_plan.expect(layout, conditions, hosted, place)


def _options(request: BootRequest, profile: int | None) -> str | None:
    """What the boot option passes: `@1` for a profile other than the first, then the command line."""
    words = [f"@{profile}"] if profile else []
    words += [request.options] if request.options else []
    return " ".join(words) or None


def _predict(
    request: BootRequest,
    layout: Layout,
    is_me: Machine,
    profile: int | None,
    addons: Sequence[Path],
    chosen: QemuFirmware,
    store: Path | None,
) -> Prediction:
    """What this guest will measure: its disk has no partition table, so the stub makes no secret."""
    how = read_boot(
        BANKS,
        direct=request.direct,
        options=request.options,
        console=machine.STUB_CONSOLE,
        secure_boot=None if firmware.knows_secure_boot(chosen) else "absent",
        variables=store,
        no_boot_secret=True,
        addons=addons,
    )
    return predict_boot(layout, is_me, profile, how, BANKS)


_Run = tuple[Outcome, tuple[Start, ...]]


def _run(request: BootRequest, parts: VirtualMachine, hosted: CycleSettings | None, place: Path) -> tuple[_Run, bool]:
    """How the guest ended, and whether KVM ran it: where that is there and does not work, it is emulated after all."""
    if request.kvm or (request.kvm is None and machine.has_kvm()):
        try:
            return _run_once(request, parts, hosted, place, kvm=True), True
        except FukiError:
            if request.kvm or guest.read_console(place / "console"):
                raise
    return _run_once(request, parts, hosted, place, kvm=False), False


def _run_once(
    request: BootRequest, parts: VirtualMachine, hosted: CycleSettings | None, place: Path, *, kvm: bool
) -> _Run:
    console = place / "console"
    with ExitStack() as stack:
        tpm = None
        if tools.is_there(tools.SWTPM):
            state = stack.enter_context(TemporaryDirectory(dir=place))
            tpm = stack.enter_context(guest.tpm(Path(state)))
            parts = structs.replace(parts, tpm=tpm.fileno())
        command = machine.command(parts, kvm=kvm)
        if hosted is None:
            return guest.run(command, console, request.timeout, tpm=tpm, screen=request.screen), ()

        def is_done() -> bool:
            """The probe for Linux ends with a restart, which a host would follow for ever."""
            return read_report(place) is not None

        return cycle.run(command, console, request.timeout, hosted, tpm=tpm, screen=request.screen, is_done=is_done)
