"""Signing a finished image, once: who has not signed it yet, and the signed file in place of another."""

from collections.abc import Sequence
from pathlib import Path

from fuki_build.hooks.signers import SigningContext
from fuki_build.image.assemble import Progress, assemble
from fuki_build.image.layout import Layout
from fuki_build.image.signatures import kept_table
from fuki_build.signing.authenticode.image import replacing, sign_written, signing_digests
from fuki_build.signing.authenticode.repeated import signatures_by, still_to_sign
from fuki_build.signing.request import Signer


def missing_signers(layout: Layout, signers: Sequence[Signer], progress: Progress | None = None) -> Sequence[Signer]:
    """The signers that have not signed the image yet; it is read for that only where one may have."""
    if not signatures_by(layout, signers):
        return signers
    assembly = assemble(layout, progress=progress, digests=signing_digests(signers))
    return still_to_sign(layout, signers, assembly)


def sign_image(
    layout: Layout,
    target: Path,
    signers: Sequence[Signer],
    context: SigningContext,
    progress: Progress | None = None,
    *,
    replace: bool,
) -> None:
    """Write the image with these signatures to `target`; with `replace`, without those that it had."""
    kept = kept_table(layout, replace=replace)
    with replacing(target, layout) as file:
        assembly = assemble(layout, [file], progress, signing_digests(signers))
        sign_written(layout, file, signers, context, assembly, keep=kept)
