"""An image: everything that will be in the file, resolved, before addresses are assigned."""

from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct

from fuki_build.formats.pe.pe import CoffMachine
from fuki_build.image.kernel import Kernel
from fuki_build.image.section import Section
from fuki_build.image.stub import Stub


class ImageKind(StrEnum):
    UKI = "uki"
    ADDON = "addon"
    OTHER = "other"
    """A PE image that is neither, such as a stub or a kernel; only ever read, never built."""


class Image(Struct, frozen=True, kw_only=True):
    """Sections in file order, including `.sbat`; `stub` is None for an addon made without one.

    With `share_blocks`, large files begin at whole blocks, so that file systems can share these.
    """

    kind: ImageKind
    name: str
    machine: CoffMachine
    stub: Stub | None
    sections: tuple[Section, ...]
    kernels: Sequence[Kernel] = ()
    where: str = "fuki.image"
    share_blocks: bool = False
