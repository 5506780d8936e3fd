"""The hashes of an image that one pass over it must compute."""

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from fuki_build.errors import FukiError
from fuki_build.formats.hashes import Hash, new_hash
from fuki_build.formats.pe import authenticode, pe
from fuki_build.formats.reader import pieces
from fuki_build.image.blob import FilePart
from fuki_build.image.digest import Ranges, Request
from fuki_build.image.layout import Layout, PlacedSection

ARCHIVE_ALIGNMENT = 4
"""The stub begins each part of the initrd that it hands over at a multiple of this (initrd.c)."""
_MAX_MICROCODE = 64 * 1024 * 1024


class Hashes(Struct, frozen=True, kw_only=True):
    """Hashes of one algorithm over an image's parts, which can be extended: copy one before feeding it.

    `image` covers what firmware hashes of the image in its present form, `to_sign` what it will hash once the image is
    padded for a signature. `sections` are in the layout's order. `kernels` cover the Authenticode ranges of a `.linux`
    section's kernel, by the section's index; `initrds` cover a `.ucode` section, padded, followed by an `.initrd`, by
    both indices.
    """

    image: Hash
    to_sign: Hash
    sections: tuple[Hash, ...]
    kernels: Mapping[int, Hash]
    initrds: Mapping[tuple[int, int], Hash]


class _Requests(Struct, frozen=True, kw_only=True):
    """The requests whose results form one `Hashes`."""

    image: Request
    to_sign: Request
    sections: tuple[Request, ...]
    kernels: Mapping[int, Request]
    initrds: Mapping[tuple[int, int], Request]

    def __iter__(self) -> Iterator[Request]:
        yield from (self.image, self.to_sign, *self.sections, *self.kernels.values(), *self.initrds.values())

    def hashes(self, results: Mapping[Request, Hash]) -> Hashes:
        return Hashes(
            image=results[self.image],
            to_sign=results[self.to_sign],
            sections=tuple(results[request] for request in self.sections),
            kernels={index: results[request] for index, request in self.kernels.items()},
            initrds={indices: results[request] for indices, request in self.initrds.items()},
        )


class Wanted:
    """The hashes for the `Assembly` of a layout, as requests of a stream of the file.

    With `measured`, hashes that only measurements need are included. SHA-256 is always one of the algorithms.
    """

    def __init__(self, layout: Layout, algorithms: Iterable[str], *, measured: bool) -> None:
        kernels = dict(_kernels(layout)) if measured else {}
        pairs = _microcode_pairs(layout) if measured else ()

        self._requests: dict[str, _Requests] = {}
        for name in sorted({"sha256", *algorithms}):
            self._requests[name] = _Requests(
                image=authenticode_request(layout, name),
                to_sign=_request_to_sign(layout, name),
                sections=tuple(content_request(placed, name) for placed in layout.sections),
                kernels={index: Request(ranges, name) for index, ranges in kernels.items()},
                initrds=dict(_initrds(layout, pairs, name)),
            )

        self._parts = list(_file_parts(layout)) if layout.file is None else []

    @property
    def requests(self) -> list[Request]:
        return [*(r for group in self._requests.values() for r in group), *(request for _, request in self._parts)]

    def hashes(self, results: Mapping[Request, Hash]) -> Mapping[str, Hashes]:
        return {name: group.hashes(results) for name, group in self._requests.items()}

    def inputs(self, results: Mapping[Request, Hash]) -> tuple[tuple[FilePart, str], ...]:
        """Each file part and its SHA-256 in hex."""
        return tuple((part, results[request].hexdigest()) for part, request in self._parts)


def content_request(placed: PlacedSection, algorithm: str = "sha256") -> Request:
    start = placed.header.raw_offset
    return Request(((start, start + placed.section.content.size),), algorithm)


def authenticode_request(layout: Layout, algorithm: str = "sha256") -> Request:
    """The image's digest as firmware computes it for the file in its present form."""
    return Request(layout.authenticode_ranges, algorithm)


def _request_to_sign(layout: Layout, algorithm: str) -> Request:
    """The digest of the file padded for a signature, which is usually the same request."""
    return Request(layout.authenticode_ranges, algorithm, suffix=authenticode.padding(layout.unsigned_size))


def _file_parts(layout: Layout) -> Iterator[tuple[FilePart, Request]]:
    for placed in layout.sections:
        for at, part in placed.section.content.placed():
            if isinstance(part, FilePart):
                start = placed.header.raw_offset + at
                yield part, Request(((start, start + part.size),))


def _kernels(layout: Layout) -> Iterator[tuple[int, Ranges]]:
    """The file ranges that Authenticode covers of each kernel; none for a kernel that is not an EFI executable."""
    for index, placed in enumerate(layout.sections):
        if placed.name != ".linux":
            continue

        content, start = placed.section.content, placed.header.raw_offset
        try:
            headers = pe.decode(content.read_at(0, pe.HEAD_SIZE), content.size)
            ranges = authenticode.digest_ranges(headers, content.size)
        except FukiError:
            continue
        yield index, tuple((start + begin, start + end) for begin, end in ranges)


def _microcode_pairs(layout: Layout) -> tuple[tuple[int, int], ...]:
    """Indices of the `.ucode` and `.initrd` sections that occur together in some profile."""
    pairs = []
    for profile in (None, *layout.profiles):
        effective = {section.name: section for section in reversed(layout.effective(profile))}
        if ".ucode" in effective and ".initrd" in effective:
            microcode, initrd = effective[".ucode"].index, effective[".initrd"].index
            if layout.sections[microcode].header.virtual_size <= _MAX_MICROCODE:
                pairs.append((microcode, initrd))

    return tuple(dict.fromkeys(pairs))


def _initrds(
    layout: Layout, pairs: Iterable[tuple[int, int]], algorithm: str
) -> Iterator[tuple[tuple[int, int], Request]]:
    """Microcode follows the initrd in the file but precedes it in memory, so it is read separately beforehand."""
    for microcode, initrd in pairs:
        before = new_hash(algorithm)
        placed = layout.sections[microcode]
        for piece in pieces(placed.section.content.reader):
            before.update(piece)
        before.update(bytes(pe.align(placed.header.virtual_size, ARCHIVE_ALIGNMENT) - placed.section.content.size))

        request = content_request(layout.sections[initrd], algorithm)
        yield (microcode, initrd), request._replace(before=before)
