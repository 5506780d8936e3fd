"""A guest from start to end: its processes end with the block that starts them, whatever happens."""

import re
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from fuki_build.errors import FukiError
from msgspec import Struct

from fuki_qemu.tools import SWTPM

_REFUSALS = (
    re.compile(r"BdsDxe: failed to (?:load|start) Boot[0-9A-F]{4} .*: ([A-Z][^:\n]*)$", re.MULTILINE),
    re.compile(r"Verification failed: (\(0x[0-9A-F]+\) [A-Z][^:\n]*)$", re.MULTILINE),
)
"""What firmware says, and shim, which then waits for somebody at the console."""
_ESCAPES = re.compile(r"\x1b\[[0-9;=?]*[A-Za-z]")
_PERIOD = 0.1
"""Seconds between looks at what the guest does."""
_GRACE = 5
"""Seconds that a process has to end when it is told to."""
_MAX_CONSOLE = 8 * 1024 * 1024


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
    with ours, theirs, process(command, (theirs,), subprocess.DEVNULL, state / "errors"):
        yield ours


def run(
    command: Sequence[str], console: Path, timeout: float | None, *, tpm: socket.socket | None, interactive: bool
) -> Outcome:
    """Run a guest to its end, until its firmware refuses the image, or until `timeout` seconds have passed.

    `console` is the file where its serial port is written to. Raises `FukiError` when QEMU itself fails.
    """
    errors = console.with_name("qemu.errors")
    start = time.monotonic()
    with (
        terminal(interactive),
        process(command, (tpm,) if tpm else (), None if interactive else subprocess.DEVNULL, errors) as running,
    ):
        while running.poll() is None:
            reason = None if interactive else refusal(console)
            seconds = time.monotonic() - start
            if reason:
                return Outcome(Ending.REFUSED, reason, seconds)
            if timeout is not None and seconds > timeout:
                return Outcome(Ending.TIMEOUT, "", seconds)
            try:
                running.wait(_PERIOD)
            except subprocess.TimeoutExpired:
                continue
    check_errors(running, errors)
    return Outcome(Ending.ENDED, "", time.monotonic() - start)


def check_errors(running: subprocess.Popen[bytes], errors: Path) -> None:
    """Raise `FukiError` with QEMU's last words where it failed."""
    try:
        running.wait(_GRACE)
    except subprocess.TimeoutExpired:
        return
    if running.returncode:
        words = errors.read_text(errors="replace").strip().splitlines()
        last = words[-1] if words else f"exit code {running.returncode}"
        raise FukiError(f"QEMU failed: {last}")


def read_console(path: Path) -> str:
    """What a guest's serial port said, without escape codes."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_CONSOLE)
    except OSError:
        return ""
    return _ESCAPES.sub("", data.decode(errors="replace")).replace("\r", "")


def refusal(console: Path, since: int = 0) -> str | None:
    """The firmware's word for why it did not start the first thing that it tried, in the text from `since` on."""
    text = read_console(console)[since:]
    found = next((match for refusal in _REFUSALS if (match := refusal.search(text))), None)
    return found[1].strip() if found else None


@contextmanager
def process(
    command: Sequence[str],
    sockets: Sequence[socket.socket],
    stdin: int | None,
    errors: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has ended when the block has."""
    with errors.open("wb") as stderr:
        try:
            running = subprocess.Popen(
                command,
                env=environment,
                stdin=stdin,
                stdout=None if stdin is None else subprocess.DEVNULL,
                stderr=stderr,
                pass_fds=[one.fileno() for one in sockets],
            )
        except OSError as error:
            raise FukiError(f"cannot run {command[0]}: {error.strerror}") from error
    try:
        yield running
    finally:
        _end(running)


def _end(running: subprocess.Popen[bytes]) -> None:
    if running.poll() is not None:
        return
    running.terminate()
    try:
        running.wait(_GRACE)
    except subprocess.TimeoutExpired:
        pass
    finally:
        if running.poll() is None:
            running.kill()
            running.wait()


@contextmanager
def terminal(interactive: bool) -> Iterator[None]:
    """Give a terminal back as it was: QEMU changes it, and may be ended before it can undo that."""
    if not (interactive and sys.stdin.isatty()):
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
