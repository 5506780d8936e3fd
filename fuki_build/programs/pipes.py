"""What goes into a program and comes out of it while it runs."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, Self

from fuki_build.programs.errors import ProgramError

_CHUNK = 64 * 1024
_KEPT = 64 * 1024
"""Bytes of what a program complains of that are kept, the last ones."""
_MIB = 1024 * 1024


def is_readable(descriptor: int, seconds: float | None) -> bool:
    import selectors  # noqa: PLC0415 - most commands run no program

    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        return bool(selector.select(seconds))


class Pipes:
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
        import selectors  # noqa: PLC0415 - as above

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
        if not (is_readable(descriptor, 0) and read(descriptor)):
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
