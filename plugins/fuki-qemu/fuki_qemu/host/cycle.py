"""A guest on a host that takes firmware: each of its starts, until it ends."""

import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from fuki_build.errors import FormatError, FukiError
from msgspec import Struct

from fuki_qemu import guest
from fuki_qemu.guest import Ending, Outcome, RunningGuest, Screen
from fuki_qemu.host import device, log_in_memory, native_start, tpm_registers
from fuki_qemu.host.device import DeviceServer
from fuki_qemu.host.gdb import GdbStub
from fuki_qemu.host.launch_update import LaunchUpdate
from fuki_qemu.host.native_start import MemoryRange
from fuki_qemu.host.qmp import Event, Monitor
from fuki_qemu.report import GuestReport

ROM_SIZE = 16 * 1024 * 1024
"""Bytes below 4 GiB that files' pages may go to."""
_TOP = 1 << 32
_PERIOD = 0.1
"""Seconds between looks at what the guest does."""
_MAX_STARTS = 16
_RESET = "guest-reset"
_REGISTERS = range(16)


class Start(Struct, frozen=True):
    """One start of the guest, from power-on or reset to the reset or end behind it.

    `file` is the IGVM file that it was started from; None where QEMU has the device, and tells of no file. `report` is
    what its TPM and memory held when it ended, as far as that could be read; `firmware` the memory below 4 GiB then.
    """

    file: bytes | None
    seconds: float
    report: GuestReport | None
    firmware: bytes


class CycleSettings(Struct, frozen=True, kw_only=True):
    """How a host treats its guest.

    `host_file` is the IGVM file that the host starts guests from, `memory` is where the guest has memory.
    """

    host_file: bytes
    memory: tuple[MemoryRange, ...]
    is_modelled: bool = True
    banks: tuple[str, ...] = ()
    """Banks of the TPM that are read at the end of each start; none for a guest without a TPM."""
    until_off: bool = False
    """Whether only the guest ends it, by switching the machine off: a disk may have changed what starts."""


def options(settings: CycleSettings, place: Path) -> tuple[str, ...]:
    """What QEMU is given for the firmware: memory to put files' pages in, or the file itself."""
    if settings.is_modelled:
        path = place / "blank.rom"
        with path.open("wb") as file:
            file.truncate(ROM_SIZE)
        return ("-bios", str(path))
    path = place / "host.igvm"
    path.write_bytes(settings.host_file)
    text = str(path).replace(",", ",,")
    host = ("-object", f"igvm-cfg,id=igvm,file={text}", "-machine", "igvm-cfg=igvm")
    return (*host, "-device", "vm-launch-update")


def run(
    command: Sequence[str],
    console: Path,
    timeout: float | None,
    settings: CycleSettings,
    *,
    tpm: socket.socket | None,
    screen: Screen,
    is_done: Callable[[], bool],
) -> tuple[Outcome, tuple[Start, ...]]:
    """Run a guest through all its resets, until it is off or `is_done`.

    Unless it runs `until_off`, a reset that changes nothing of how it starts ends it, too.
    `console` is the file where start and end of what its serial port said are left. Raises `FukiError` when QEMU fails.
    """
    with _hosted(command, console, settings, tpm=tpm, screen=screen) as guest:
        return guest.run(timeout, is_done)


@contextmanager
def _hosted(
    command: Sequence[str], console: Path, settings: CycleSettings, *, tpm: socket.socket | None, screen: Screen
) -> Iterator["_HostedGuest"]:
    with ExitStack() as stack:
        ours, theirs = {}, {}
        for name in ("monitor", "gdb", "device"):
            ours[name], theirs[name] = (stack.enter_context(end) for end in socket.socketpair())
        more = [
            *("-chardev", f"socket,id=monitor,fd={theirs['monitor'].fileno()}", "-mon", "chardev=monitor,mode=control"),
            *("-chardev", f"socket,id=gdb,fd={theirs['gdb'].fileno()}", "-gdb", "chardev:gdb", "-S"),
            *("-action", "reboot=shutdown,shutdown=pause"),
        ]
        environment: Mapping[str, str] = {}
        server = None
        if settings.is_modelled:
            library = device.build_library(console.parent)
            environment = device.environment(library, theirs["device"].fileno())
            server = DeviceServer(LaunchUpdate(settings.host_file), ours["device"])
        sockets = [*([tpm] if tpm else []), *theirs.values()]
        running = stack.enter_context(guest.started([*command, *more], console, screen, sockets, environment))
        for end in theirs.values():
            end.close()
        monitor, stub = Monitor(ours["monitor"]), GdbStub(ours["gdb"])
        yield _HostedGuest(running, console.with_name("memory"), settings, server, monitor, stub)


