"""Hold an image's signatures against the image, and against what is trusted, as UEFI firmware does.

The rules are those of edk2's DxeImageVerificationLib: one signature that is trusted makes the image valid, one that is
revoked, or a revoked digest of the image, makes it invalid; times are not looked at.
"""

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from fuki_build.errors import FormatError
from fuki_build.formats import authenticode, sbat, signed_data, x509
from fuki_build.formats.authenticode import digest_ranges
from fuki_build.formats.hashes import Hash
from fuki_build.formats.signed_data import SignedData
from fuki_build.image.assemble import assemble
from fuki_build.image.blob import Blob
from fuki_build.image.digest import Request
from fuki_build.image.inspect import read_layout
from fuki_build.image.layout import Layout
from fuki_build.image.signatures import certificates, read_certificate
from fuki_build.image.wanted import authenticode_request
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


class Examined(Struct, frozen=True):
    """An image whose signatures were read, and that is still to be digested.

    A kernel begins at `offset` in the file of the image that it is part of. With `flaw` none of it can be verified.
    """

    layout: Layout
    signatures: tuple[SignedData | FormatError, ...]
    offset: int = 0
    flaw: FormatError | None = None

    def requests(self, trust: Trust) -> dict[str, Request]:
        """The image's digests that judging it wants, by algorithm, as `assemble` takes them of the whole file.

        Raises `FormatError` where the image has no digest that loaders agree on.
        """
        listed = trust.dbx.images | (trust.db.images if trust.db else frozenset())
        used = {found.algorithm for found in self.signatures if isinstance(found, SignedData)}
        names = sorted({"sha256", *used, *(name for name, _ in listed)}) if self.flaw is None else ()
        return {name: _moved(authenticode_request(self.layout, name), self.offset) for name in names}


def _moved(request: Request, offset: int) -> Request:
    return request._replace(ranges=tuple((start + offset, end + offset) for start, end in request.ranges))


def examine(layout: Layout) -> Examined:
    """Read the signatures of an image."""
    try:
        entries = [read_certificate(layout, e) for e in certificates(layout) if e.kind == authenticode.AUTHENTICODE]
    except FormatError as error:
        return Examined(layout, (error,))
    return Examined(layout, tuple(_decode(entry) for entry in entries))


def judge(examined: Examined, digests: Mapping[str, str], trust: Trust, level: Sequence[str] = ()) -> ImageReport:
    """The verdict on an image of which the wanted digests, in hex, are known.

    `level` are the lines of an SBAT revocation level without the first.
    """
    layout = examined.layout
    if examined.flaw is not None:
        return ImageReport(layout.name, Verdict.UNREADABLE, examined.flaw.message, "", ())
    reports = tuple(_report(found, digests, trust) for found in examined.signatures)
    verdict, reason = _overall(reports, digests, trust)
    revoked = tuple(_revoked_components(layout, level))
    if revoked and verdict in GOOD:
        verdict, reason = Verdict.REVOKED, f"SBAT revokes {', '.join(revoked)}"
    return ImageReport(layout.name, verdict, reason, digests["sha256"], reports, revoked)


def verify(layout: Layout, trust: Trust) -> ImageReport:
    """Verify an image alone, in one read. Raises `FormatError` where it has no digest that loaders agree on."""
    examined = examine(layout)
    requests = examined.requests(trust)
    assembly = assemble(layout, also=tuple(requests.values()))
    return judge(examined, _in_hex(requests, assembly.also), trust)


class Verification:
    """An image and the kernels inside, to be verified from one read: `assemble` it with `requests`, then `judge`.

    Raises `FormatError` where the image has no digest that loaders agree on.
    """

    def __init__(self, layout: Layout, trust: Trust, level: Sequence[str] = ()) -> None:
        self._trust, self._level = trust, level
        self._all = [(e, e.requests(trust)) for e in (examine(layout), *kernels(layout))]

    @property
    def requests(self) -> list[Request]:
        return [request for _, requests in self._all for request in requests.values()]

    def judge(self, found: Mapping[Request, Hash]) -> tuple[ImageReport, tuple[ImageReport, ...]]:
        """The report on the image, and those on its kernels."""
        (image, requests), *inner = self._all
        report = judge(image, _in_hex(requests, found), self._trust, self._level)
        return report, tuple(judge(kernel, _in_hex(wanted, found), self._trust) for kernel, wanted in inner)


def _in_hex(requests: Mapping[str, Request], found: Mapping[Request, Hash]) -> dict[str, str]:
    return {name: found[request].hexdigest() for name, request in requests.items()}


def _decode(entry: bytes) -> SignedData | FormatError:
    try:
        return signed_data.decode(entry)
    except FormatError as error:
        return error


def _overall(reports: Sequence[SignatureReport], digests: Mapping[str, str], trust: Trust) -> tuple[Verdict, str]:
    own = {(name, bytes.fromhex(digest)) for name, digest in digests.items()}
    if own & trust.dbx.images:
        return Verdict.REVOKED, "dbx lists the image's digest"
    revoked = next((r for r in reports if r.verdict is Verdict.REVOKED), None)
    if revoked:
        return revoked.verdict, revoked.reason
    if trust.db and own & trust.db.images:
        return Verdict.VALID, "db lists the image's digest"
    good = next((r for r in reports if r.verdict in GOOD), None)
    if good:
        return good.verdict, good.reason
    if not reports:
        return Verdict.UNSIGNED, "it has no signature"
    return reports[0].verdict, reports[0].reason


def _report(signature: SignedData | FormatError, digests: Mapping[str, str], trust: Trust) -> SignatureReport:
    if isinstance(signature, FormatError):
        return SignatureReport(Verdict.UNREADABLE, signature.message)
    try:
        return _judge(signature, digests, trust)
    except FormatError as error:
        return SignatureReport(Verdict.UNREADABLE, error.message, signature.algorithm)


def _judge(signature: SignedData, digests: Mapping[str, str], trust: Trust) -> SignatureReport:
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
    if signature.digest.hex() != digests[signature.algorithm]:
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


def kernels(layout: Layout) -> Iterator[Examined]:
    """The kernels of an image, in the base and in profiles, as images of their own; of these, the EFI images."""
    for placed in layout.sections:
        section = placed.section
        if section.name != ".linux":
            continue
        name = ".linux" if section.profile is None else f".linux@{section.profile}"
        try:
            kernel = read_layout(_without_padding(section.content), Path(name))
        except FormatError:
            continue
        yield _examine_inside(kernel, placed.header.raw_offset)


def _examine_inside(kernel: Layout, offset: int) -> Examined:
    try:
        digest_ranges(kernel.headers, kernel.file_size)
    except FormatError as error:
        return Examined(kernel, (), offset, error)
    return replace(examine(kernel), offset=offset)


def _without_padding(content: Blob) -> Blob:
    """A signed image ends with its signatures; what stands behind is the section's padding."""
    place = read_layout(content, Path(".linux")).headers.security
    end = place.address + place.size
    if place.size and 0 < content.size - end <= _MAX_PADDING and not content.read_at(end, _MAX_PADDING).strip(b"\0"):
        return content.slice(0, end)
    return content
