"""Write what was planned, byte for byte, reading every input once; or only digest it."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing

from fuki_build.errors import FormatError, FukiError
from fuki_build.formats import pe
from fuki_build.image.blob import Blob, FilePart, open_regular
from fuki_build.image.digest import Digests
from fuki_build.image.layout import Layout
from fuki_build.image.output_file import OutputFile
from fuki_build.image.wanted import Assembly, Wanted

_PIECE = 1024 * 1024
Progress = Callable[[int], None]
"""Called with the number of bytes just done."""


def assemble(
    layout: Layout,
    output: OutputFile | None = None,
    progress: Progress | None = None,
    algorithms: Iterable[str] = (),
) -> Assembly:
    """Write `layout` to `output`, or nowhere, and compute its digests on the way.

    With `algorithms` (hashlib's names), everything that booting it measures can be told from the result in these.
    Memory does not grow with the image. Raises `FukiError` when an input has changed since it was planned, cannot
    be read, or the output cannot be written.
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


def _stream(layout: Layout) -> Iterator[memoryview]:
    """The file's bytes from first to last."""
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
