"""Runs one program for `fuki_build.programs`, and ends what is left of it when fuki is gone, however that went.

This is a script: nothing imports it, and it imports nothing of fuki. Standard input brings a job, and is then open for
as long as the program may run; its end, which comes also when fuki is killed, ends the program and all that it started.
Standard output gets `exit CODE`, negative for a signal, or `errno NUMBER` where the program cannot be started.

A program that ends by itself takes its process group with it. What has made a session of its own by then is a daemon
that is meant to stay, such as an agent or the shared connection of ssh.
"""

import contextlib
import ctypes
import marshal
import os
import resource
import select
import signal
import time

_SET_CHILD_SUBREAPER = 36  # prctl(2)
_GRACE = 2.0
"""Seconds that a program has to end when it is told to."""
_PATIENCE = 5.0
"""Seconds after which what cannot be killed, because it waits for a device, is left alone."""
_PERIOD = 0.01
_JOB, _STATUS = 0, 1


def main() -> None:
    # Whoever loses its parent becomes a child of this process, so that no daemon is overlooked.
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    command, environment, largest_file, folders, stdio, descriptors = marshal.loads(_read_job())  # noqa: S302 - from fuki
    signalled = _watch_signals()
    if command:
        _supervise(_start(command, environment, stdio, descriptors, largest_file), signalled)
    else:
        select.select([_JOB, signalled], [], [])
    for folder in folders:
        _remove(folder)


def _read_job() -> bytes:
    return _read(int.from_bytes(_read(8), "little"))


def _read(size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        chunk = os.read(_JOB, size - len(data))
        if not chunk:  # fuki is gone before there was anything to do
            os._exit(1)
        data += chunk
    return bytes(data)


def _watch_signals() -> int:
    """A descriptor that can be read once this process was told to end."""
    reader, writer = os.pipe()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: os.write(writer, b"."))
    return reader


def _start(
    command: list[bytes], environment: dict[bytes, bytes], stdio: list[int], descriptors: list[int], largest_file: int
) -> int:
    """Start the program in a session of its own; its process id."""
    if largest_file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    moves = [(os.POSIX_SPAWN_DUP2, given, number) for number, given in enumerate(stdio)]
    closes = [(os.POSIX_SPAWN_CLOSE, given) for given in set(stdio) - set(descriptors)]
    # Python ignores these two, and programs would inherit that.
    default = [signal.SIGPIPE, signal.SIGXFSZ]

    try:
        process = os.posix_spawnp(
            command[0], command, environment, file_actions=[*moves, *closes], setsid=True, setsigdef=default
        )
    except OSError as error:
        os.write(_STATUS, b"errno %d" % (error.errno or 0))
        os._exit(0)

    # Whoever waits for the end of these must not wait for this process.
    for descriptor in {*stdio, *descriptors}:
        os.close(descriptor)

    return process


def _supervise(process: int, signalled: int) -> None:
    """Wait for the program's end, or bring it about, and tell it."""
    ended = os.pidfd_open(process)
    readable, _, _ = select.select([_JOB, ended, signalled], [], [])
    by_itself = ended in readable
    if not by_itself:
        _signal_group(process, signal.SIGTERM)
        select.select([ended], [], [], _GRACE)

    # As long as it is not waited for, its number is not given to another process group.
    _signal_group(process, signal.SIGKILL)
    select.select([ended], [], [], _PATIENCE)
    _, status = os.waitpid(process, os.WNOHANG)
    if not by_itself:
        _kill_descendants()
    with contextlib.suppress(OSError):  # nobody may be there to be told
        os.write(_STATUS, b"exit %d" % os.waitstatus_to_exitcode(status))


def _signal_group(process: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process, number)


def _kill_descendants() -> None:
    end = time.monotonic() + _PATIENCE
    while (there := _descendants()) and time.monotonic() < end:
        for process in there:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        time.sleep(_PERIOD)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _descendants() -> list[int]:
    """The processes below this one."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib is slow to load
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                # The name of the program, in parentheses, may hold anything (proc(5)).
                parent = file.read().rpartition(b")")[2].split()[1]
                children.setdefault(int(parent), []).append(int(name))

    below: list[int] = []
    left = [os.getpid()]
    while left:
        more = children.get(left.pop(), [])
        below += more
        left += more
    return below


def _remove(folder: bytes) -> None:
    """Remove a folder with all that is in it; a program that is still about to end may write into it meanwhile."""
    import shutil  # noqa: PLC0415 - slow to load, and mostly not needed

    end = time.monotonic() + _PATIENCE
    while os.path.lexists(folder) and time.monotonic() < end:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(_PERIOD)


if __name__ == "__main__":
    main()
