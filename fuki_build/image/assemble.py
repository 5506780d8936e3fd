"""Write a planned image, reading every input once; or only compute its digests."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

from fuki_build.errors import FormatError
from fuki_build.formats.hashes import Hash, new_hash
from fuki_build.formats.pe import authenticode, pe
from fuki_build.image.assembly import Assembly, DeferredContent
from fuki_build.image.blob import FilePart, Part
from fuki_build.image.digest import Request, StreamHasher
from fuki_build.image.digest_plan import ALL_DIGESTS, DigestNeeds, DigestPlan
from fuki_build.image.layout import Layout, PlacedSection
from fuki_build.image.output_file import OutputFile
from fuki_build.image.reading import opened, part_pieces, read_piece, read_pieces

Progress = Callable[[int], None]
"""Called with the number of bytes just processed."""


class ImageStream:
    """A layout on its way to its outputs, or nowhere, and into its digests: its parts are taken one after the other.

    For as long as a `with`; `assembly` has the hashes afterwards. `also` are digests over any ranges of the file;
    `elsewhere` those of the layout's plan that somebody else computes.
    """

    def __init__(
        self,
        layout: Layout,
        outputs: Sequence[OutputFile] = (),
        progress: Progress | None = None,
        digests: DigestNeeds = ALL_DIGESTS,
        deferred: Mapping[int, DeferredContent] | None = None,
        also: Sequence[Request] = (),
        elsewhere: Collection[Request] = (),
    ) -> None:
        self.layout = layout
        self.outputs = outputs
        self.digest_plan = DigestPlan.of(layout, digests)
        self._progress = progress
        self._deferred = {index: _once(make) for index, make in (deferred or {}).items()}
        self._at = 0
        own = [request for request in (*self.digest_plan.requests, *also) if request not in elsewhere]
        self._hasher = StreamHasher(own, self._read_again)

    def __enter__(self) -> Self:
        self._hasher.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hasher.__exit__(kind, error, trace)

    @property
    def parts(self) -> Iterator[Part | memoryview]:
        """The file's parts from first to last, not read yet; each is to be taken before the next is asked for."""
        for output in self.outputs:
            output.expect(_written_size(self.layout))
        yield from _parts(self.layout, self._deferred, self._so_far)

    @property
    def assembly(self) -> Assembly:
        return Assembly(self.digest_plan, self._hasher.results)

    def is_copied(self, size: int) -> bool:
        """Whether the next bytes need not come here: nobody hashes them, and they go to one file only."""
        return len(self.outputs) == 1 and not self._hasher.covers(self._at, self._at + size)

    def take(self, piece: memoryview) -> None:
        """The next bytes."""
        self._hasher.feed(self._at, piece)
        for output in self.outputs:
            output.write(piece)
        self._passed(len(piece))

    def copy(self, part: FilePart, descriptor: int, start: int, end: int) -> None:
        """The next bytes, of an open file from `start` to `end`: what the kernel does not copy is read and written."""
        while start < end:
            count = self.outputs[0].copy(descriptor, start, end - start)
            if not count:
                piece = read_piece(part, descriptor, start, end)
                self.outputs[0].write(piece)
                count = len(piece)
            start += count
            self._passed(count)

    def drain(self) -> None:
        """Wait until all bytes so far are hashed, so that nothing keeps them."""
        self._hasher.drain()

    def _passed(self, size: int) -> None:
        self._at += size
        if self._progress:
            self._progress(size)

    def _so_far(self) -> Assembly:
        return Assembly(self.digest_plan, self._hasher.seen())

    def _read_again(self, start: int, end: int) -> Iterator[memoryview]:
        # Few images need this: Authenticode's last range goes back where sections leave gaps.
        yield from read_range(self.layout, start, end, self._deferred, self._so_far)


CHUNK = 16 * 1024 * 1024
"""Bytes that are copied in one call."""


def assemble(
    layout: Layout,
    outputs: Sequence[OutputFile] = (),
    progress: Progress | None = None,
    digests: DigestNeeds = ALL_DIGESTS,
    *,
    deferred: Mapping[int, DeferredContent] | None = None,
    also: Sequence[Request] = (),
) -> Assembly:
    """Write `layout` to all `outputs`, or nowhere, and compute `digests` on the way.

    `deferred` produces the content of sections, by their index, that depends on what precedes them in the file; it sees
    the hashes so far. `also` are digests over any ranges of the file.

    The outputs have no certificate table: signatures of an image that was read are dropped, and its end is padded for
    new ones. Memory use does not grow with the image. Raises `FukiError` when an input has changed since it was planned
    or cannot be read, or an output cannot be written.
    """
    with ImageStream(layout, outputs, progress, digests, deferred, also) as stream:
        for part in stream.parts:
            take_part(stream, part)
    return stream.assembly


