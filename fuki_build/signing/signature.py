"""One signature held against an image's digest, and against what is trusted, as edk2 does it.

Sources: DxeImageVerificationLib (IsForbiddenByDbx, IsAllowedByDb), BaseCryptLib's AuthenticodeVerify and Pkcs7Verify,
OpenSSL's PKCS7_verify; each rule was seen in a guest (docs/signature-verdicts.md).
"""

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from fuki_build.errors import FormatError
from fuki_build.formats import signed_data, x509
from fuki_build.formats.signed_data import SignedData, Signer
from fuki_build.signing.chain import Chains
from fuki_build.signing.trust import Trust


class Verdict(StrEnum):
    VALID = "valid"
    """Trusted, and about this image."""
    INTACT = "intact"
    """About this image; nobody said what is trusted."""
    UNTRUSTED = "untrusted"
    REVOKED = "revoked"
    MISMATCH = "mismatch"
    """About other content than the image's."""
    FORGED = "forged"
    """Not made by the certificate that it names."""
    UNREADABLE = "unreadable"
    UNSIGNED = "unsigned"


GOOD = (Verdict.VALID, Verdict.INTACT)


class SignatureReport(Struct, frozen=True, rename="kebab"):
    """One signature; `trusted_by` is the subject of the certificate that makes it valid.

    `remarks` say what firmware takes, and others may not.
    """

    verdict: Verdict
    reason: str
    algorithm: str | None = None
    certificate: x509.Facts | None = None
    signing_time: datetime | None = None
    timestamp: bool = False
    trusted_by: str | None = None
    remarks: tuple[str, ...] = ()


def judge_signature(signature: SignedData | FormatError, digests: Mapping[str, str], trust: Trust) -> SignatureReport:
    """The verdict on one signature of an image whose digests, in hex, are known."""
    if isinstance(signature, FormatError):
        return SignatureReport(Verdict.UNREADABLE, signature.message)
    try:
        return _judge(signature, digests, trust)
    except FormatError as error:
        return SignatureReport(Verdict.UNREADABLE, error.message, signature.algorithm)


def _judge(signature: SignedData, digests: Mapping[str, str], trust: Trust) -> SignatureReport:
    own = signers_certificate(signature)
    signer = signature.signers[0]
    time = signer.attributes.get(signed_data.SIGNING_TIME)
    report = SignatureReport(
        Verdict.INTACT,
        "the signature is about this image",
        signature.algorithm,
        x509.facts(own),
        signed_data.time_of(time) if time else None,
        signer.timestamp is not None,
        remarks=tuple(_remarks(signature, signer)),
    )
    if trust.dbx.lists_hash(own):
        return _revoked(report, own)
    if signature.digest.hex() != digests[signature.algorithm]:
        return replace(report, verdict=Verdict.MISMATCH, reason="the signature is about other content")
    if not made_by(own, signature):
        return replace(report, verdict=Verdict.FORGED, reason="the signature was not made by its certificate's key")
    return _judge_chains(report, Chains(own, signature.certificates), trust)


def _judge_chains(report: SignatureReport, chains: Chains, trust: Trust) -> SignatureReport:
    """The report on a signature that its certificate's key made over this image."""
    revoked = next(filter(chains.lead_to, trust.dbx.certificates), None)
    if revoked is not None:
        return _revoked(report, revoked)
    if trust.db is None:
        return report
    anchor = next(filter(chains.lead_to, trust.db.certificates), None)
    if anchor is None:
        return replace(report, verdict=Verdict.UNTRUSTED, reason="no trusted certificate stands behind the signature")
    if trust.dbx.lists_hash(anchor):
        return _revoked(report, anchor)
    subject = x509.subject(anchor)
    return replace(report, verdict=Verdict.VALID, reason=f"trusted through {subject}", trusted_by=subject)


def _revoked(report: SignatureReport, certificate: bytes) -> SignatureReport:
    return replace(report, verdict=Verdict.REVOKED, reason=f"dbx lists {x509.subject(certificate)}")


def signers_certificate(signature: SignedData) -> bytes:
    """The certificate of the only signer. Raises `FormatError` for a signature that firmware makes nothing of."""
    if len(signature.signers) != 1:
        raise FormatError(f"the signature has {len(signature.signers)} signers instead of one")
    signer = signature.signers[0]
    announced = ", ".join(signature.digest_algorithms) or "none"
    if signature.firmware_algorithm != signature.algorithm:
        raise FormatError(f"the signature is about a {signature.algorithm} digest, and announces {announced}")
    if signer.digest_algorithm not in signature.digest_algorithms:
        raise FormatError(f"the signer hashes with {signer.digest_algorithm}, and the signature announces {announced}")
    own = signature.certificate_of(signer)
    if own is None:
        raise FormatError("the signature does not hold its signer's certificate")
    return own


def made_by(certificate: bytes, signature: SignedData) -> bool:
    """Whether the key of the certificate signed the attributes, and these are about the content.

    Without attributes, whether it signed the content (RFC 2315, 9.3). Raises `FormatError` for an unusable key.
    """
    signer = signature.signers[0]
    algorithm = signer.digest_algorithm
    content = hashlib.new(algorithm, signature.content).digest()
    signed = content
    if signer.signed is not None:
        digest = signer.attributes.get(signed_data.MESSAGE_DIGEST)
        if digest is None or not hmac.compare_digest(signed_data.octet_string(digest), content):
            return False
        signed = hashlib.new(algorithm, signer.signed).digest()
    return x509.verifies(x509.public_key_of(certificate), signer.signature, signed, algorithm)


def _remarks(signature: SignedData, signer: Signer) -> Iterator[str]:
    if "sha1" in {signature.algorithm, signer.digest_algorithm}:
        yield "it rests on SHA-1, with which other content of the same digest can be made"
    if signer.signed is None:
        yield "it has no signed attributes: firmware takes it, other programs may not"
    else:
        type_ = signer.attributes.get(signed_data.CONTENT_TYPE)
        if type_ is None:
            yield "the attribute contentType is missing: firmware does not look for it, other programs do"
        elif signed_data.object_identifier(type_) != signed_data.INDIRECT_DATA:
            yield "the attribute contentType says that it is about something else: firmware does not look at it"
    if signer.nested:
        count = f"{signer.nested} nested signature{'s' if signer.nested > 1 else ''}"
        yield f"it carries {count}, which firmware does not look at, and neither does this verdict"
