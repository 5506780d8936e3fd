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
from fuki_build.formats.asn1 import signed_data, values, x509
from fuki_build.formats.asn1.object_identifiers import CONTENT_TYPE, INDIRECT_DATA, MESSAGE_DIGEST, SIGNING_TIME
from fuki_build.formats.asn1.signed_data import SignedData, SignerInfo
from fuki_build.signing.authenticode.chain import Chains
from fuki_build.signing.authenticode.trust import Trust


class SignatureVerdict(StrEnum):
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
    DISPUTED = "disputed"
    """About an image that two readers of PE headers read differently: see the check `headers-disputed`."""
    UNREADABLE = "unreadable"
    UNSIGNED = "unsigned"


GOOD = (SignatureVerdict.VALID, SignatureVerdict.INTACT)


class SignatureReport(Struct, frozen=True, kw_only=True, rename="kebab"):
    """One signature; `trusted_by` is the subject of the certificate that makes it valid.

    With `refuses`, firmware refuses the image for it, whatever other signatures say. `remarks` tell of what firmware
    takes, and others may not.
    """

    verdict: SignatureVerdict
    reason: str
    algorithm: str | None = None
    certificate: x509.CertificateFacts | None = None
    signing_time: datetime | None = None
    timestamp: bool = False
    trusted_by: str | None = None
    refuses: bool = False
    remarks: tuple[str, ...] = ()


class Unreadable(Struct, frozen=True):
    """A signature that cannot be decoded, and what firmware hashes the image with for its sake nevertheless."""

    reason: str
    firmware_algorithm: str | None


def decode_signature(data: bytes) -> SignedData | Unreadable:
    try:
        return signed_data.decode(data)
    except FormatError as error:
        return Unreadable(error.message, signed_data.firmware_algorithm(data))


def judge_signature(signature: SignedData | Unreadable, digests: Mapping[str, str], trust: Trust) -> SignatureReport:
    """The verdict on one signature of an image whose digests, in hex, are known.

    Where firmware with a dbx cannot find out who signed, it refuses the image. What we cannot read counts as such,
    though OpenSSL may read more.
    """
    algorithm = signature.firmware_algorithm
    if algorithm is None:
        announced = ", ".join(signature.digest_algorithms) if isinstance(signature, SignedData) else ""
        reason = f"firmware finds no digest that it knows in what it announces ({announced or 'nothing'})"
        return SignatureReport(
            verdict=SignatureVerdict.UNREADABLE,
            reason=signature.reason if isinstance(signature, Unreadable) else reason,
        )

    if isinstance(signature, Unreadable):
        return SignatureReport(
            verdict=SignatureVerdict.UNREADABLE, reason=signature.reason, algorithm=algorithm, refuses=bool(trust.dbx)
        )

    try:
        return _judge(signature, algorithm, digests[algorithm], trust)
    except FormatError as error:
        return SignatureReport(
            verdict=SignatureVerdict.UNREADABLE, reason=error.message, algorithm=algorithm, refuses=bool(trust.dbx)
        )


def _judge(signature: SignedData, algorithm: str, digest: str, trust: Trust) -> SignatureReport:
    own = signers_certificate(signature)
    signer = signature.signers[0]
    time = signer.attributes.get(SIGNING_TIME)
    report = SignatureReport(
        verdict=SignatureVerdict.INTACT,
        reason="the signature is about this image",
        algorithm=algorithm,
        certificate=x509.facts(own),
        signing_time=values.time_of(time) if time else None,
        timestamp=signer.timestamp is not None,
        remarks=tuple(_remarks(signature, signer)),
    )

    if trust.dbx.lists_hash(own):
        return _revoked(report, own, refuses=True)
    if signature.digest.hex() != digest:
        return replace(report, verdict=SignatureVerdict.MISMATCH, reason="the signature is about other content")
    if signer.digest_algorithm not in signature.digest_algorithms:
        reason = f"it is made with {signer.digest_algorithm}, which it does not announce"
        return replace(report, verdict=SignatureVerdict.UNREADABLE, reason=reason)
    try:
        public_key = x509.public_key_of(own)
    except FormatError as error:
        return replace(report, verdict=SignatureVerdict.UNREADABLE, reason=error.message)
    if not made_by(public_key, signature):
        return replace(
            report, verdict=SignatureVerdict.FORGED, reason="the signature was not made by its certificate's key"
        )
    return _judge_chains(report, Chains(own, signature.certificates), trust)


def _judge_chains(report: SignatureReport, chains: Chains, trust: Trust) -> SignatureReport:
    """The report on a signature that its certificate's key made over this image."""
    revoked = next(filter(chains.lead_to, trust.dbx.certificates), None)
    if revoked is not None:
        return _revoked(report, revoked, refuses=True)

    if trust.db is None:
        return report

    anchor = next(filter(chains.lead_to, trust.db.certificates), None)
    if anchor is None:
        return replace(
            report, verdict=SignatureVerdict.UNTRUSTED, reason="no trusted certificate stands behind the signature"
        )
    if trust.dbx.lists_hash(anchor):
        return _revoked(report, anchor, refuses=False)
    subject = x509.subject(anchor)
    return replace(report, verdict=SignatureVerdict.VALID, reason=f"trusted through {subject}", trusted_by=subject)


def _revoked(report: SignatureReport, certificate: bytes, *, refuses: bool) -> SignatureReport:
    reason = f"dbx lists {x509.subject(certificate)}"
    return replace(report, verdict=SignatureVerdict.REVOKED, reason=reason, refuses=refuses)


def signers_certificate(signature: SignedData) -> bytes:
    """The certificate of the only signer. Raises `FormatError` where that cannot be found."""
    if len(signature.signers) != 1:
        raise FormatError(f"the signature has {len(signature.signers)} signers instead of one")
    own = signature.certificate_of(signature.signers[0])
    if own is None:
        raise FormatError("the signature does not hold its signer's certificate")
    return own


def made_by(public_key: bytes, signature: SignedData) -> bool:
    """Whether the key signed the attributes, and these are about the content.

    Without attributes, whether it signed the content (RFC 2315, 9.3). `public_key` is a SubjectPublicKeyInfo in DER.
    """
    signer = signature.signers[0]
    algorithm = signer.digest_algorithm
    content = hashlib.new(algorithm, signature.content).digest()
    signed = content
    if signer.signed is not None:
        digest = signer.attributes.get(MESSAGE_DIGEST)
        if digest is None or not hmac.compare_digest(values.octet_string(digest), content):
            return False
        signed = hashlib.new(algorithm, signer.signed).digest()
    return x509.verifies(public_key, signer.signature, signed, algorithm)


def _remarks(signature: SignedData, signer: SignerInfo) -> Iterator[str]:
    if signature.algorithm != signature.firmware_algorithm:
        yield f"it says that its digest is one of {signature.algorithm}: firmware does not look at that, others do"

    if "sha1" in {signature.firmware_algorithm, signer.digest_algorithm}:
        yield "it rests on SHA-1, with which other content of the same digest can be made"

    if signer.signed is None:
        yield "it has no signed attributes: firmware takes it, other programs may not"
    else:
        type_ = signer.attributes.get(CONTENT_TYPE)
        if type_ is None:
            yield "the attribute contentType is missing: firmware does not look for it, other programs do"
        elif values.object_identifier(type_) != INDIRECT_DATA:
            yield "the attribute contentType says that it is about something else: firmware does not look at it"

    if signer.nested:
        count = f"{signer.nested} nested signature{'s' if signer.nested > 1 else ''}"
        yield f"it carries {count}, which firmware does not look at, and neither does this verdict"
