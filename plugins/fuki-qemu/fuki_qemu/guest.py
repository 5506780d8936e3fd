"""A guest from start to end: its processes end with the block that starts them, whatever happens."""

import os
import re
import select
import socket
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from fuki_build import programs
from fuki_build.errors import FukiError
from msgspec import Struct

from fuki_qemu.console import ConsoleRecord, TerminalFilter, plain
from fuki_qemu.tools import SWTPM

_REFUSALS = (
    re.compile(r"BdsDxe: failed to (?:load|start) Boot[0-9A-F]{4} .*: ([A-Z][^:\n]*)\n"),
    re.compile(r"Verification failed: (\(0x[0-9A-F]+\) [A-Z][A-Za-z ]*)[^A-Za-z ]"),
)
"""What firmware says on a line, and shim in a box, which then waits for somebody at the console."""
_PERIOD = 0.1
"""Seconds between looks at what the guest does."""
_GRACE = 1
"""Seconds that QEMU has to end by itself after it went wrong."""
_CHUNK = 64 * 1024
_STDIN = 0
_HALTED = b"KVM internal error"
"""What QEMU says when KVM cannot go on, nested in another hypervisor for instance; it then waits for ever."""
_MAX_CONSOLE = 4 * 1024 * 1024
"""Bytes that are kept of a console's start, and as many of its end."""
_LARGEST_FILE = 256 * 1024 * 1024
"""Bytes up to which a guest can make a file grow, such as that of its report."""


class Screen(StrEnum):
    """What of the console reaches the terminal: nothing, what does it no harm, or all as it comes."""

    NONE = "none"
    FILTERED = "filtered"
    RAW = "raw"


class Ending(StrEnum):
    ENDED = "ended"
    """The guest shut down or restarted."""
    REFUSED = "refused"
    """The firmware did not start the image."""
    TIMEOUT = "timeout"


class Outcome(Struct, frozen=True):
    """How a guest ended; `reason` is the firmware's word where it refused."""

    ending: Ending
    reason: str
    seconds: float


@contextmanager
def tpm(state: Path) -> Iterator[socket.socket]:
    """A software TPM with new state in the directory `state`; gives the socket that QEMU controls it by."""
    ours, theirs = socket.socketpair()
    control = f"type=unixio,clientfd={theirs.fileno()}"
    command = [SWTPM, "socket", "--tpm2", "--tpmstate", f"dir={state}", "--ctrl", control, "--terminate"]

    with (
        ours,
        theirs,
        (state / "errors").open("wb") as errors,
        programs.started(
            command,
            environment=programs.environment("LD_LIBRARY_PATH"),
            stdio=(None, None, errors.fileno()),
            descriptors=[theirs.fileno()],
            largest_file=_LARGEST_FILE,
        ),
    ):
        yield ours


class RunningGuest:
    """A guest whose QEMU runs: what its console says is kept, and shown where somebody watches."""

    def __init__(self, process: programs.Process, output: BinaryIO, errors: Path, screen: Screen) -> None:
        self._process = process
        self._output = output
        self._errors = errors
        self._screen = screen
        self._shown = TerminalFilter()
        self.kept = ConsoleRecord.of(_MAX_CONSOLE)
        os.set_blocking(output.fileno(), False)

    @property
    def has_ended(self) -> bool:
        return self._process.wait(0) is not None

    def listen(self, seconds: float) -> bool:
        """Wait up to that long for the console to say something; whether it did.

        Raises `FukiError` where KVM has given up.
        """
        data = _read_available(self._output, seconds)
        if not data and self._has_halted():
            raise FukiError("QEMU failed: KVM cannot run this guest here", hint="leave it to emulation, with --no-kvm")

        self.kept.add(data)
        _show(data, self._shown, self._screen)
        return bool(data)

    def _has_halted(self) -> bool:
        with self._errors.open("rb") as complaints:
            return _HALTED in complaints.read(_CHUNK)

    def refusal(self, since: int = 0) -> str | None:
        """Why firmware did not start the image, in what the console said from byte `since` on.

        Where somebody watches, it is theirs to say that there is no hope.
        """
        return None if self._screen is not Screen.NONE else refusal_of(self.kept, since)


