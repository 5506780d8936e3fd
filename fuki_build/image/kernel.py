"""The kernel for `.linux`: its architecture, its facts about itself, and the parts of it that the image needs."""

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from fuki_build.errors import FormatError
from fuki_build.formats.pe import pe
from fuki_build.formats.pe.pe import PeHeaders
from fuki_build.formats.reader import pieces
from fuki_build.formats.uki import compression, kernel, sbat
from fuki_build.image.blob import Blob

_MAX_SBAT = sbat.MAX_SIZE


class Kernel(Struct, frozen=True, kw_only=True):
    """`content` can be started by firmware: the file itself, or its decompressed content.

    `headers` is None if that is not an EFI executable; `packed_sha256` is the digest of a file that had to be
    decompressed; `where` is the recipe key that named the file.
    """

    path: Path
    content: Blob
    headers: PeHeaders | None
    sbat: bytes
    packed_sha256: str | None
    where: str

    @property
    def nx_compat(self) -> bool:
        return self.headers is not None and bool(self.headers.optional.dll_characteristics & pe.NX_COMPAT)

    @property
    def signed(self) -> bool:
        return self.headers is not None and bool(self.headers.security.size)


def read_kernel(path: Path, content: Blob, workspace: Path, where: str) -> Kernel:
    """Read a kernel's headers. One that is compressed as a whole is decompressed into `workspace`.

    Raises `FukiError` when `content`, that of `path`, cannot be read or its compression is damaged or unknown.
    """
    packed_sha256 = None
    packed_with = compression.detect(content.read_at(0, 8))
    if packed_with is not None:
        content, packed_sha256 = _decompress(content, packed_with, workspace)

    try:
        headers = pe.decode(content.read_at(0, pe.HEAD_SIZE), content.size)
    except FormatError:
        return Kernel(path=path, content=content, headers=None, sbat=b"", packed_sha256=packed_sha256, where=where)
    return Kernel(
        path=path,
        content=content,
        headers=headers,
        sbat=_sbat(content, headers),
        packed_sha256=packed_sha256,
        where=where,
    )


def _decompress(packed: Blob, name: str, workspace: Path) -> tuple[Blob, str]:
    """The decompressed content, and the SHA-256 of the packed file."""
    digest = hashlib.sha256()

    def hashed() -> Iterator[bytes]:
        for piece in pieces(packed.reader):
            digest.update(piece)
            yield piece

    with tempfile.NamedTemporaryFile(dir=workspace, prefix="linux-", delete=False) as file:
        stream = hashed()
        for content in compression.decompress(name, stream):
            file.write(content)
        for _ in stream:  # the digest covers data after the compressed stream too
            pass

    return Blob.of_file(Path(file.name)), digest.hexdigest()


def _sbat(content: Blob, headers: PeHeaders) -> bytes:
    for section in headers.sections:
        if section.name == ".sbat":
            return content.slice(section.raw_offset, section.content_size).read_small(_MAX_SBAT, "the kernel's .sbat")
    return b""


def release(linux: Kernel) -> str | None:
    """`uname -r` of a kernel, or None if it cannot be found; see `formats.kernel.release`."""
    return kernel.release(linux.content.reader)


def embedded_kernel(path: Path, content: Blob, where: str) -> Kernel:
    """A kernel as it is in an image, `path`; one whose headers cannot be read has none, and no components."""
    try:
        headers = pe.decode(content.read_at(0, pe.HEAD_SIZE), content.size)
        components = _sbat(content, headers)
    except FormatError:
        headers, components = None, b""

    return Kernel(path=path, content=content, headers=headers, sbat=components, packed_sha256=None, where=where)
