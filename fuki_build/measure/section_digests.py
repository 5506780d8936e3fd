"""An image's sections as they are in memory when they are measured, as digests and as text."""

from collections.abc import Mapping, Sequence
from functools import cached_property

from msgspec import Struct

from fuki_build.errors import FormatError
from fuki_build.formats.hashes import Hash, new_hash
from fuki_build.formats.pe import pe
from fuki_build.formats.reader import PIECE, pieces
from fuki_build.formats.uki import pcrsig
from fuki_build.image.assembly import Assembly
from fuki_build.image.blob import Blob
from fuki_build.image.digest_plan import ARCHIVE_ALIGNMENT
from fuki_build.image.layout import Layout, PlacedSection
from fuki_build.image.section import STUB_MEASURED, Section
from fuki_build.measure.registers import Digests

MAX_TEXT = 1024 * 1024
"""Largest section that is read as text, in bytes."""
_MAX_PADDING = 256 * 1024 * 1024
"""Limit of zeros, over all sections, that are hashed because sections are larger in memory than in the file."""
_IN_MEMORY = frozenset((*STUB_MEASURED, pcrsig.SECTION))


class SectionDigests(Struct, frozen=True, dict=True):
    """Digests of a layout's sections in memory, in the banks of its assembly.

    A section is measured in its VirtualSize: zeros follow where the file has less. Raises `FormatError` if there are
    implausibly many.
    """

    layout: Layout
    assembly: Assembly
    banks: tuple[str, ...]

    @cached_property
    def _digests(self) -> dict[int, Digests]:
        return {}

    @cached_property
    def sizes(self) -> Mapping[int, int]:
        """Size of each section in memory, by its index. Raises `FormatError` for an impossible image."""
        padding = sum(_padding(placed) for placed in self.layout.sections if placed.name in _IN_MEMORY)
        if padding > _MAX_PADDING:
            raise FormatError(
                f"its sections claim {padding} bytes in memory beyond what is in the file", where=self.layout.where
            )
        return {index: placed.header.virtual_size for index, placed in enumerate(self.layout.sections)}

    def size(self, section: Section) -> int:
        return self.sizes[section.index]

    def digests(self, section: Section) -> Digests:
        """The digests of a section as it is in memory."""
        index = section.index
        if index not in self._digests:
            self._digests[index] = {bank: self._section_hash(index, bank).digest() for bank in self.banks}
        return self._digests[index]

    def image_digests(self) -> Digests:
        """The Authenticode digests of the image."""
        return {bank: self.assembly.image_hash(bank).digest() for bank in self.banks}

    def kernel_digests(self, section: Section) -> Digests | None:
        """The Authenticode digests of a `.linux` section's kernel, as firmware measures it.

        None if it is not an EFI executable, or if zeros follow a signature, which the hashed data would then overlap.
        """
        index = section.index
        zeros = self.sizes[index] - section.content.size

        hashes = {bank: self.assembly.kernel_hash(index, bank) for bank in self.banks}
        if any(state is None for state in hashes.values()):
            return None
        if zeros and pe.decode(section.content.read_at(0, pe.HEAD_SIZE), section.content.size).security.size:
            return None
        return {bank: _fed(state, zeros).digest() for bank, state in hashes.items() if state is not None}

    def initrd_digests(self, parts: Sequence[Section], more: Sequence[Blob]) -> Digests | None:
        """The digests of the initrd that the stub assembles: microcode and initrd, `parts`, followed by `more`.

        None if microcode is too large to have been hashed before the initrd. Parts are padded only if there are several
        (stub.c).
        """
        indices = tuple(section.index for section in parts)
        several = len(parts) + len(more) > 1
        joined = {bank: self._joined(indices, bank, several=several) for bank in self.banks}

        for blob in more:
            for piece in pieces(blob.reader):
                for state in joined.values():
                    if state is not None:
                        state.update(piece)
            for state in joined.values():
                if state is not None and several:
                    state.update(bytes(-blob.size % ARCHIVE_ALIGNMENT))

        known = {bank: state.digest() for bank, state in joined.items() if state is not None}
        return known if len(known) == len(joined) else None

    def _joined(self, indices: tuple[int, ...], bank: str, *, several: bool) -> Hash | None:
        if not indices:
            return new_hash(bank)
        last = indices[-1]

        if len(indices) == 1:
            state: Hash | None = self._section_hash(last, bank)
        else:
            hashed = self.assembly.initrd_hash((indices[0], last), bank)
            # The assembly has hashed microcode and initrd in this order, without zeros at the end.
            state = _fed(hashed, self.sizes[last] - self.layout.sections[last].section.content.size) if hashed else None

        if state is not None and several:
            state.update(bytes(-self.sizes[last] % ARCHIVE_ALIGNMENT))

        return state

    def _section_hash(self, index: int, bank: str) -> Hash:
        size = self.layout.sections[index].section.content.size
        return _fed(self.assembly.section_hash(index, bank), self.sizes[index] - size)

    def data(self, section: Section) -> bytes:
        """A small section's content in memory. Raises `FormatError` if it is too large."""
        if self.size(section) > MAX_TEXT:
            raise FormatError(f"{section.name} has {self.size(section)} bytes, too many for what it is")
        return section.content.read_at(0, MAX_TEXT).ljust(self.size(section), b"\0")


def _padding(placed: PlacedSection) -> int:
    return max(0, placed.header.virtual_size - placed.section.content.size)


def _fed(state: Hash, zeros: int) -> Hash:
    """A copy of a hash, fed `zeros` more zeros."""
    extended = state.copy()
    while zeros > 0:
        extended.update(bytes(min(zeros, PIECE)))
        zeros -= PIECE

    return extended
