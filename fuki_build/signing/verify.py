"""Hold an image's signatures against the image, and against what is trusted, as UEFI firmware does.

The rules are those of edk2's DxeImageVerificationLib: one signature that is trusted makes the image valid, one that is
revoked, or a revoked digest of the image, makes it invalid; times are not looked at.
"""

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from fuki_build.errors import FormatError
from fuki_build.formats import authenticode, sbat, signed_data, x509
from fuki_build.formats.signed_data import SignedData
from fuki_build.image.assemble import Assembly, Progress, assemble
from fuki_build.image.blob import Blob
from fuki_build.image.inspect import read_layout
from fuki_build.image.layout import Layout
from fuki_build.image.signatures import certificates, read_certificate
from fuki_build.signing.trust import Trust, chains

_MAX_PADDING = 4096
"""Bytes behind a kernel's signature that are the section's padding (ukify before 257.x)."""


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
    """One signature; `trusted_by` is the subject of the certificate that makes it valid."""

    verdict: Verdict
    reason: str
    algorithm: str | None = None
    certificate: x509.Facts | None = None
    signing_time: datetime | None = None
    timestamp: bool = False
    trusted_by: str | None = None


class ImageReport(Struct, frozen=True, rename="kebab"):
    """An image or the kernel inside it; `authenticode` is its SHA-256 digest in hex, `name` tells which it is."""

    name: str
    verdict: Verdict
    reason: str
    authenticode: str
    signatures: tuple[SignatureReport, ...]
    revoked_components: tuple[str, ...] = ()


def verify(layout: Layout, trust: Trust, level: Sequence[str] = (), progress: Progress | None = None) -> ImageReport:
    """Verify an image that was read, in one read. `level` are the lines of an SBAT revocation level without the first.

    Raises `FormatError` where the image has no digest that loaders agree on.
    """
    try:
        entries = [read_certificate(layout, e) for e in certificates(layout) if e.kind == authenticode.AUTHENTICODE]
        flaw = None
    except FormatError as error:
        entries, flaw = [], error
    decoded = [_decode(entry) for entry in entries]
    algorithms = {found.algorithm for found in decoded if isinstance(found, SignedData)}
    listed = trust.dbx.images | (trust.db.images if trust.db else frozenset())
    assembly = assemble(layout, progress=progress, algorithms=algorithms | {name for name, _ in listed})
    reports = tuple(_report(found, assembly, trust) for found in decoded)
    if flaw is not None:
        reports = (SignatureReport(Verdict.UNREADABLE, flaw.message),)
    verdict, reason = _overall(reports, assembly, trust)
    revoked = tuple(_revoked_components(layout, level))
    if revoked and verdict in GOOD:
        verdict, reason = Verdict.REVOKED, f"SBAT revokes {', '.join(revoked)}"
    return ImageReport(layout.name, verdict, reason, assembly.authenticode, reports, revoked)


def _decode(entry: bytes) -> SignedData | FormatError:
    try:
        return signed_data.decode(entry)
    except FormatError as error:
        return error


def _overall(reports: Sequence[SignatureReport], assembly: Assembly, trust: Trust) -> tuple[Verdict, str]:
    digests = {(name, bytes.fromhex(digest)) for name, digest in assembly.image_digests.items()}
    if digests & trust.dbx.images:
        return Verdict.REVOKED, "dbx lists the image's digest"
    revoked = next((r for r in reports if r.verdict is Verdict.REVOKED), None)
    if revoked:
        return revoked.verdict, revoked.reason
    if trust.db and digests & trust.db.images:
        return Verdict.VALID, "db lists the image's digest"
    good = next((r for r in reports if r.verdict in GOOD), None)
    if good:
        return good.verdict, good.reason
    if not reports:
        return Verdict.UNSIGNED, "it has no signature"
    return reports[0].verdict, reports[0].reason


