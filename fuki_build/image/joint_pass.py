"""Several images in one pass over their inputs: what images share is read once, for all of them, and digested once.

Every image is a stream of parts in an order of its own. Each goes on alone to its next shared part, and waits there;
the part is read when all that still need it wait for it. Where the orders of two images contradict each other, what
most wait for is read, and read once more for the others.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from contextvars import copy_context
from copy import copy
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from msgspec import Struct

from fuki_build.errors import FukiError
from fuki_build.formats.hashes import Hash
from fuki_build.image.assemble import CHUNK, ImageStream, Progress, read_range, take_part
from fuki_build.image.assembly import Assembly, DeferredContent
from fuki_build.image.blob import Blob, FilePart, Part
from fuki_build.image.digest import Request, StreamHasher
from fuki_build.image.digest_plan import ALL_DIGESTS, DigestNeeds, DigestPlan
from fuki_build.image.layout import Layout
from fuki_build.image.output_file import OutputFile
from fuki_build.image.reading import opened, read_piece

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

ContentKey = tuple[str, bytes, tuple[Part, ...]]
"""An algorithm, the bytes behind the content, and the content."""


class ImageJob(Struct, frozen=True, kw_only=True):
    """An image to assemble: what `assemble` takes, as a record."""

    layout: Layout
    outputs: Sequence[OutputFile] = ()
    digests: DigestNeeds = ALL_DIGESTS
    deferred: Mapping[int, DeferredContent] = {}
    progress: Progress | None = None


def assemble_all(jobs: Sequence[ImageJob], threads: int = 1) -> Iterator[Assembly | FukiError]:
    """Assemble all images, in one pass; for each, in order, its hashes, or the error that ended it alone.

    `threads` images are written at a time. Memory use grows neither with the images nor with their number.
    """
    loans = _Loans(jobs)
    with ExitStack() as stack:
        pool = stack.enter_context(_pool(threads)) if threads > 1 and len(jobs) > 1 else None
        runs = [_Run(job, loans.borrowed(index)) for index, job in enumerate(jobs)]
        for run in runs:
            stack.enter_context(run)
        _Pass(runs, pool).finish()
    for index, run in enumerate(runs):
        yield run.failure or _with_loans(runs, index, loans)


def _pool(threads: int) -> "ThreadPoolExecutor":
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - most builds have one image

    return ThreadPoolExecutor(threads)


class _Run:
    """One image on its way: it stands at `waits_for`, a shared part, or is at its end."""

    def __init__(self, job: ImageJob, borrowed: Iterable[Request]) -> None:
        self.job = job
        self.failure: FukiError | None = None
        self.waits_for: FilePart | None = None
        self.ahead = Counter(_file_parts(job))
        self.stream = ImageStream(
            job.layout, job.outputs, job.progress, job.digests, job.deferred, elsewhere=frozenset(borrowed)
        )
        self._parts = iter(self.stream.parts)

    def __enter__(self) -> Self:
        self.stream.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failure = error or self.failure
        # Hashes end here, some with bytes that are read once more.
        self.attempt(lambda: self.stream.__exit__(type(failure) if failure else None, failure, trace))

    def attempt(self, step: Callable[[], object]) -> None:
        """Do something; an error ends this image alone."""
        try:
            step()
        except FukiError as error:
            self.fail(error)

    def fail(self, error: FukiError) -> None:
        self.failure = self.failure or error
        self.waits_for = None
        self.ahead.clear()

    def go_on(self, shared: frozenset[FilePart]) -> None:
        """Take all parts up to the next shared one."""
        self.waits_for = None
        for part in self._parts:
            if isinstance(part, FilePart) and part in shared:
                self.waits_for = part
                break
            take_part(self.stream, part)
        # What is kept until it is hashed would add up over the images.
        self.stream.drain()


class _Pass:
    def __init__(self, runs: Sequence[_Run], pool: "ThreadPoolExecutor | None") -> None:
        self._runs = runs
        self._pool = pool
        holders = Counter(part for run in runs for part in run.ahead)
        self._shared = frozenset(part for part, count in holders.items() if count > 1)

    def finish(self) -> None:
        """Read everything."""
        for run in self._runs:
            run.attempt(partial(run.go_on, self._shared))
        while waiting := [run for run in self._runs if run.waits_for is not None]:
            part = self._next(waiting)
            together = [run for run in waiting if run.waits_for == part]
            try:
                self._read(part, together)
            except FukiError as error:
                # The input itself: all that wait for it end, each with an error of its own.
                for run in together:
                    run.fail(copy(error))
            for run in together:
                if run.failure is None:
                    run.ahead[part] -= 1
                    run.attempt(partial(run.go_on, self._shared))

    def _next(self, waiting: Sequence[_Run]) -> FilePart:
        """What all that need it wait for; where there is no such part, what most wait for."""
        counts = Counter(run.waits_for for run in waiting if run.waits_for is not None)
        for part, count in counts.items():
            if count == sum(1 for run in waiting if run.ahead[part] > 0):
                return part
        return counts.most_common(1)[0][0]

    def _read(self, part: FilePart, runs: Sequence[_Run]) -> None:
        """Give a part to all of them: by the kernel where nobody looks at it, and else from one read."""
        copying = [run for run in runs if run.stream.is_copied(part.size)]
        reading = [run for run in runs if run not in copying]
        end = part.offset + part.size
        with opened(part) as descriptor:
            # In turns, so that what was read for one is still in the page cache for the others.
            for start in range(part.offset, end, CHUNK):
                stop = min(start + CHUNK, end)
                at = start
                while reading and at < stop:
                    piece = memoryview(read_piece(part, descriptor, at, stop))
                    self._each(reading, lambda run, piece=piece: run.stream.take(piece))  # type: ignore[misc]
                    at += len(piece)
                self._each(copying, lambda run, a=start, b=stop: run.stream.copy(part, descriptor, a, b))  # type: ignore[misc]

    def _each(self, runs: Sequence[_Run], step: Callable[[_Run], None]) -> None:
        going = [run for run in runs if run.failure is None]
        if self._pool is None or len(going) < 2:
            for run in going:
                run.attempt(partial(step, run))
            return
        for future in [self._pool.submit(copy_context().run, run.attempt, partial(step, run)) for run in going]:
            future.result()


class _Loans:
    """Digests of content that several images have: the first computes them, the others take what it computed.

    An image whose sections are made on the way needs its digests there, and takes no part.
    """

    def __init__(self, jobs: Sequence[ImageJob]) -> None:
        self._lenders: dict[ContentKey, tuple[int, Request]] = {}
        self._borrowed: list[dict[Request, tuple[int, Request]]] = [{} for _ in jobs]

        if len(jobs) < 2:
            return

        for index, job in enumerate(jobs):
            if job.deferred or job.layout.file is not None:
                continue
            for request in dict.fromkeys(DigestPlan.of(job.layout, job.digests).requests):
                key = _content_key(job.layout, request)
                if key is None:
                    continue
                lender = self._lenders.setdefault(key, (index, request))
                if lender[0] != index:
                    self._borrowed[index][request] = lender

    def borrowed(self, index: int) -> Mapping[Request, tuple[int, Request]]:
        """What an image need not compute, with the number of the one that does, and its own request."""
        return self._borrowed[index]


def _content_key(layout: Layout, request: Request) -> ContentKey | None:
    """What a request hashes, where that is content of one section's files, wherever it stands in the image."""
    if request.before is not None or not request.ranges:
        return None

    parts: list[Part] = []
    for start, end in request.ranges:
        for placed in layout.sections:
            offset, content = placed.header.raw_offset, placed.section.content
            if offset <= start and end <= offset + content.size:
                parts += content.slice(start - offset, end - start).parts
                break
        else:
            return None

    # What is in memory is hashed sooner than compared.
    if not any(isinstance(part, FilePart) for part in parts):
        return None

    return request.algorithm, request.suffix, tuple(parts)


