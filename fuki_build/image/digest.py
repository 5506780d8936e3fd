"""Many digests of one stream: each over its own ranges, fed from a single read, hashed in threads."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from queue import Queue
from threading import Thread
from types import TracebackType
from typing import NamedTuple, Self

from fuki_build.formats.hashes import Hash, new_hash

_QUEUE = 8
"""Pieces that may wait for a worker; limits memory use."""
_COSTS = {
    "sha1": 10,
    "sha256": 10,
    "sha384": 18,
    "sha512": 18,
    "sha3_256": 33,
    "sm3": 40,
    "sha3_384": 43,
    "sha3_512": 63,
}
"""Time per byte of each algorithm, in relation to the others, on processors with instructions for SHA-256."""
_OTHER_COST = 40

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
    def cost(self) -> int:
        """What computing it takes, in relation to others."""
        return sum(end - start for start, end in self.ranges) * _COSTS.get(self.algorithm, _OTHER_COST)


class _Running:
    """A hash in progress, and those of requests whose bytes begin the same and end earlier: `branches`."""

    def __init__(self, request: Request, branches: Sequence[Request]) -> None:
        self.request = request
        self.hash = request.before.copy() if request.before else new_hash(request.algorithm)
        self._branches = branches
        self._finished: dict[Request, Hash] = {}
        self._next = 0

        passing = _ascending(request.ranges)
        self._ending: dict[int, list[Request]] = {}
        for branch in branches:
            self._ending.setdefault(branch.ranges[-1][1], []).append(branch)
        self._passing = tuple(_split(request.ranges[:passing], self._ending))
        self._again = request.ranges[passing:]

    @property
    def requests(self) -> tuple[Request, ...]:
        return (self.request, *self._branches)

    def feed(self, offset: int, piece: memoryview) -> None:
        while self._next < len(self._passing):
            start, end = self._passing[self._next]
            if start >= offset + len(piece):
                return
            self.hash.update(piece[max(0, start - offset) : end - offset])
            if end > offset + len(piece):
                return
            self._next += 1
            for branch in self._ending.get(end, ()):
                self._finished[branch] = self.hash.copy()

    def seen(self) -> dict[Request, Hash]:
        """Copies of the hashes so far, without suffixes."""
        return {request: self._finished.get(request, self.hash).copy() for request in self.requests}

    def finish(self, read_again: ReadAgain) -> dict[Request, Hash]:
        for start, end in self._again:
            for piece in read_again(start, end):
                self.hash.update(piece)
        hashes = self.seen()
        for request, state in hashes.items():
            state.update(request.suffix)
        return hashes


def _split(ranges: Ranges, ends: Collection[int]) -> Iterator[tuple[int, int]]:
    """The same bytes, in ranges that end at `ends` too."""
    for start, end in ranges:
        at = start
        for cut in sorted(cut for cut in ends if start < cut < end):
            yield at, cut
            at = cut
        yield at, end


def _begins(short: Request, long: Request) -> bool:
    """Whether hashing `long` passes all states of `short`, from the start to where that ends."""
    same = (short.algorithm, short.before) == (long.algorithm, long.before)
    count = len(short.ranges)
    if not same or not 0 < count <= _ascending(long.ranges) or _ascending(short.ranges) < count:
        return False
    (last_start, last_end), (start, end) = short.ranges[-1], long.ranges[count - 1]
    return short.ranges[:-1] == long.ranges[: count - 1] and last_start == start < last_end <= end


def _hashes(requests: Iterable[Request]) -> list[_Running]:
    """The hashes to compute for these requests, without computing any state twice; those that cost most come first.

    Their order follows from the requests and their order alone, so that a pass takes as long each time.
    """
    branches: dict[Request, list[Request]] = {}
    # Only what begins at the same byte can begin the same: a hostile image has many sections.
    by_start: dict[tuple[str, int], list[Request]] = {}
    for request in sorted(dict.fromkeys(requests), key=lambda r: r.cost, reverse=True):
        leaders = by_start.setdefault((request.algorithm, request.ranges[0][0] if request.ranges else -1), [])
        leader = next((leader for leader in leaders if _begins(request, leader)), None)
        if leader is None:
            leaders.append(request)
            branches[request] = []
        else:
            branches[leader].append(request)
    return [_Running(request, its_branches) for request, its_branches in branches.items()]


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

    Requests whose bytes begin another one's come from a copy of that hash. Pieces are kept until they are hashed and
    must not be changed after they were fed. `read_again` is called at the end for ranges that go back, of which few
    images have any.
    """

    def __init__(self, requests: Iterable[Request], read_again: ReadAgain = _passed) -> None:
        self._read_again = read_again
        self.results: dict[Request, Hash] = {}

        # The costliest are spread first, so that all threads have about as much to do.
        hashes = _hashes(requests)
        self._shares: list[list[_Running]] = [[] for _ in range(min(len(hashes), len(os.sched_getaffinity(0))))]
        costs = [0] * len(self._shares)
        for running in hashes:
            least = costs.index(min(costs))
            self._shares[least].append(running)
            costs[least] += running.request.cost

        self._queues: list[Queue[tuple[int, memoryview] | None]] = [Queue(_QUEUE) for _ in self._shares]

        self._threads = [
            Thread(target=_work, args=(queue, share), daemon=True)
            for queue, share in zip(self._queues, self._shares, strict=True)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def covers(self, start: int, end: int) -> bool:
        """Whether any request has bytes between two offsets; those that none has need not be fed."""
        ranges = (r for share in self._shares for running in share for r in running.request.ranges)
        return any(first < end and start < last for first, last in ranges)

    def feed(self, offset: int, piece: memoryview) -> None:
        for queue in self._queues:
            queue.put((offset, piece))

    def settle(self) -> None:
        """Wait until everything that was fed is hashed."""
        for queue in self._queues:
            queue.join()

    def seen(self) -> dict[Request, Hash]:
        """Copies of all hashes after everything that was fed; suffixes are not yet included."""
        self.settle()
        return {request: state for share in self._shares for r in share for request, state in r.seen().items()}

    @property
    def shares(self) -> tuple[tuple[Request, ...], ...]:
        """What each thread hashes byte by byte; other requests come from copies of these hashes."""
        return tuple(tuple(running.request for running in share) for share in self._shares)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for queue in self._queues:
            queue.put(None)
        for thread in self._threads:
            thread.join()
        if error is None:
            finished = (running.finish(self._read_again) for share in self._shares for running in share)
            self.results = {request: state for hashes in finished for request, state in hashes.items()}


def _work(queue: "Queue[tuple[int, memoryview] | None]", share: list[_Running]) -> None:
    while (item := queue.get()) is not None:
        for running in share:
            running.feed(*item)
        queue.task_done()