class _HostedGuest:
    """A guest whose QEMU runs: everything here is said to that QEMU."""

    def __init__(
        self,
        running: RunningGuest,
        scratch: Path,
        settings: CycleSettings,
        server: DeviceServer | None,
        monitor: Monitor,
        stub: GdbStub,
    ) -> None:
        self._running = running
        self._scratch = scratch
        self._settings = settings
        self._server = server
        self._monitor = monitor
        self._stub = stub
        self._said = 0
        """Bytes that the console had said at the latest start."""

    def run(self, timeout: float | None, is_done: Callable[[], bool]) -> tuple[Outcome, tuple[Start, ...]]:
        begin = time.monotonic()
        end = None if timeout is None else begin + timeout
        starts: list[Start] = []
        file = self._settings.host_file

        while True:
            since = time.monotonic()
            self._start(file)
            event = self._wait(end)

            modelled = file if self._settings.is_modelled else None
            if isinstance(event, tuple):
                self._monitor.execute("stop")
                starts.append(Start(modelled, time.monotonic() - since, None, self._memory_below_4g()))
                return Outcome(*event, time.monotonic() - begin), tuple(starts)

            starts.append(Start(modelled, time.monotonic() - since, self._report(), self._memory_below_4g()))
            following = None if is_done() else self._following(event, file)
            if following is None or len(starts) == _MAX_STARTS:
                self._monitor.execute("quit")
                return Outcome(Ending.ENDED, "", time.monotonic() - begin), tuple(starts)

            file = following
            self._reset()

    def _start(self, file: bytes) -> None:
        self._said = len(self._running.kept.head)
        if self._settings.is_modelled:
            how = native_start.read_start(file, self._settings.memory)
            for piece in how.memory:
                self._stub.write(piece.address, piece.data)
            self._stub.set_registers(how.registers)
        self._monitor.execute("cont")

    def _wait(self, end: float | None) -> Event | tuple[Ending, str]:
        """The event of the guest's reset or end, or how it ended without one."""
        while True:
            reason = self._running.refusal(self._said) if self._running.listen(_PERIOD) else None
            if reason:
                return Ending.REFUSED, reason
            if end is not None and time.monotonic() > end:
                return Ending.TIMEOUT, ""
            with suppress(TimeoutError):
                event = self._monitor.wait({"SHUTDOWN", "GUEST_PANICKED"}, 0)
                if event is None:
                    raise FukiError("QEMU has ended")
                return event

    def _following(self, event: Event, file: bytes) -> bytes | None:
        """What the next start is from; None where there is none that would tell more."""
        if event.get("data", {}).get("reason") != _RESET:
            return None
        if self._server is None:
            return file
        model = self._server.model
        before = (file, model.restores_host_file, model.is_locked)
        following = model.reset()
        same = (following, model.restores_host_file, model.is_locked) == before
        return None if same and not self._settings.until_off else following

    def _reset(self) -> None:
        self._monitor.execute("set-action", reboot="reset")
        self._monitor.execute("system_reset")
        self._monitor.wait({"RESET"}, None)
        self._monitor.execute("set-action", reboot="shutdown")

    def _report(self) -> GuestReport | None:
        """What the TPM and the memory of a guest that waits hold; None where they cannot be read."""
        if not self._settings.banks:
            return None
        try:
            registers = tpm_registers.read(self._stub, _REGISTERS, self._settings.banks)
        except FukiError:
            return None
        log = log_in_memory.find(self._save_memory, self._settings.memory)
        return GuestReport(program="host", log=log, registers=registers, smbios=None, command_line=None, variables={})

    def _memory_below_4g(self) -> bytes:
        return self._save_memory(_TOP - ROM_SIZE, ROM_SIZE)

    def _save_memory(self, address: int, size: int) -> bytes:
        path = self._scratch
        self._monitor.execute("pmemsave", val=address, size=size, filename=str(path))
        try:
            return path.read_bytes()
        except OSError as error:
            raise FormatError(f"cannot read {path}: {error.strerror}") from error
        finally:
            path.unlink(missing_ok=True)
