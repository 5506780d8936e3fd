"""The one place from which programs are run, for the package and its plugins.

A program runs in a session of its own, without a terminal, with a deadline and bounded output, and sees no environment
but what it is given. It ends with whoever waits for it, and so does all that it started, also when fuki is killed: that
is the business of `supervisor.py`, a small process between the two.
"""

import fcntl
import io
import marshal
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, Self

from msgspec import Struct

from fuki_build.errors import FukiError

DEFAULT_TIMEOUT = 600.0
"""Seconds."""
_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_CHUNK = 64 * 1024
_KEPT = 64 * 1024
"""Bytes of what a program complains of that are kept, the last ones."""
_ALWAYS = ("PATH", "HOME")
_MIB = 1024 * 1024


class ProgramError(FukiError):
    """A program cannot be run, did not end in time, or printed too much."""


class Completed(Struct, frozen=True):
    """How a program ended: `code` is negative for a signal; of `stderr`, the last 64 KiB."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def how(self) -> str:
        """For the message of an error."""
        return f"failed with exit code {self.code}" if self.code >= 0 else f"was ended by signal {-self.code}"

    def last_lines(self, count: int = 1) -> str:
        """The last words of a program that failed, on one line; control characters are left out."""
        text = self.stderr.decode(errors="replace").strip()
        lines = ["".join(c for c in line if c.isprintable()).strip() for line in text.splitlines()]
        return " / ".join([line for line in lines if line][-count:])


def environment(*names: str, **values: str) -> dict[str, str]:
    """What a program gets that needs nothing in particular: where programs are, a fixed locale and time zone.

    `names` are further variables to pass on where they are set, `values` are added.
    """
    passed = {name: os.environ[name] for name in (*_ALWAYS, *names) if name in os.environ}
    return {**passed, "LC_ALL": "C.UTF-8", "TZ": "UTC", **values}


class Process:
    """A running program. `status` is the descriptor that can be read when it has ended."""

    def __init__(self, supervisor: subprocess.Popen[bytes], name: str) -> None:
        self._supervisor = supervisor
        self._name = name
        self._code: int | None = None

    @property
    def status(self) -> int:
        assert self._supervisor.stdout is not None  # noqa: S101 - it is a pipe
        return self._supervisor.stdout.fileno()

    def wait(self, seconds: float | None = None) -> int | None:
        """The exit code, negative for a signal; None when the program still runs after that time.

        Raises `ProgramError` for one that could not be started.
        """
        if self._code is None and _is_readable(self.status, seconds):
            self._code = self._read_status()
        return self._code

    def _read_status(self) -> int:
        kind, _, number = os.read(self.status, _CHUNK).decode().partition(" ")
        if kind == "errno":
            raise ProgramError(f"cannot run {self._name}: {os.strerror(int(number))}")
        if kind != "exit":
            raise ProgramError(f"{self._name} was lost: the process that waits for it was killed")
        return int(number)

    def end(self) -> None:
        """End the program with all that it started, unless it has ended by itself."""
        supervisor = self._supervisor
        assert supervisor.stdin is not None  # noqa: S101 - it is a pipe
        with suppress(OSError):
            supervisor.stdin.close()
        supervisor.wait()


def _is_readable(descriptor: int, seconds: float | None) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        return bool(selector.select(seconds))


@contextmanager
def started(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: Path | None = None,
    stdio: Sequence[int | None] = (None, None, None),
    descriptors: Sequence[int] = (),
    largest_file: int | None = None,
) -> Iterator[Process]:
    """A program that runs for as long as the block does, or shorter.

    `stdio` are descriptors, None being /dev/null; `descriptors` are further ones that it inherits under their numbers,
    `largest_file` is the size in bytes up to which it can write files.
    """
    with _supervised(command, environment, directory, stdio, descriptors, largest_file, ()) as process:
        yield process


@contextmanager
def scratch_directory(prefix: str) -> Iterator[Path]:
    """A directory that is gone at the end of the block, and also when fuki is killed in it."""
    with (
        TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name,
        _supervised([], {}, None, (None, None, None), (), None, (name,)),
    ):
        yield Path(name)


@contextmanager
def _supervised(
    command: Sequence[str],
    environment: Mapping[str, str],
    directory: Path | None,
    stdio: Sequence[int | None],
    descriptors: Sequence[int],
    largest_file: int | None,
    folders: Sequence[str],
) -> Iterator[Process]:
    variables = {os.fsencode(name): os.fsencode(value) for name, value in environment.items()}
    # What the interpreter itself needs, and what the program is looked up in.
    own = {name: value for name, value in os.environ.items() if name == "LD_LIBRARY_PATH"}
    own["PATH"] = environment.get("PATH", os.defpath)
    with ExitStack() as stack:
        nothing = stack.enter_context(open(os.devnull, "r+b", buffering=0)).fileno()  # noqa: PTH123 - unbuffered
        # The numbers of the standard streams are the supervisor's own there.
        given = [fcntl.fcntl(nothing if one is None else one, fcntl.F_DUPFD_CLOEXEC, 3) for one in stdio]
        for descriptor in given:
            stack.callback(os.close, descriptor)
        job = marshal.dumps(
            (
                [os.fsencode(word) for word in command],
                variables,
                given,
                list(descriptors),
                largest_file or 0,
                [os.fsencode(folder) for folder in folders],
            )
        )
        try:
            supervisor = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_SUPERVISOR)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=directory,
                env=own,
                pass_fds=[*given, *descriptors],
                start_new_session=True,
            )
        except OSError as error:
            what = command[0] if command else sys.executable
            raise ProgramError(f"cannot run {what}: {error.strerror}") from error
    process = Process(supervisor, command[0] if command else "")
    with supervisor:
        try:
            assert supervisor.stdin is not None  # noqa: S101 - it is a pipe
            with suppress(BrokenPipeError):
                supervisor.stdin.write(len(job).to_bytes(8, "little") + job)
                supervisor.stdin.flush()
            yield process
        finally:
            process.end()


def run(  # noqa: PLR0913 - all but the command have names
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: Path | None = None,
    stdin: bytes = b"",
    stdout: BinaryIO | None = None,
    descriptors: Sequence[int] = (),
    timeout: float = DEFAULT_TIMEOUT,
    largest_output: int = _MIB,
    largest_file: int | None = None,
) -> Completed:
    """Run a program to its end. What it prints goes into the file `stdout`, or into the result.

    `timeout` is in seconds, `largest_output` and `largest_file` (of each file that it writes) are in bytes. Raises
    `ProgramError` where the program cannot be run, is not done in time or prints more; not for its exit code.
    """
    name = Path(command[0]).name
    collected = io.BytesIO()
    with _Pipes(stdin, stdout or collected, largest_output, name) as pipes:
        with started(
            command,
            environment=environment,
            directory=directory,
            stdio=pipes.theirs,
            descriptors=descriptors,
            largest_file=largest_file,
        ) as process:
            pipes.close_theirs()
            if not pipes.serve(process.status, time.monotonic() + timeout):
                hint = "it was ended, with everything that it had started"
                raise ProgramError(f"{name} was not done after {timeout:g} seconds", hint=hint)
            code = process.wait()
        assert code is not None  # noqa: S101 - it has ended
        return Completed(code, collected.getvalue(), bytes(pipes.complaints))


class _Pipes:
    """Standard input, output and error of a program, served until it ends; whoever else holds them does not count."""

    def __init__(self, stdin: bytes, stdout: BinaryIO, largest_output: int, name: str) -> None:
        self._stdin = memoryview(stdin)
        self._stdout = stdout
        self._left = largest_output
        self._too_much = f"{name} printed more than {largest_output} bytes"
        self.complaints = bytearray()
        self._ours: list[int] = []
        self.theirs: list[int] = []
        for mode in ("w", "r", "r"):
            reader, writer = os.pipe()
            self._ours.append(writer if mode == "w" else reader)
            self.theirs.append(reader if mode == "w" else writer)
            os.set_blocking(self._ours[-1], False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_theirs()
        while self._ours:
            _close(self._ours.pop())

    def close_theirs(self) -> None:
        while self.theirs:
            _close(self.theirs.pop())

    def serve(self, status: int, deadline: float) -> bool:
        """Move data until there is a status; False when the deadline, on the monotonic clock, comes first."""
        to_program, from_output, from_error = self._ours
        with selectors.DefaultSelector() as selector:
            selector.register(status, selectors.EVENT_READ)
            selector.register(to_program, selectors.EVENT_WRITE, self._write)
            selector.register(from_output, selectors.EVENT_READ, self._read_output)
            selector.register(from_error, selectors.EVENT_READ, self._read_error)
            while (seconds := deadline - time.monotonic()) > 0:
                ready = {key.fd: key for key, _ in selector.select(seconds)}
                if status in ready:
                    break
                for descriptor, key in ready.items():
                    if not key.data(descriptor):
                        selector.unregister(descriptor)
            else:
                return False

        # What the program has printed is in the pipes by now. A daemon that it left may go on, so that there is an end
        # to this even where the pipes have none.
        _drain(from_output, self._read_output)
        _drain(from_error, self._read_error)
        return True

    def _write(self, descriptor: int) -> bool:
        try:
            self._stdin = self._stdin[os.write(descriptor, self._stdin[:_CHUNK]) :]
        except BlockingIOError:
            return True
        except BrokenPipeError:  # the program does not want it
            self._stdin = self._stdin[:0]
        if not self._stdin:
            self._ours.remove(descriptor)
            _close(descriptor)
        return bool(self._stdin)

    def _read_output(self, descriptor: int) -> bool:
        data = _read(descriptor)
        self._left -= len(data or b"")
        if self._left < 0:
            raise ProgramError(self._too_much, hint="it was ended, with everything that it had started")
        self._stdout.write(data or b"")
        return data != b""

    def _read_error(self, descriptor: int) -> bool:
        data = _read(descriptor)
        self.complaints += data or b""
        del self.complaints[:-_KEPT]
        return data != b""


def _drain(descriptor: int, read: Callable[[int], bool]) -> None:
    """Read what a pipe holds now; it holds at most 1 MiB (pipe(7))."""
    for _ in range(_MIB // _CHUNK):
        if not (_is_readable(descriptor, 0) and read(descriptor)):
            return


def _read(descriptor: int) -> bytes | None:
    """What is there; nothing at the end, None where there is nothing yet."""
    try:
        return os.read(descriptor, _CHUNK)
    except BlockingIOError:
        return None


def _close(descriptor: int) -> None:
    with suppress(OSError):
        os.close(descriptor)