def _report(signature: SignedData | FormatError, assembly: Assembly, trust: Trust) -> SignatureReport:
    if isinstance(signature, FormatError):
        return SignatureReport(Verdict.UNREADABLE, signature.message)
    try:
        return _judge(signature, assembly, trust)
    except FormatError as error:
        return SignatureReport(Verdict.UNREADABLE, error.message, signature.algorithm)


def _judge(signature: SignedData, assembly: Assembly, trust: Trust) -> SignatureReport:
    if len(signature.signers) != 1:
        raise FormatError(f"the signature has {len(signature.signers)} signers instead of one")
    signer = signature.signers[0]
    own = signature.certificate_of(signer)
    if own is None:
        raise FormatError("the signature does not hold its signer's certificate")
    time = signer.attributes.get(signed_data.SIGNING_TIME)
    report = SignatureReport(
        Verdict.INTACT,
        "the signature is about this image",
        signature.algorithm,
        x509.facts(own),
        signed_data.time_of(time) if time else None,
        signer.timestamp is not None,
    )
    if signature.digest.hex() != assembly.image_digests[signature.algorithm]:
        return replace(report, verdict=Verdict.MISMATCH, reason="the signature is about other content")
    if not _made_by(own, signature):
        return replace(report, verdict=Verdict.FORGED, reason="the signature was not made by its certificate's key")
    chain = list(chains(own, [*signature.certificates, *(trust.db.certificates if trust.db else ())]))
    revoked = next((c for c in chain if trust.dbx.lists(c)), None)
    if revoked is not None:
        return replace(report, verdict=Verdict.REVOKED, reason=f"dbx lists {x509.subject(revoked)}")
    if trust.db is None:
        return report
    anchor = next((c for c in chain if c in trust.db.certificates), None)
    if anchor is None:
        return replace(report, verdict=Verdict.UNTRUSTED, reason="no trusted certificate stands behind the signature")
    subject = x509.subject(anchor)
    return replace(report, verdict=Verdict.VALID, reason=f"trusted through {subject}", trusted_by=subject)


def _made_by(certificate: bytes, signature: SignedData) -> bool:
    """Whether the key of the certificate signed the attributes, and these are about the content."""
    signer = signature.signers[0]
    attributes = signer.attributes
    type_ = attributes.get(signed_data.CONTENT_TYPE)
    digest = attributes.get(signed_data.MESSAGE_DIGEST)
    if type_ is None or digest is None or signed_data.object_identifier(type_) != signed_data.INDIRECT_DATA:
        return False
    expected = hashlib.new(signer.digest_algorithm, signature.content).digest()
    if not hmac.compare_digest(signed_data.octet_string(digest), expected):
        return False
    signed = hashlib.new(signer.digest_algorithm, signer.signed).digest()
    return x509.verifies(x509.public_key_of(certificate), signer.signature, signed, signer.digest_algorithm)


def _revoked_components(layout: Layout, level: Sequence[str]) -> Iterator[str]:
    if not level:
        return
    found = layout.find(".sbat")
    if not found:
        yield "the image, which has no .sbat"
        return
    components = sbat.parse(found[0].content.read_small(sbat.MAX_SIZE, "the .sbat section"))
    yield from sbat.revoked(components, level)


def kernels(layout: Layout) -> Iterator[Layout]:
    """The kernels of an image, in the base and in profiles, as images of their own; of these, the EFI images."""
    for section in layout.plain_sections:
        if section.name == ".linux":
            name = ".linux" if section.profile is None else f".linux@{section.profile}"
            try:
                yield read_layout(_without_padding(section.content), Path(name))
            except FormatError:
                continue


def _without_padding(content: Blob) -> Blob:
    """A signed image ends with its signatures; what stands behind is the section's padding."""
    place = read_layout(content, Path(".linux")).headers.security
    end = place.address + place.size
    if place.size and 0 < content.size - end <= _MAX_PADDING and not content.read_at(end, _MAX_PADDING).strip(b"\0"):
        return content.slice(0, end)
    return content
