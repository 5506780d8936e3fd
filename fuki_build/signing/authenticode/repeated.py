"""Signatures that an image has already, so that signing it once more adds nothing."""

from collections.abc import Sequence

from fuki_build.formats.asn1.signed_data import SignedData
from fuki_build.image.assembly import Assembly
from fuki_build.image.layout import Layout
from fuki_build.image.signatures import signatures
from fuki_build.signing.authenticode.signature import GOOD, decode_signature, judge_signature
from fuki_build.signing.authenticode.trust import Trust
from fuki_build.signing.request import Signer


def signatures_by(layout: Layout, signers: Sequence[Signer]) -> list[tuple[Signer, SignedData]]:
    """The signatures of an image that these signers' keys may have made, whatever they are about.

    What a program signs with is not known, so its signatures are none of these. Raises `FormatError` for a damaged
    table.
    """
    decoded = [
        signature for signature in map(decode_signature, signatures(layout)) if isinstance(signature, SignedData)
    ]
    return [
        (signer, signature)
        for signer in signers
        for signature in decoded
        if signer.key is not None and signer.key.certificates[0] in signature.certificates
        if signature.algorithm == signer.request.digest
    ]


def still_to_sign(layout: Layout, signers: Sequence[Signer], assembly: Assembly) -> list[Signer]:
    """The signers without an intact signature over the image as it is; `assembly` has the digests to sign."""
    done = set()
    for signer, signature in signatures_by(layout, signers):
        algorithm = signer.request.digest
        report = judge_signature(signature, {algorithm: assembly.digest_to_sign(algorithm)}, Trust())
        stamped = signer.request.timestamp is None or report.timestamp
        own = signer.key is not None and signature.certificate_of(signature.signers[0]) == signer.key.certificates[0]
        if report.verdict in GOOD and stamped and own:
            done.add(signer.request.where)
    return [signer for signer in signers if signer.request.where not in done]
