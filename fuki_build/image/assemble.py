"""Write a planned image, reading every input once; or only compute its digests."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from msgspec import Struct

from fuki_build.errors import FormatError, FukiError
from fuki_build.formats.hashes import Hash, new_hash
from fuki_build.formats.pe import authenticode, pe
from fuki_build.formats.reader import PIECE
from fuki_build.image.blob import Blob, FilePart, Part, open_regular
from fuki_build.image.digest import Request, StreamHasher
from fuki_build.image.digest_plan import ALL_DIGESTS, DigestNeeds, DigestPlan
from fuki_build.image.layout import Layout, PlacedSection
from fuki_build.image.output_file import OutputFile

T = TypeVar("T")
Progress = Callable[[int], None]
"""Called with the number of bytes just processed."""


class Assembly(Struct, frozen=True):
    """The hashes of one pass over an image: those that were asked for, which can be extended by copying them.

    `results` has the hash of each request, those of the plan and any others of the same pass. What nobody asked for
    raises `LookupError`. Algorithms have hashlib's names, sections their index in the layout.
    """

    digest_plan: DigestPlan
    results: Mapping[Request, Hash]

    def section_hash(self, index: int, algorithm: str) -> Hash:
        return self.results[_planned(self.digest_plan.sections, algorithm, "sections")[index]]

    def image_hash(self, algorithm: str) -> Hash:
        return self.results[_planned(self.digest_plan.image, algorithm, "image")]

    def kernel_hash(self, index: int, algorithm: str) -> Hash | None:
        """Over what Authenticode covers of the kernel in a section; None if it is not an EFI executable."""
        request = _planned(self.digest_plan.kernels, algorithm, "measured").get(index)
        return None if request is None else self.results[request]

    def initrd_hash(self, indices: tuple[int, int], algorithm: str) -> Hash | None:
        """Over a `.ucode` section, padded, and an `.initrd`; None if the microcode is too large."""
        request = _planned(self.digest_plan.initrds, algorithm, "measured").get(indices)
        return None if request is None else self.results[request]

    @property
    def image_digests(self) -> Mapping[str, str]:
        """Authenticode digests in hex, by algorithm, as firmware computes them for the file in its present form."""
        return {name: self.results[request].hexdigest() for name, request in self.digest_plan.image.items()}

    def digest_to_sign(self, algorithm: str) -> str:
        """The digest, in hex, of the image padded for a signature: another only if its size is no multiple of 8."""
        return self.results[_planned(self.digest_plan.to_sign, algorithm, "to_sign")].hexdigest()

    @property
    def sections(self) -> tuple[str, ...]:
        """The SHA-256 of sections' contents in the layout's order, in hex."""
        requests = _planned(self.digest_plan.sections, "sha256", "sections")
        return tuple(self.results[request].hexdigest() for request in requests)

    @property
    def authenticode(self) -> str:
        return self.image_hash("sha256").hexdigest()

    @property
    def inputs(self) -> tuple[tuple[FilePart, str], ...]:
        """The parts of input files, with the SHA-256, in hex, of each as it was read."""
        return tuple((part, self.results[request].hexdigest()) for part, request in self.digest_plan.inputs)


def _planned(requests: Mapping[str, T], algorithm: str, need: str) -> T:
    """The requests in an algorithm, if somebody asked for them."""
    if algorithm not in requests:
        raise LookupError(f"nobody asked for the digests {need!r} in {algorithm}")
    return requests[algorithm]


_COPIED = 16 * 1024 * 1024
"""Bytes that the kernel copies in one call."""

DeferredContent = Callable[[Assembly], bytes]
"""Produces a section's content, of the planned size, from the digests of all sections before it in the file."""


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
    digest_plan = DigestPlan.of(layout, digests)
    deferred = {index: _once(make) for index, make in (deferred or {}).items()}

    # Few images need this: Authenticode's last range goes back where sections leave gaps.
    def read_again(start: int, end: int) -> Iterator[memoryview]:
        if layout.file is not None:
            yield from read_pieces(layout.file.slice(start, end - start))
        else:
            yield from _cut(_stream(layout, deferred, so_far), start, end)

    with StreamHasher([*digest_plan.requests, *also], read_again) as hasher:

        def so_far() -> Assembly:
            return Assembly(digest_plan, hasher.seen())

        at = 0
        for part in _parts(layout, deferred, so_far):
            # Bytes that nobody hashes need not come here, if they go to one file only.
            if isinstance(part, FilePart) and len(outputs) == 1 and not hasher.covers(at, at + part.size):
                _copy_file(part, outputs[0], progress)
                at += part.size
                continue

            for piece in _pieces(part):
                hasher.feed(at, piece)
                at += len(piece)
                for output in outputs:
                    output.write(piece)
                if progress:
                    progress(len(piece))

    return Assembly(digest_plan, hasher.results)


def _stream(
    layout: Layout, deferred: Mapping[int, DeferredContent], so_far: Callable[[], Assembly]
) -> Iterator[memoryview]:
    """The file's bytes from first to last, without a certificate table."""
    for part in _parts(layout, deferred, so_far):
        yield from _pieces(part)


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


def read_pieces(content: Blob) -> Iterator[memoryview]:
    """All bytes of a blob, in pieces of at most 1 MiB; each file is opened once and must not have changed."""
    for part in content.parts:
        yield from _pieces(part)


def _pieces(part: Part | memoryview) -> Iterator[memoryview]:
    if isinstance(part, FilePart):
        yield from _read_file(part)
    else:
        yield part if isinstance(part, memoryview) else memoryview(part.data)


def blob_digest(content: Blob, algorithm: str = "sha256") -> bytes:
    """The digest of all bytes of a blob, however large. Raises `FukiError` where a file cannot be read."""
    digest = new_hash(algorithm)
    for piece in read_pieces(content):
        digest.update(piece)
    return digest.digest()


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


def _read_file(part: FilePart) -> Iterator[memoryview]:
    with _opened(part) as descriptor:
        at, end = part.offset, part.offset + part.size
        while at < end:
            piece = _read_piece(part, descriptor, at, end)
            yield memoryview(piece)
            at += len(piece)


def _read_piece(part: FilePart, descriptor: int, at: int, end: int) -> bytes:
    try:
        piece = os.pread(descriptor, min(PIECE, end - at), at)
    except OSError as error:
        raise FukiError(f"cannot read {part.path}: {error.strerror}") from error
    if not piece:
        raise FukiError(f"{part.path} became shorter while it was being read", hint="run the command again")
    return piece


def _copy_file(part: FilePart, output: OutputFile, progress: Progress | None) -> None:
    """Let the kernel copy what nobody has to see; what it does not copy is read and written."""
    with _opened(part) as descriptor:
        at, end = part.offset, part.offset + part.size
        while at < end:
            count = output.copy(descriptor, at, min(_COPIED, end - at))
            if not count:
                piece = _read_piece(part, descriptor, at, end)
                output.write(piece)
                count = len(piece)
            at += count
            if progress:
                progress(count)


@contextmanager
def _opened(part: FilePart) -> Iterator[int]:
    """A descriptor of the file, which must be as it was planned, before and after."""
    descriptor, status = open_regular(part.path)
    try:
        part.check_unchanged(status)
        yield descriptor
        # A file that is written to while it is read would give an image that matches neither state.
        part.check_unchanged(os.fstat(descriptor))
    finally:
        os.close(descriptor)
