"""The option --pcrsig: signatures of policies that were made elsewhere, put into an image that has them to come."""

from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from fuki_build import pipeline
from fuki_build.errors import FormatError, RecipeError, located, raised_as
from fuki_build.formats.pe.pe import align
from fuki_build.formats.uki import pcrsig
from fuki_build.formats.uki.pcrsig import PolicySignature, Signatures
from fuki_build.image.assemble import assemble
from fuki_build.image.blob import Blob
from fuki_build.image.digest_plan import NO_DIGESTS
from fuki_build.image.inspect import inspect, read_layout
from fuki_build.image.layout import Layout
from fuki_build.image.output_file import OutputFile
from fuki_build.image.signatures import attach, read_table
from fuki_build.recipe.signing import resolve_signers
from fuki_build.signing.authenticode.image import sign_written, signing_digests
from fuki_build.signing.request import open_signers, signing_context
from fuki_build.ukify.call import UkifyCall
from fuki_build.ukify.keys import sign_table
from fuki_build.ukify.translate import read_text


def join_signatures(call: UkifyCall, plugins: tuple[str, ...]) -> Iterator[str]:
    """Write the image of --join-pcrsig with the signatures of --pcrsig; yields what people should know.

    Its own signatures no longer hold then, and are left out, unless upstream's way is asked for. Raises `FukiError`.
    """
    image, output = Path(call.one("join_pcrsig") or ""), Path(call.one("output") or "")
    with raised_as(RecipeError, "--pcrsig", of=FormatError):
        signatures = pcrsig.decode(read_text(call.one("pcrsig") or "", "--pcrsig").encode())

    with raised_as(RecipeError, "--join-pcrsig", of=FormatError, about=str(image)), located("--join-pcrsig"):
        layout = inspect(image)
        joined = _with_signatures(layout, signatures)

    if output.resolve() == image.resolve():
        raise RecipeError("the image would be written over", where="--output", hint="name another file")

    old = b""
    if layout.certificate_table.size and "old-signature" in call.many("upstream"):
        old = read_table(layout)
    elif layout.certificate_table.size:
        yield f"the signature of {image} no longer holds, and is left out"

    table, needed = sign_table(call)
    with (
        signing_context(Path()) as context,
        OutputFile(output, 0o777 if table else 0o666) as file,
    ):
        if table is None:
            assemble(joined, [file], digests=NO_DIGESTS)
            if old:
                attach(joined, old, file)
        else:
            requests = resolve_signers(table, pipeline.new_host([*plugins, *needed]), "fuki.sign")
            signers = open_signers(requests, context)
            assembly = assemble(joined, [file], digests=signing_digests(signers))
            sign_written(joined, file, signers, context, assembly, keep=old)
        file.commit()

    yield f"wrote {output}"


def _with_signatures(layout: Layout, signatures: Signatures) -> Layout:
    """The image with these signatures in each `.pcrsig`, in the room that upstream's and ours have for them."""
    file, joined = layout.file or Blob(), 0
    for placed in layout.sections:
        if placed.name != ".pcrsig":
            continue

        old = pcrsig.decode(placed.section.content.read_small(pcrsig.MAX_SIZE, "the .pcrsig section"))
        signed = {bank: tuple(_signed(e, signatures.get(bank, ())) for e in own) for bank, own in old.items()}
        joined += sum(map(len, signed.values())) - len(pcrsig.missing(signed))

        content = pcrsig.encode(signed)
        at, room = placed.header.raw_offset, placed.header.raw_size
        if len(content) > room:
            raise FormatError(f".pcrsig would have {len(content)} bytes, there is room for {room}")
        file = _patched(file, at, content.ljust(room, b"\0"))
        # Readers take the section for as long as it says: padding is no JSON.
        index = layout.sections.index(placed)
        file = _patched(file, layout.headers.virtual_size_offset(index), len(content).to_bytes(4, "little"))

    if not joined:
        hint = "sign what 'build --policy-digest' printed for this image"
        raise RecipeError("there is no signature of a policy of the image", where="--pcrsig", hint=hint)

    return read_layout(
        _with_sizes(read_layout(file, Path(layout.where or layout.name))), Path(layout.where or layout.name)
    )


def _with_sizes(layout: Layout) -> Blob:
    """The image with the size in memory that its sections have now; the checksum becomes 0."""
    headers, file = layout.headers, layout.file or Blob()
    end = max((s.virtual_address + s.virtual_size for s in headers.sections), default=0)
    size = align(end, headers.optional.section_alignment).to_bytes(4, "little")
    file = _patched(file, headers.checksum_offset, bytes(4))
    return _patched(file, headers.size_of_image_offset, size)


def _patched(file: Blob, at: int, data: bytes) -> Blob:
    behind = at + len(data)
    return file.slice(0, at) + Blob.of_bytes(data) + file.slice(behind, file.size - behind)


def _signed(entry: PolicySignature, signatures: tuple[PolicySignature, ...]) -> PolicySignature:
    """The entry with the last signature that is about the same: by what is signed, or by policy and reference."""
    for other in signatures:
        about_same = (
            entry.tbs == other.tbs if entry.tbs and other.tbs else (entry.pol, entry.ref) == (other.pol, other.ref)
        )
        if about_same and other.sig is not None:
            entry = replace(entry, sig=other.sig)
    return entry
