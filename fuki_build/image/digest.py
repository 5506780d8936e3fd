"""Many digests of one stream: each over its own ranges, fed from a single read, hashed in threads."""

from collections.abc import Callable, Iterable
from queue import Queue
from threading import Thread
from types import TracebackType
from typing import NamedTuple, Self

from fuki_build.formats.hashes import Hash, new_hash

_WORKERS = 2
"""Hashing threads besides the one that reads and writes; more gain nothing, as one of them hashes every byte."""
_QUEUE = 8
"""Pieces that may wait for a worker; limits memory use."""

Ranges = tuple[tuple[int, int], ...]
"""Half-open, in hashing order: ascending up to the first range that goes back; from there on, they are read again."""
ReadAgain = Callable[[int, int], Iterable[memoryview]]
"""The bytes of the stream between two offsets, after it has passed."""


class Request(NamedTuple):
    """A digest over parts of the stream, followed by `suffix`; `before` is a hash of data that precedes them."""

    ranges: Ranges
    algorithm: str = "sha256"
    suffix: bytes = b""
    before: Hash | None = None

    @property
    def weight(self) -> int:
        return sum(end - start for start, end in self.ranges)


class _Running:
    def __init__(self, request: Request) -> None:
        self.request = request
        self.hash = request.before.copy() if request.before else new_hash(request.algorithm)
        self._next = 0
        passing = _ascending(request.ranges)
        self._passing, self._again = request.ranges[:passing], request.ranges[passing:]

    def feed(self, offset: int, piece: memoryview) -> None:
        while self._next < len(self._passing):
            start, end = self._passing[self._next]
            if start >= offset + len(piece):
                return
            self.hash.update(piece[max(0, start - offset) : end - offset])
            if end > offset + len(piece):
                return
            self._next += 1

    def finish(self, read_again: ReadAgain) -> Hash:
        for start, end in self._again:
            for piece in read_again(start, end):
                self.hash.update(piece)
        self.hash.update(self.request.suffix)
        return self.hash


def _ascending(ranges: Ranges) -> int:
    """The number of leading ranges that can be cut from a stream without going back."""
    at = 0
    for count, (start, end) in enumerate(ranges):
        if start < at:
            return count
        at = end
    return len(ranges)


def _passed(start: int, end: int) -> Iterable[memoryview]:
    raise ValueError(f"the bytes from {start} to {end} have passed")


class StreamHasher:
    """Feed a stream from its start, piece by piece, inside a `with`; `results` has the hashes afterwards.

    Pieces are kept until they are hashed and must not be changed after they were fed. `read_again` is called at the end
    for ranges that go back; few images have any.
    """

    def __init__(self, requests: Iterable[Request], read_again: ReadAgain = _passed) -> None:
        self._read_again = read_again
        self.results: dict[Request, Hash] = {}
        self._shares: list[list[_Running]] = [[] for _ in range(_WORKERS)]

        # The longest requests are spread first, so that both threads have about as many bytes to hash.
        weights = [0] * _WORKERS
        for request in sorted(set(requests), key=lambda r: r.weight, reverse=True):
            lightest = weights.index(min(weights))
            self._shares[lightest].append(_Running(request))
            weights[lightest] += request.weight

        self._queues: list[Queue[tuple[int, memoryview] | None]] = [Queue(_QUEUE) for _ in range(_WORKERS)]

        self._threads = [
            Thread(target=_work, args=(queue, share), daemon=True)
            for queue, share in zip(self._queues, self._shares, strict=True)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def feed(self, offset: int, piece: memoryview) -> None:
        for queue in self._queues:
            queue.put((offset, piece))

    def seen(self) -> dict[Request, Hash]:
        """Copies of all hashes after everything that was fed; suffixes are not yet included."""
        for queue in self._queues:
            queue.join()
        return {r.request: r.hash.copy() for share in self._shares for r in share}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for queue in self._queues:
            queue.put(None)
        for thread in self._threads:
            thread.join()
        if error is None:
            self.results = {r.request: r.finish(self._read_again) for share in self._shares for r in share}


def _work(queue: "Queue[tuple[int, memoryview] | None]", share: list[_Running]) -> None:
    while (item := queue.get()) is not None:
        for running in share:
            running.feed(*item)
        queue.task_done()