@contextmanager
def started(
    command: Sequence[str],
    console: Path,
    screen: Screen,
    sockets: Sequence[socket.socket],
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[RunningGuest]:
    """A guest that runs for as long as the block does, or shorter; its serial port is its standard input and output.

    `console` is the file where start and end of what that said are left. Raises `FukiError` when QEMU itself fails.
    """
    errors = console.with_name("qemu.errors")
    interactive = screen is not Screen.NONE
    # A guest can have QEMU write without end; a disk that it starts with may be larger than what it may add.
    largest = _LARGEST_FILE + max(path.stat().st_size for path in [*console.parent.iterdir(), console.parent])
    reader, writer = os.pipe()

    with (
        _terminal(interactive),
        errors.open("wb") as complaints,
        open(reader, "rb", buffering=0) as output,  # noqa: PTH123 - a descriptor
        open(writer, "wb", buffering=0) as theirs,  # noqa: PTH123
        programs.started(
            command,
            environment={**programs.environment("LD_LIBRARY_PATH", "TMPDIR", "XDG_RUNTIME_DIR"), **environment},
            stdio=(_stdin() if interactive else None, writer, complaints.fileno()),
            descriptors=[one.fileno() for one in sockets],
            largest_file=largest,
        ) as process,
    ):
        # Our copy of the writing end would keep the output open after QEMU has ended.
        theirs.close()

        guest = RunningGuest(process, output, errors, screen)
        try:
            yield guest
        except FukiError:
            _check_end(process.wait(_GRACE), errors)
            raise
        finally:
            console.write_bytes(guest.kept.content())
        _check_end(process.wait(0), errors)


def _check_end(code: int | None, errors: Path) -> None:
    """Raise `FukiError` with QEMU's last words where it has failed."""
    if code:
        words = errors.read_text(errors="replace").strip().splitlines()
        last = words[-1] if words else f"exit code {code}" if code > 0 else f"signal {-code}"
        raise FukiError(f"QEMU failed: {last}")


def run(
    command: Sequence[str], console: Path, timeout: float | None, *, tpm: socket.socket | None, screen: Screen
) -> Outcome:
    """Run a guest to its end, until its firmware refuses the image, or until `timeout` seconds have passed.

    `console` is as for `started`. Raises `FukiError` when QEMU itself fails.
    """
    start = time.monotonic()
    with started(command, console, screen, [tpm] if tpm else []) as guest:
        while True:
            ended = guest.has_ended
            has_spoken = guest.listen(0 if ended else _PERIOD)
            seconds = time.monotonic() - start

            reason = guest.refusal() if has_spoken else None
            if reason:
                return Outcome(Ending.REFUSED, reason, seconds)
            if ended and not has_spoken:
                return Outcome(Ending.ENDED, "", seconds)
            if timeout is not None and seconds > timeout:
                return Outcome(Ending.TIMEOUT, "", seconds)


def _read_available(output: BinaryIO, seconds: float) -> bytes:
    """What is there, or comes within that time."""
    readable, _, _ = select.select([output], [], [], seconds)
    if not readable:
        return b""
    data: bytes = output.read(_CHUNK) or b""
    if not data:
        # The console is closed, and QEMU is about to end.
        time.sleep(seconds)
    return data


def _show(data: bytes, shown: TerminalFilter, screen: Screen) -> None:
    if screen is Screen.NONE or not data or sys.stdout is None:
        return
    sys.stdout.buffer.write(data if screen is Screen.RAW else shown.feed(data).encode())
    sys.stdout.buffer.flush()


def _stdin() -> int | None:
    """Standard input, unless it was closed when fuki was started."""
    try:
        os.fstat(_STDIN)
    except OSError:
        return None
    return _STDIN


def read_console(path: Path) -> str:
    """What a guest's serial port said, as text alone."""
    try:
        with path.open("rb") as file:
            data = file.read(3 * _MAX_CONSOLE)
    except OSError:
        return ""
    return plain(data)


def refusal_of(kept: ConsoleRecord, since: int) -> str | None:
    """The firmware's word for why it did not start the first thing that it tried; it says that early."""
    if kept.tail:
        return None
    text = plain(bytes(kept.head[since:]))
    match = next((match for refusal in _REFUSALS if (match := refusal.search(text))), None)
    return match[1].strip() if match else None


@contextmanager
def _terminal(interactive: bool) -> Iterator[None]:
    """Give a terminal back as it was: QEMU changes it, and may be ended before it can undo that."""
    if not (interactive and sys.stdin is not None and sys.stdin.isatty()):
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
