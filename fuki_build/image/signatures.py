"""The certificate table of an image: read from a layout, or attached to a file that is being written."""

from struct import Struct

from msgspec.structs import replace

from fuki_build.errors import FormatError
from fuki_build.formats.pe import authenticode, pe
from fuki_build.formats.pe.authenticode import PADDING, WinCertificate
from fuki_build.formats.pe.pe import SECURITY_DIRECTORY, Directory
from fuki_build.formats.pe.pe_checksum import Checksum
from fuki_build.image.assemble import read_pieces
from fuki_build.image.blob import Blob
from fuki_build.image.layout import Layout
from fuki_build.image.output_file import OutputFile

MAX_TABLE = 1024 * 1024
_CHECKSUM = Struct("<I")


def certificates(layout: Layout) -> tuple[WinCertificate, ...]:
    """The entries of an image's certificate table. Raises `FormatError`."""
    table = layout.certificate_table.read_small(MAX_TABLE, "the certificate table")
    return authenticode.certificates(table, layout.headers.security.address)


def read_certificate(layout: Layout, entry: WinCertificate) -> bytes:
    """What an entry holds behind its header: for Authenticode, a SignedData in DER and padding."""
    start = entry.offset - layout.headers.security.address + authenticode.HEADER_SIZE
    return layout.certificate_table.read_at(start, entry.size - authenticode.HEADER_SIZE)


def signatures(layout: Layout) -> tuple[bytes, ...]:
    """The SignedData, in DER with padding, that firmware looks at. Raises `FormatError` for a broken table."""
    contents = ((entry, read_certificate(layout, entry)) for entry in certificates(layout))
    found = (authenticode.signature_in(entry, content) for entry, content in contents)
    return tuple(signature for signature in found if signature is not None)


def kept_table(layout: Layout, *, replace: bool) -> bytes:
    """The entries that stay when an image is signed again: all, or none. Raises `FormatError` for a broken table."""
    if replace or not certificates(layout):
        return b""
    return layout.certificate_table.read_small(MAX_TABLE, "the certificate table")


def with_table(layout: Layout, table: bytes) -> Layout:
    """The layout with another certificate table at its end, padded as signatures want it; empty for none.

    Raises `FormatError` when the header has no room for its place, or an old table is not at the end.
    """
    headers = layout.headers
    old = headers.security
    if old.size and old.address + old.size != layout.file_size:
        raise FormatError("something stands behind the image's signatures; it cannot be signed again")
    at = pe.align(layout.unsigned_size, PADDING)
    authenticode.security_patch(headers, at, len(table))
    directories = list(headers.directories)
    directories[SECURITY_DIRECTORY] = Directory(at, len(table)) if table else Directory(0, 0)
    return replace(
        layout,
        headers=replace(headers, directories=tuple(directories)),
        file_size=at + len(table),
        certificate_table=Blob.of_bytes(table),
    )


def attach(layout: Layout, table: bytes, output: OutputFile) -> Layout:
    """Put a certificate table behind the image that `assemble` wrote to `output`; the layout of what is there then.

    A checksum that was set is kept right; 0 means that there is none, and stays.
    """
    signed = with_table(layout, table)
    output.write(table)
    headers = signed.headers
    offset, place = authenticode.security_patch(headers, *headers.security)
    output.patch(offset, place)
    if headers.optional.checksum and layout.file is not None:
        output.patch(headers.checksum_offset, _CHECKSUM.pack(_checksum(layout, signed, offset, place)))
    return signed


def signed_content(layout: Layout, table: bytes) -> Blob:
    """An image that was read, with another certificate table, as content of another one. Its checksum becomes 0."""
    signed = with_table(layout, table)
    content = (layout.file or Blob()).slice(0, layout.unsigned_size)
    content += Blob.of_bytes(bytes(-content.size % PADDING) + table)
    for offset, new in (
        (layout.headers.checksum_offset, bytes(4)),
        authenticode.security_patch(signed.headers, *signed.headers.security),
    ):
        behind = offset + len(new)
        content = content.slice(0, offset) + Blob.of_bytes(new) + content.slice(behind, content.size - behind)
    return content


def _checksum(layout: Layout, signed: Layout, offset: int, place: bytes) -> int:
    """The checksum of a signed image whose unsigned part is in the file that `layout` was read from."""
    sums = Checksum()
    unsigned = (layout.file or Blob()).slice(0, layout.unsigned_size)
    padding = bytes(-unsigned.size % PADDING)
    for piece in read_pieces(unsigned + Blob.of_bytes(padding) + signed.certificate_table):
        sums.feed(piece)
    for at, new in ((offset, place), (layout.headers.checksum_offset, bytes(4))):
        sums.replace(at, unsigned.read_at(at, len(new)), new)
    return sums.value
