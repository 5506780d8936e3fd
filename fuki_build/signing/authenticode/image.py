"""Sign whole images: what `assemble` writes, with a certificate table behind it."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fuki_build.errors import FukiError, SigningError, raised_as
from fuki_build.formats.pe import authenticode as table
from fuki_build.hooks.signers import FileSigner, SigningContext
from fuki_build.image.assembly import Assembly
from fuki_build.image.digest_plan import DigestNeeds
from fuki_build.image.inspect import inspect
from fuki_build.image.layout import Layout
from fuki_build.image.output_file import OutputFile
from fuki_build.image.signatures import attach, read_table, with_table
from fuki_build.signing.authenticode.foreign_signer import check_foreign_signature
from fuki_build.signing.authenticode.sign import sign
from fuki_build.signing.request import Signer, errors_at


def signing_digests(signers: Sequence[Signer]) -> DigestNeeds:
    """The digests of an image that `sign_written` takes."""
    # What a program signed is compared in SHA-256.
    return DigestNeeds(
        to_sign=frozenset("sha256" if signer.key is None else signer.request.digest for signer in signers)
    )


def sign_written(
    layout: Layout,
    output: OutputFile,
    signers: Sequence[Signer],
    context: SigningContext,
    assembly: Assembly,
    keep: bytes = b"",
) -> Layout:
    """Sign what a pass with `signing_digests` wrote: first with keys, in their order, then through programs.

    `keep` are entries of a certificate table that stay before the new ones. Gives the layout with its certificate
    table. Raises `SigningError`.
    """
    keyed = [signer for signer in signers if signer.key is not None]
    entries = keep + b"".join(_certificate_entry(signer, assembly) for signer in keyed)
    signed = attach(layout, entries, output) if entries else layout
    for signer in signers:
        if signer.key is None:
            signed = _sign_file(signer, context, output, signed, assembly)
    return signed


@contextmanager
def replacing(path: Path, layout: Layout) -> Iterator[OutputFile]:
    """A file that becomes `path` when the `with` ends well, with the permissions of the image that was read.

    `path` may be that image, which then is changed in its place. What goes wrong with it is a `SigningError`.
    """
    try:
        with OutputFile(path, edits=None if layout.where is None else Path(layout.where)) as file:
            if layout.where is not None:
                os.fchmod(file.descriptor, stat.S_IMODE(Path(layout.where).stat().st_mode))
            yield file
            file.commit()
    except FukiError as error:
        if type(error) is not FukiError:
            raise
        with raised_as(SigningError):
            raise


def _certificate_entry(signer: Signer, assembly: Assembly) -> bytes:
    """One entry of a certificate table, made with an open key."""
    if signer.key is None:
        raise ValueError("a program signs files, not digests")
    digest = bytes.fromhex(assembly.digest_to_sign(signer.request.digest))
    with signer.request.backend.running():
        return table.encode_certificate(sign(signer.key, signer.request, digest))


def _sign_file(
    signer: Signer, context: SigningContext, output: OutputFile, before: Layout, assembly: Assembly
) -> Layout:
    """Let a program sign, then look at what it did: it may add a signature and nothing else."""
    backend = signer.request.backend.thing
    if not issubclass(backend, FileSigner):
        raise TypeError(f"{signer.name} has no key")

    def use(path: Path) -> None:
        with signer.request.backend.running():
            backend().sign_file(path, signer.request.options, context)

    with errors_at(signer.request):
        output.lend(use)
        try:
            after = inspect(output.readable_path)
            check_foreign_signature(signer.name, before, after, assembly.digest_to_sign("sha256"))
        except SigningError:
            raise
        except FukiError as error:
            raise SigningError(f"{signer.name} left no image behind: {error.message}") from error
    return with_table(before, read_table(after))
