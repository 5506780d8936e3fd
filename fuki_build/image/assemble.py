"""Write what was planned, byte for byte, reading every input once; or only digest it."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing

from msgspec import Struct

from fuki_build.errors import FormatError, FukiError
from fuki_build.formats import authenticode, pe
from fuki_build.image.blob import Blob, FilePart, open_regular
from fuki_build.image.digest import Digests, Request
from fuki_build.image.layout import Layout, PlacedSection
from fuki_build.image.output_file import OutputFile

_PIECE = 1024 * 1024
Progress = Callable[[int], None]
"""Called with the number of bytes just done."""


class Assembly(Struct, frozen=True):
    """The digests of one pass, in hex, by hashlib's names of their algorithms; SHA-256 is always among them.

    Of each section's content in the layout's order, and Authenticode's; of each input file part as it went in, SHA-256.
    """

    section_digests: Mapping[str, tuple[str, ...]]
    image_digests: Mapping[str, str]
    inputs: tuple[tuple[FilePart, str], ...] = ()

    @property
    def sections(self) -> tuple[str, ...]:
        return self.section_digests["sha256"]

    @property
    def authenticode(self) -> str:
        return self.image_digests["sha256"]


class Wanted:
    """The digests that an `Assembly` of a layout holds, as requests of a stream of the file."""

    def __init__(self, layout: Layout, algorithms: Iterable[str]) -> None:
        names = sorted({"sha256", *algorithms})
        self._sections = {name: [content_request(placed, name) for placed in layout.sections] for name in names}
        self._images = {name: authenticode_request(layout, name) for name in names}
        self._parts = list(_file_parts(layout)) if layout.file is None else []

    @property
    def requests(self) -> list[Request]:
        sections = [request for requests in self._sections.values() for request in requests]
        return [*self._images.values(), *sections, *(request for _, request in self._parts)]

    def assembly(self, results: Mapping[Request, str]) -> Assembly:
        return Assembly(
            section_digests={name: tuple(results[r] for r in requests) for name, requests in self._sections.items()},
            image_digests={name: results[request] for name, request in self._images.items()},
            inputs=tuple((part, results[request]) for part, request in self._parts),
        )


def assemble(
    layout: Layout,
    output: OutputFile | None = None,
    progress: Progress | None = None,
    algorithms: Iterable[str] = (),
) -> Assembly:
    """Write `layout` to `output`, or nowhere, and compute its digests on the way, in `algorithms` and SHA-256.

    What is written has no certificate table: signatures of an image that was read are left out, and its end is padded
    as they want it. Memory does not grow with the image. Raises `FukiError` when an input has changed since it was
    planned, cannot be read, or the output cannot be written.
    """
    wanted = Wanted(layout, algorithms)
    with Digests(wanted.requests) as digests:
        at = 0
        for piece in _stream(layout):
            digests.feed(at, piece)
            at += len(piece)
            if output:
                output.write(piece)
            if progress:
                progress(len(piece))
    return wanted.assembly(digests.results)


def content_request(placed: PlacedSection, algorithm: str = "sha256") -> Request:
    start = placed.header.raw_offset
    return Request(((start, start + placed.section.content.size),), algorithm)


def authenticode_request(layout: Layout, algorithm: str = "sha256") -> Request:
    ranges = layout.authenticode_ranges
    return Request(ranges, algorithm, suffix=authenticode.padding(ranges[-1][1]))


def _file_parts(layout: Layout) -> Iterator[tuple[FilePart, Request]]:
    for placed in layout.sections:
        for at, part in placed.section.content.placed():
            if isinstance(part, FilePart):
                start = placed.header.raw_offset + at
                yield part, Request(((start, start + part.size),))


def _stream(layout: Layout) -> Iterator[memoryview]:
    """The file's bytes from first to last, without a certificate table."""
    if layout.file is not None:
        yield from read_pieces(layout.file.slice(0, layout.unsigned_size))
        yield from _zeros(-layout.unsigned_size % authenticode.PADDING)
        return
    yield memoryview(pe.encode(layout.headers))
    at = layout.headers.optional.size_of_headers
    for placed in sorted(layout.sections, key=lambda s: s.header.raw_offset):
        if not placed.header.raw_size:
            continue
        yield from _zeros(placed.header.raw_offset - at)
        size = placed.section.content.size
        if size > placed.header.raw_size:
            raise FormatError(f"section {placed.name} has {size} bytes, there is room for {placed.header.raw_size}")
        yield from read_pieces(placed.section.content)
        yield from _zeros(placed.header.raw_size - size)
        at = placed.header.raw_offset + placed.header.raw_size
    yield from _zeros(layout.file_size - at)


def _zeros(count: int) -> Iterator[memoryview]:
    if count:
        yield memoryview(bytes(count))


def read_pieces(content: Blob) -> Iterator[memoryview]:
    """All bytes of a blob, in pieces of at most 1 MiB; each file is opened once and must be as it was planned."""
    for part in content.parts:
        if isinstance(part, FilePart):
            yield from _read_file(part)
        else:
            yield memoryview(part.data)


def _read_file(part: FilePart) -> Iterator[memoryview]:
    descriptor, status = open_regular(part.path)
    with closing(os.fdopen(descriptor, "rb", buffering=0)) as file:
        part.check_unchanged(status)
        at = part.offset
        end = part.offset + part.size
        try:
            while at < end:
                piece = os.pread(file.fileno(), min(_PIECE, end - at), at)
                if not piece:
                    break
                yield memoryview(piece)
                at += len(piece)
        except OSError as error:
            raise FukiError(f"cannot read {part.path}: {error.strerror}") from error
        part.check_unchanged(os.fstat(file.fileno()))
        if at != end:
            raise FukiError(f"{part.path} became shorter while it was being read", hint="run the command again")
