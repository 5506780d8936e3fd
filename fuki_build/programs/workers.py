"""Work of one command on several processor cores: copies of this process, each with output of its own.

Processes and not threads: what reads and judges images is Python, of which one thread runs at a time, and a copy that
is killed takes no other with it.
"""

import io
import os
import select
import signal
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import BinaryIO, NoReturn

from msgspec import Struct

_AHEAD = 2
"""Pieces of work, for each core, that may be done or begun before their turn to be told comes."""
_PATIENCE = 2.0
"""Seconds in which a copy that is no longer wanted may clean up."""
_ENDED = 70
"""Exit code of a copy whose work was ended."""


class WorkResult(Struct, frozen=True):
    """The end of a piece of work: its exit code, or None if it was ended before it had one, and what it wrote."""

    code: int | None
    out: BinaryIO
    err: BinaryIO


class _Worker(Struct, frozen=True):
    process: int
    descriptor: int
    out: BinaryIO
    err: BinaryIO


def run_in_copies(works: Iterable[Callable[[], int]], count: int) -> Iterator[WorkResult]:
    """Do each piece of work in a copy of this process, at most `count` at a time; results in the order of the work.

    What it writes to standard output and standard error waits in unnamed files. No copy outlives this process, nor the
    iteration. The process must have one thread only.
    """
    lifeline = os.pipe()
    waiting: deque[_Worker] = deque()
    running: dict[int, _Worker] = {}
    left = iter(works)
    try:
        while True:
            while len(running) < count and len(waiting) < _AHEAD * count:
                work = next(left, None)
                if work is None:
                    break
                worker = _start(work, lifeline)
                waiting.append(worker)
                running[worker.descriptor] = worker
            if not waiting:
                return

            _wait(running)
            while waiting and waiting[0].descriptor not in running:
                yield _result(waiting.popleft())
    finally:
        _end(running)
        for worker in waiting:
            _result(worker)
        for end in lifeline:
            os.close(end)


def _start(work: Callable[[], int], lifeline: tuple[int, int]) -> _Worker:
    # The copy would write once more what is still in these.
    sys.stdout.flush()
    sys.stderr.flush()
    out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - they are read when the copy has ended
    process = os.fork()
    if not process:
        _work(work, lifeline, out, err)
    return _Worker(process, os.pidfd_open(process), out, err)


def _wait(running: dict[int, _Worker], seconds: float | None = None) -> None:
    """Until one of those that run has ended, or so long; those that have are taken out."""
    poll = select.poll()
    for descriptor in running:
        poll.register(descriptor, select.POLLIN)
    for descriptor, _ in poll.poll(None if seconds is None else 1000 * seconds):
        del running[descriptor]


def _end(running: dict[int, _Worker]) -> None:
    """Have those that run clean up and end, or end them."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for worker in running.values():
            os.kill(worker.process, number)
        end = time.monotonic() + _PATIENCE
        while running and time.monotonic() < end:
            _wait(running, _PATIENCE)


def _result(worker: _Worker) -> WorkResult:
    """What an ended copy leaves."""
    _, status = os.waitpid(worker.process, 0)
    os.close(worker.descriptor)
    worker.out.seek(0)
    worker.err.seek(0)
    code = os.waitstatus_to_exitcode(status)
    return WorkResult(None if code < 0 or code == _ENDED else code, worker.out, worker.err)


def _work(work: Callable[[], int], lifeline: tuple[int, int], out: BinaryIO, err: BinaryIO) -> NoReturn:
    """Run in the copy, and end it here, whatever happens: nothing of the original's may run twice."""
    code = _ENDED
    try:
        os.close(lifeline[1])
        threading.Thread(target=_end_with, args=(lifeline[0],), daemon=True).start()

        sys.stdout, sys.stderr = _text(out, sys.stdout.encoding), _text(err, sys.stderr.encoding)
        code = work()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _end_with(lifeline: int) -> None:
    """Wait for the end of the original, which alone holds the other end, and end with it."""
    os.read(lifeline, 1)
    os._exit(_ENDED)


def _text(file: BinaryIO, encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(file, encoding, "backslashreplace")
