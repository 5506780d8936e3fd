"""The certificate table of an image: read from a layout, or attached to a file being written."""

from struct import Struct

from msgspec.structs import replace

from fuki_build.errors import FormatError
from fuki_build.formats.pe import authenticode, pe
from fuki_build.formats.pe.authenticode import PADDING, WinCertificate
from fuki_build.formats.pe.pe import SECURITY_DIRECTORY, Directory
from fuki_build.formats.pe.pe_checksum import Checksum
from fuki_build.image.blob import Blob
from fuki_build.image.layout import Layout
from fuki_build.image.output_file import OutputFile
from fuki_build.image.reading import read_pieces

_MAX_TABLE = 1024 * 1024
_CHECKSUM = Struct("<I")


def read_table(layout: Layout) -> bytes:
    """The certificate table as it stands, empty for none. Raises `FormatError` for one that is too large."""
    return layout.certificate_table.read_small(_MAX_TABLE, "the certificate table")


def certificates(layout: Layout) -> tuple[WinCertificate, ...]:
    """The entries of an image's certificate table. Raises `FormatError`."""
    return authenticode.certificates(read_table(layout), layout.headers.security.address)


def read_certificate(layout: Layout, entry: WinCertificate) -> bytes:
    """An entry's content after its header: for Authenticode, a SignedData in DER and padding."""
    start = entry.offset - layout.headers.security.address + authenticode.HEADER_SIZE
    return layout.certificate_table.read_at(start, entry.size - authenticode.HEADER_SIZE)


def signatures(layout: Layout) -> tuple[bytes, ...]:
    """The SignedData, in DER with padding, that firmware checks. Raises `FormatError` for a damaged table."""
    contents = ((entry, read_certificate(layout, entry)) for entry in certificates(layout))
    signed_data = (authenticode.signature_in(entry, content) for entry, content in contents)
    return tuple(signature for signature in signed_data if signature is not None)


def kept_table(layout: Layout, *, replace: bool) -> bytes:
    """The entries to keep when an image is signed again: all, or none. Raises `FormatError` for a damaged table."""
    if replace or not certificates(layout):
        return b""
    return read_table(layout)


def with_table(layout: Layout, table: bytes) -> Layout:
    """The layout with another certificate table at its end, padded as signatures require; empty for none.

    Raises `FormatError` if the header has no directory entry for it, or an old table is not at the end.
    """
    headers = layout.headers
    old = headers.security
    if old.size and old.address + old.size != layout.file_size:
        raise FormatError("something stands behind the image's signatures; it cannot be signed again")

    at = pe.align(layout.unsigned_size, PADDING)

    # This checks that the header has a directory entry for signatures.
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
    """Append a certificate table to the image that `assemble` wrote to `output`; returns the resulting layout.

    A checksum that was set is updated; 0 means that there is none, and stays.
    """
    signed = with_table(layout, table)
    output.write(table)

    headers = signed.headers
    offset, entry = authenticode.security_patch(headers, *headers.security)
    output.patch(offset, entry)
    if headers.optional.checksum and layout.file is not None:
        output.patch(headers.checksum_offset, _CHECKSUM.pack(_checksum(layout, signed, offset, entry)))

    return signed


def signed_content(layout: Layout, table: bytes) -> Blob:
    """An image that was read, with another certificate table, as content for another image. Its checksum becomes 0."""
    signed = with_table(layout, table)
    content = (layout.file or Blob()).slice(0, layout.unsigned_size)
    content += Blob.of_bytes(bytes(-content.size % PADDING) + table)

    for offset, new in (
        (layout.headers.checksum_offset, bytes(4)),
        authenticode.security_patch(signed.headers, *signed.headers.security),
    ):
        rest = offset + len(new)
        content = content.slice(0, offset) + Blob.of_bytes(new) + content.slice(rest, content.size - rest)

    return content


def _checksum(layout: Layout, signed: Layout, offset: int, entry: bytes) -> int:
    """The checksum of a signed image whose unsigned part is still in the file that `layout` was read from."""
    sums = Checksum()
    unsigned = (layout.file or Blob()).slice(0, layout.unsigned_size)
    padding = bytes(-unsigned.size % PADDING)
    for piece in read_pieces(unsigned + Blob.of_bytes(padding) + signed.certificate_table):
        sums.feed(piece)

    # The checksum counts the new directory entry, and its own field as zeros.
    for at, new in ((offset, entry), (layout.headers.checksum_offset, bytes(4))):
        sums.replace(at, unsigned.read_at(at, len(new)), new)

    return sums.value
