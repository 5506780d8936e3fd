"""Write a planned image, reading every input once; or only compute its digests."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing

from msgspec import Struct

from fuki_build.errors import FormatError, FukiError
from fuki_build.formats.hashes import Hash, new_hash
from fuki_build.formats.pe import authenticode, pe
from fuki_build.formats.reader import PIECE
from fuki_build.image.blob import Blob, FilePart, open_regular
from fuki_build.image.digest import Request, StreamHasher
from fuki_build.image.layout import Layout, PlacedSection
from fuki_build.image.output_file import OutputFile
from fuki_build.image.wanted import Hashes, Wanted

Progress = Callable[[int], None]
"""Called with the number of bytes just processed."""


class Assembly(Struct, frozen=True):
    """The result of one pass over an image, by hashlib's names of algorithms; SHA-256 is always included.

    `inputs` are the input file parts with the SHA-256, in hex, of each as it was read; `also` has additional requests.
    """

    hashes: Mapping[str, Hashes]
    inputs: tuple[tuple[FilePart, str], ...] = ()
    also: Mapping[Request, Hash] = {}

    @property
    def section_digests(self) -> Mapping[str, tuple[str, ...]]:
        """The digests of sections' contents in the layout's order, in hex, by algorithm."""
        return {name: tuple(h.hexdigest() for h in hashes.sections) for name, hashes in self.hashes.items()}

    @property
    def image_digests(self) -> Mapping[str, str]:
        """Authenticode digests in hex, by algorithm, as firmware computes them for the file in its present form."""
        return {name: hashes.image.hexdigest() for name, hashes in self.hashes.items()}

    @property
    def digests_to_sign(self) -> Mapping[str, str]:
        """Digests of the image after padding for a signature: they differ only if its size is no multiple of 8."""
        return {name: hashes.to_sign.hexdigest() for name, hashes in self.hashes.items()}

    @property
    def sections(self) -> tuple[str, ...]:
        return self.section_digests["sha256"]

    @property
    def authenticode(self) -> str:
        return self.image_digests["sha256"]


DeferredContent = Callable[[Assembly], bytes]
"""Produces a section's content, of the planned size, from the digests of all sections before it in the file."""


def assemble(
    layout: Layout,
    output: OutputFile | None = None,
    progress: Progress | None = None,
    algorithms: Iterable[str] = (),
    *,
    measured: bool = False,
    deferred: Mapping[int, DeferredContent] | None = None,
    also: Sequence[Request] = (),
) -> Assembly:
    """Write `layout` to `output`, or nowhere, and compute its digests on the way.

    Digests are in SHA-256 and `algorithms` (hashlib's names); with `measured`, everything that measurements of a boot
    need is included. `deferred` produces the content of sections, by their index, that depends on what precedes them in
    the file. `also` are digests over any ranges of the file.

    The output has no certificate table: signatures of an image that was read are dropped, and its end is padded for new
    ones. Memory use does not grow with the image. Raises `FukiError` when an input has changed since it was planned or
    cannot be read, or the output cannot be written.
    """
    digest_plan = Wanted(layout, algorithms, measured=measured)
    deferred = {index: _once(make) for index, make in (deferred or {}).items()}

    # Few images need this: Authenticode's last range goes back where sections leave gaps.
    def read_again(start: int, end: int) -> Iterator[memoryview]:
        if layout.file is not None:
            yield from read_pieces(layout.file.slice(start, end - start))
        else:
            yield from _cut(_stream(layout, deferred, so_far), start, end)

    with StreamHasher([*digest_plan.requests, *also], read_again) as digests:

        def so_far() -> Assembly:
            return Assembly(digest_plan.hashes(digests.seen()))

        at = 0
        for piece in _stream(layout, deferred, so_far):
            digests.feed(at, piece)
            at += len(piece)
            if output:
                output.write(piece)
            if progress:
                progress(len(piece))

    results = digests.results
    return Assembly(
        digest_plan.hashes(results), digest_plan.inputs(results), {request: results[request] for request in also}
    )


def _stream(
    layout: Layout, deferred: Mapping[int, DeferredContent], so_far: Callable[[], Assembly]
) -> Iterator[memoryview]:
    """The file's bytes from first to last, without a certificate table."""
    if layout.file is not None:
        yield from read_pieces(layout.file.slice(0, layout.unsigned_size))
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
            yield from read_pieces(placed.section.content)

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


def read_pieces(content: Blob) -> Iterator[memoryview]:
    """All bytes of a blob, in pieces of at most 1 MiB; each file is opened once and must not have changed."""
    for part in content.parts:
        if isinstance(part, FilePart):
            yield from _read_file(part)
        else:
            yield memoryview(part.data)


def blob_digest(content: Blob, algorithm: str = "sha256") -> bytes:
    """The digest of all bytes of a blob, however large. Raises `FukiError` where a file cannot be read."""
    digest = new_hash(algorithm)
    for piece in read_pieces(content):
        digest.update(piece)
    return digest.digest()


def _read_file(part: FilePart) -> Iterator[memoryview]:
    descriptor, status = open_regular(part.path)
    with closing(os.fdopen(descriptor, "rb", buffering=0)) as file:
        part.check_unchanged(status)
        at = part.offset
        end = part.offset + part.size

        try:
            while at < end:
                piece = os.pread(file.fileno(), min(PIECE, end - at), at)
                if not piece:
                    break
                yield memoryview(piece)
                at += len(piece)
        except OSError as error:
            raise FukiError(f"cannot read {part.path}: {error.strerror}") from error

        # A file that is written to while it is read would give an image that matches neither state.
        part.check_unchanged(os.fstat(file.fileno()))
        if at != end:
            raise FukiError(f"{part.path} became shorter while it was being read", hint="run the command again")
