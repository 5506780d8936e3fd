"""Which hashes of an image are asked for, and the requests by which one pass over it computes them."""

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from fuki_build.errors import FukiError
from fuki_build.formats.hashes import new_hash
from fuki_build.formats.pe import authenticode, pe
from fuki_build.formats.reader import pieces
from fuki_build.image.blob import FilePart
from fuki_build.image.digest import Ranges, Request
from fuki_build.image.layout import Layout, PlacedSection

ARCHIVE_ALIGNMENT = 4
"""The stub begins each part of the initrd that it hands over at a multiple of this (initrd.c)."""
_MAX_MICROCODE = 64 * 1024 * 1024

_SHA256 = frozenset({"sha256"})


class DigestNeeds(Struct, frozen=True, kw_only=True):
    """The digests of an image that somebody asks for; `|` joins what several ask for. Nothing else is computed.

    Algorithms have hashlib's names: `sections` are those of each section's content, `image` of the Authenticode digest
    of the file in its present form, `to_sign` of the same once the file is padded for a signature, and `measured` of
    everything that a boot measures, sections and image among it. `inputs` asks for the SHA-256 of each input file.

    >>> needs = DigestNeeds(image=frozenset({"sha256"})) | DigestNeeds(image=frozenset({"sha384"}))
    >>> sorted(needs.image)
    ['sha256', 'sha384']
    """

    sections: frozenset[str] = frozenset()
    image: frozenset[str] = frozenset()
    to_sign: frozenset[str] = frozenset()
    measured: frozenset[str] = frozenset()
    inputs: bool = False

    def __or__(self, other: "DigestNeeds") -> "DigestNeeds":
        return DigestNeeds(
            sections=self.sections | other.sections,
            image=self.image | other.image,
            to_sign=self.to_sign | other.to_sign,
            measured=self.measured | other.measured,
            inputs=self.inputs or other.inputs,
        )


NO_DIGESTS = DigestNeeds()
DESCRIBED_DIGESTS = DigestNeeds(sections=_SHA256, image=_SHA256)
"""What a description of an image tells."""
ALL_DIGESTS = DigestNeeds(sections=_SHA256, image=_SHA256, to_sign=_SHA256, inputs=True)
"""Everything in SHA-256 that is not particular to measurements."""


def measured_in(banks: Iterable[str]) -> DigestNeeds:
    """Everything that a boot measures, in these banks."""
    return DigestNeeds(measured=frozenset(banks))


class DigestPlan(Struct, frozen=True, kw_only=True):
    """The requests, on a stream of the file, that serve needs: by algorithm, then by the index of a section.

    `kernels` cover the Authenticode ranges of a `.linux` section's kernel; `initrds` a `.ucode` section, padded,
    followed by an `.initrd`, by both indices.
    """

    image: Mapping[str, Request]
    to_sign: Mapping[str, Request]
    sections: Mapping[str, tuple[Request, ...]]
    kernels: Mapping[str, Mapping[int, Request]]
    initrds: Mapping[str, Mapping[tuple[int, int], Request]]
    inputs: tuple[tuple[FilePart, Request], ...]

    @classmethod
    def of(cls, layout: Layout, needs: DigestNeeds) -> "DigestPlan":
        """The plan for a layout, in an order that follows from it and the algorithms' names alone."""
        measured = sorted(needs.measured)
        kernels = dict(_kernels(layout)) if measured else {}
        pairs = _microcode_pairs(layout) if measured else ()

        return cls(
            image={name: authenticode_request(layout, name) for name in sorted(needs.image | needs.measured)},
            to_sign={name: _request_to_sign(layout, name) for name in sorted(needs.to_sign)},
            sections={
                name: tuple(content_request(placed, name) for placed in layout.sections)
                for name in sorted(needs.sections | needs.measured)
            },
            kernels={name: {index: Request(ranges, name) for index, ranges in kernels.items()} for name in measured},
            initrds={name: dict(_initrds(layout, pairs, name)) for name in measured},
            inputs=tuple(_file_parts(layout)) if needs.inputs and layout.file is None else (),
        )

    @property
    def requests(self) -> Iterator[Request]:
        yield from self.image.values()
        yield from self.to_sign.values()
        for sections in self.sections.values():
            yield from sections
        for of_kernels in self.kernels.values():
            yield from of_kernels.values()
        for of_initrds in self.initrds.values():
            yield from of_initrds.values()
        yield from (request for _, request in self.inputs)


def content_request(placed: PlacedSection, algorithm: str = "sha256") -> Request:
    start = placed.header.raw_offset
    return Request(((start, start + placed.section.content.size),), algorithm)


def unsigned_request(layout: Layout) -> Request:
    """The SHA-256 of all bytes before the certificate table."""
    return Request(((0, layout.unsigned_size),))


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
