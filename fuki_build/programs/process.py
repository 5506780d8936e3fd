"""A program and its supervisor, from start to end."""

import errno
import fcntl
import marshal
import os
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from fuki_build.programs.errors import ProgramError
from fuki_build.programs.pipes import is_readable

if TYPE_CHECKING:
    import subprocess

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_LONGEST_STATUS = 100


class Process:
    """A running program. `status` is the descriptor that can be read when it has ended."""

    def __init__(self, supervisor: "subprocess.Popen[bytes]", name: str) -> None:
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
        if self._code is None and is_readable(self.status, seconds):
            self._code = self._read_status()
        return self._code

    def _read_status(self) -> int:
        kind, _, number = os.read(self.status, _LONGEST_STATUS).decode().partition(" ")
        if kind == "errno":
            raise _not_started(self._name, int(number))
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


def check_startable(program: str, environment: Mapping[str, str], directory: Path | None = None) -> None:
    """Raise `ProgramError` for a program that `started` could not start; none is."""
    number = 0
    if "/" not in program:
        number = 0 if shutil.which(program, path=environment.get("PATH", os.defpath)) else errno.ENOENT
    else:
        path = (directory or Path()) / program
        try:
            number = 0 if stat.S_ISREG(path.stat().st_mode) and os.access(path, os.X_OK) else errno.EACCES
        except OSError as error:
            number = error.errno or errno.ENOENT
    if number:
        raise _not_started(program, number)


def _not_started(name: str, number: int) -> ProgramError:
    return ProgramError(f"cannot run {name}: {os.strerror(number)}")


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
    import subprocess  # noqa: PLC0415 - most commands run no program

    name = command[0] if command else sys.executable
    if any("\0" in text for text in (*command, *environment.values())):
        raise ProgramError(f"cannot run {name}: an argument or variable has a NUL character in it")
    job = (
        [os.fsencode(word) for word in command],
        {os.fsencode(name): os.fsencode(value) for name, value in environment.items()},
        largest_file or 0,
        [os.fsencode(folder) for folder in folders],
    )
    # What the interpreter itself needs, and what the program is looked up in.
    own = {name: value for name, value in os.environ.items() if name == "LD_LIBRARY_PATH"}
    own["PATH"] = environment.get("PATH", os.defpath)
    try:
        with _above_standard_streams(stdio) as given:
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
            data = marshal.dumps((*job, given, list(descriptors)))
    except OSError as error:
        raise ProgramError(f"cannot run {name}: {error.strerror}") from error
    process = Process(supervisor, name)
    with supervisor:
        try:
            assert supervisor.stdin is not None  # noqa: S101 - it is a pipe
            with suppress(BrokenPipeError):
                supervisor.stdin.write(len(data).to_bytes(8, "little") + data)
                supervisor.stdin.flush()
            yield process
        finally:
            process.end()


@contextmanager
def _above_standard_streams(stdio: Sequence[int | None]) -> Iterator[list[int]]:
    """Copies of descriptors, None being /dev/null, under numbers that are not those of the supervisor's own streams."""
    with ExitStack() as stack:
        nothing = os.open(os.devnull, os.O_RDWR)
        stack.callback(os.close, nothing)
        copies = []
        for descriptor in stdio:
            copies.append(fcntl.fcntl(nothing if descriptor is None else descriptor, fcntl.F_DUPFD_CLOEXEC, 3))
            stack.callback(os.close, copies[-1])
        yield copies
