"""A guest from start to end: its processes end with the block that starts them, whatever happens."""

import os
import re
import select
import socket
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from fuki_build import programs
from fuki_build.errors import FukiError
from msgspec import Struct

from fuki_qemu.console import ConsoleRecord, TerminalFilter, plain
from fuki_qemu.tools import SWTPM

_REFUSALS = (
    re.compile(r"BdsDxe: failed to (?:load|start) Boot[0-9A-F]{4} .*: ([A-Z][^:\n]*)$", re.MULTILINE),
    re.compile(r"Verification failed: (\(0x[0-9A-F]+\) [A-Z][^:\n]*)$", re.MULTILINE),
)
"""What firmware says, and shim, which then waits for somebody at the console."""
_PERIOD = 0.1
"""Seconds between looks at what the guest does."""
_CHUNK = 64 * 1024
_STDIN = 0
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


def run(
    command: Sequence[str], console: Path, timeout: float | None, *, tpm: socket.socket | None, screen: Screen
) -> Outcome:
    """Run a guest to its end, until its firmware refuses the image, or until `timeout` seconds have passed.

    Its serial port is its standard input and output. `console` is the file where start and end of what that said are
    left. Raises `FukiError` when QEMU itself fails.
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
            environment=programs.environment("LD_LIBRARY_PATH", "TMPDIR", "XDG_RUNTIME_DIR"),
            stdio=(_stdin() if interactive else None, writer, complaints.fileno()),
            descriptors=[tpm.fileno()] if tpm else [],
            largest_file=largest,
        ) as process,
    ):
        theirs.close()
        outcome = _watch(process, output, console, timeout, screen)
        code = process.wait(0)
    if code:
        words = errors.read_text(errors="replace").strip().splitlines()
        last = words[-1] if words else f"exit code {code}" if code > 0 else f"signal {-code}"
        raise FukiError(f"QEMU failed: {last}")
    return outcome


def _watch(
    process: programs.Process, output: BinaryIO, console: Path, timeout: float | None, screen: Screen
) -> Outcome:
    """Keep and show what the console says until there is an outcome."""
    start = time.monotonic()
    kept, shown = ConsoleRecord.of(_MAX_CONSOLE), TerminalFilter()
    os.set_blocking(output.fileno(), False)
    try:
        while True:
            ended = process.wait(0) is not None
            data = _read_available(output, 0 if ended else _PERIOD)
            kept.add(data)
            _show(data, shown, screen)

            seconds = time.monotonic() - start
            # Where somebody watches, it is theirs to say that there is no hope.
            refusal = _refusal(kept) if data and screen is Screen.NONE else None
            if refusal:
                return Outcome(Ending.REFUSED, refusal, seconds)
            if ended and not data:
                return Outcome(Ending.ENDED, "", seconds)
            if timeout is not None and seconds > timeout:
                return Outcome(Ending.TIMEOUT, "", seconds)
    finally:
        console.write_bytes(kept.content())


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


def _refusal(kept: ConsoleRecord) -> str | None:
    """The firmware's word for why it did not start the first thing that it tried; it says that early."""
    if kept.tail:
        return None
    text = plain(bytes(kept.head))
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