def _with_loans(runs: Sequence[_Run], index: int, loans: _Loans) -> Assembly | FukiError:
    assembly = runs[index].stream.assembly
    results = dict(assembly.results)
    for request, (lender, its_request) in loans.borrowed(index).items():
        other = runs[lender]
        try:
            computed = other.failure is None
            results[request] = (
                other.stream.assembly.results[its_request] if computed else _hash_again(runs[index].job, request)
            )
        except FukiError as error:
            return error

    return Assembly(assembly.digest_plan, results)


def _hash_again(job: ImageJob, request: Request) -> Hash:
    """A digest that failed together with the image that was to compute it."""
    start, end = request.ranges[0][0], max(stop for _, stop in request.ranges)

    def nothing() -> Assembly:
        return Assembly(DigestPlan.of(job.layout, DigestNeeds()), {})

    with StreamHasher([request]) as hasher:
        at = start
        for piece in read_range(job.layout, start, end, {}, nothing):
            hasher.feed(at, piece)
            at += len(piece)
    return hasher.results[request]


def _file_parts(job: ImageJob) -> Iterator[FilePart]:
    layout = job.layout
    if layout.file is not None:
        contents: Iterable[Blob] = (layout.file.slice(0, layout.unsigned_size),)
    else:
        contents = (placed.section.content for index, placed in enumerate(layout.sections) if index not in job.deferred)
    return (part for content in contents for part in content.parts if isinstance(part, FilePart))