def take_part(stream: ImageStream, part: Part | memoryview) -> None:
    """Read a part for one stream, or have the kernel copy it."""
    if isinstance(part, FilePart) and stream.is_copied(part.size):
        with opened(part) as descriptor:
            for start in range(part.offset, part.offset + part.size, CHUNK):
                stream.copy(part, descriptor, start, min(start + CHUNK, part.offset + part.size))
    else:
        for piece in part_pieces(part):
            stream.take(piece)


def read_range(
    layout: Layout,
    start: int,
    end: int,
    deferred: Mapping[int, DeferredContent],
    so_far: Callable[[], Assembly],
) -> Iterator[memoryview]:
    """The bytes of a layout's file between two offsets."""
    if layout.file is not None:
        yield from read_pieces(layout.file.slice(start, end - start))
    else:
        yield from _cut(_stream(layout, deferred, so_far), start, end)


def _stream(
    layout: Layout, deferred: Mapping[int, DeferredContent], so_far: Callable[[], Assembly]
) -> Iterator[memoryview]:
    """The file's bytes from first to last, without a certificate table."""
    for part in _parts(layout, deferred, so_far):
        yield from part_pieces(part)


def _written_size(layout: Layout) -> int:
    """Bytes of all parts."""
    return layout.file_size if layout.file is None else pe.align(layout.unsigned_size, authenticode.PADDING)


def _parts(
    layout: Layout, deferred: Mapping[int, DeferredContent], so_far: Callable[[], Assembly]
) -> Iterator[Part | memoryview]:
    """The same, not read yet."""
    if layout.file is not None:
        yield from layout.file.slice(0, layout.unsigned_size).parts
        yield from _zeros(-layout.unsigned_size % authenticode.PADDING)
        return

    yield memoryview(pe.encode(layout.headers))

    at = layout.headers.optional.size_of_headers
    for index, placed in sorted(enumerate(layout.sections), key=lambda pair: pair[1].header.raw_offset):
        # Sections are written in the order of their data, which need not be that of their headers.
        if not placed.header.raw_size:
            continue
        yield from _zeros(placed.header.raw_offset - at)
        size = placed.section.content.size
        if size > placed.header.raw_size:
            raise FormatError(f"section {placed.name} has {size} bytes, there is room for {placed.header.raw_size}")

        if index in deferred:
            yield _produce(deferred[index], so_far, placed)
        else:
            yield from placed.section.content.parts

        yield from _zeros(placed.header.raw_size - size)
        at = placed.header.raw_offset + placed.header.raw_size

    yield from _zeros(layout.file_size - at)


def _once(make: DeferredContent) -> DeferredContent:
    """Call `make` once, and return the same content whenever the stream is read again."""
    content: list[bytes] = []

    def remember(assembly: Assembly) -> bytes:
        if not content:
            content.append(make(assembly))
        return content[0]

    return remember


def _cut(stream: Iterable[memoryview], start: int, end: int) -> Iterator[memoryview]:
    """The bytes of a stream between two offsets."""
    at = 0
    for piece in stream:
        if at >= end:
            return
        yield piece[max(0, start - at) : max(0, end - at)]
        at += len(piece)


def _produce(make: DeferredContent, so_far: Callable[[], Assembly], placed: PlacedSection) -> memoryview:
    content = make(so_far())
    planned = placed.section.content.size
    if len(content) != planned:
        raise FormatError(f"section {placed.name} became {len(content)} bytes, planned were {planned}")
    return memoryview(content)


def _zeros(count: int) -> Iterator[memoryview]:
    if count:
        yield memoryview(bytes(count))


def file_digest(layout: Layout, unsigned: Hash) -> str:
    """SHA-256 of a whole file that was read, in hex, from the hash of `unsigned_request`."""
    # All that precedes a certificate table at its end has been hashed before.
    place, digest, rest = layout.headers.security, unsigned.copy(), layout.certificate_table
    if layout.file is not None and place.size and place.address != layout.unsigned_size:
        # An odd file, with something behind the table: read it once more.
        digest, rest = new_hash("sha256"), layout.file
    for piece in read_pieces(rest):
        digest.update(piece)
    return digest.hexdigest()
