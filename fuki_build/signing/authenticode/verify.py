"""Hold an image's signatures against the image, and against what is trusted, as UEFI firmware does.

The rules are those of edk2's DxeImageVerificationLib: one signature that is trusted makes the image valid, one that is
revoked, or a revoked digest of the image, makes it invalid; times are not looked at.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from fuki_build.errors import FormatError
from fuki_build.formats.asn1.signed_data import SignedData
from fuki_build.formats.hashes import Hash
from fuki_build.formats.pe import authenticode, pe
from fuki_build.formats.pe.authenticode import digest_ranges
from fuki_build.formats.pe.second_reader import SecondReader
from fuki_build.formats.uki import sbat
from fuki_build.image.assemble import assemble
from fuki_build.image.blob import Blob
from fuki_build.image.digest import Request
from fuki_build.image.digest_plan import NO_DIGESTS, authenticode_request
from fuki_build.image.inspect import read_layout
from fuki_build.image.layout import Layout
from fuki_build.image.signatures import certificates, signatures
from fuki_build.signing.authenticode.signature import (
    GOOD,
    SignatureReport,
    SignatureVerdict,
    Unreadable,
    decode_signature,
    judge_signature,
)
from fuki_build.signing.authenticode.trust import Hash as Digest
from fuki_build.signing.authenticode.trust import Trust

_MAX_PADDING = 4096
"""Bytes behind a kernel's signature that are the section's padding (ukify before 257.x)."""

_UNDISPUTED = (*GOOD, SignatureVerdict.UNTRUSTED, SignatureVerdict.UNSIGNED)
"""Verdicts that only stand as long as there is one reading of the image's headers."""


class ImageReport(Struct, frozen=True, kw_only=True, rename="kebab"):
    """An image or the kernel inside it; `authenticode` is its SHA-256 digest in hex, `name` tells which it is."""

    name: str
    verdict: SignatureVerdict
    reason: str
    authenticode: str
    signatures: tuple[SignatureReport, ...]
    revoked_components: tuple[str, ...] = ()


class Examined(Struct, frozen=True):
    """An image whose signatures were read, and that is still to be digested.

    A kernel begins at `offset` in the file of the image that it is part of. With `flaw` none of it can be verified.
    """

    layout: Layout
    signatures: tuple[SignedData | Unreadable, ...]
    offset: int = 0
    flaw: FormatError | None = None

    def looked_up(self, digests: AbstractSet[Digest]) -> AbstractSet[Digest]:
        """Those of the image's digests that firmware looks for in db: of a signed image, those that signatures use."""
        if not self.layout.headers.security.size:
            return digests
        used = {signature.firmware_algorithm for signature in self.signatures}
        return {(name, digest) for name, digest in digests if name in used}

    def requests(self, trust: Trust) -> dict[str, Request]:
        """The image's digests that judging it wants, by algorithm, as `assemble` takes them of the whole file.

        Raises `FormatError` where the image has no digest that loaders agree on.
        """
        listed = trust.dbx.images | (trust.db.images if trust.db is not None else frozenset())
        used = {s.firmware_algorithm for s in self.signatures if s.firmware_algorithm is not None}
        names = sorted({"sha256", *used, *(name for name, _ in listed)}) if self.flaw is None else ()
        return {name: _moved(authenticode_request(self.layout, name), self.offset) for name in names}


def _moved(request: Request, offset: int) -> Request:
    return request._replace(ranges=tuple((start + offset, end + offset) for start, end in request.ranges))


def examine(layout: Layout) -> Examined:
    """Read the signatures of an image."""
    try:
        _check_table(layout)
        return Examined(layout, tuple(map(decode_signature, signatures(layout))))
    except FormatError as error:
        return Examined(layout, (Unreadable(error.message, None),))


def _check_table(layout: Layout) -> None:
    """Raise `FormatError` where firmware does not find the certificate table's end at its entries' end."""
    entries, place = certificates(layout), layout.headers.security
    if entries:
        end = entries[-1].offset + pe.align(entries[-1].size, authenticode.PADDING)
        if end != place.address + place.size:
            raise FormatError("the certificate table does not end where its last entry, padded to 8 bytes, does")


def judge(
    examined: Examined, digests: Mapping[str, str], trust: Trust, level: Sequence[sbat.SbatRow] = ()
) -> ImageReport:
    """The verdict on an image whose digests, in hex, are known.

    `level` are the rows of an SBAT revocation level.
    """
    layout = examined.layout
    if examined.flaw is not None:
        return ImageReport(
            name=layout.name,
            verdict=SignatureVerdict.UNREADABLE,
            reason=examined.flaw.message,
            authenticode="",
            signatures=(),
        )

    reports = tuple(judge_signature(signature, digests, trust) for signature in examined.signatures)
    verdict, reason = _overall(examined, reports, digests, trust)

    revoked = tuple(_revoked_components(layout, level))
    if revoked and verdict in GOOD:
        verdict, reason = SignatureVerdict.REVOKED, f"SBAT revokes {', '.join(revoked)}"
    return ImageReport(
        name=layout.name,
        verdict=verdict,
        reason=reason,
        authenticode=digests["sha256"],
        signatures=reports,
        revoked_components=revoked,
    )


def verify(layout: Layout, trust: Trust) -> ImageReport:
    """Verify an image alone, in one read. Raises `FormatError` where it has no digest that loaders agree on."""
    examined = examine(layout)
    requests = examined.requests(trust)
    assembly = assemble(layout, digests=NO_DIGESTS, also=tuple(requests.values()))
    return judge(examined, _in_hex(requests, assembly.results), trust)


class Verification:
    """An image and the kernels inside, to be verified from one read: `assemble` it with `requests`, then `judge`.

    Raises `FormatError` where the image has no digest that loaders agree on.
    """

    def __init__(self, layout: Layout, trust: Trust, level: Sequence[sbat.SbatRow] = ()) -> None:
        self._trust, self._level = trust, level
        self._all = [(e, e.requests(trust)) for e in (examine(layout), *kernels(layout))]

    @property
    def requests(self) -> list[Request]:
        return [request for _, requests in self._all for request in requests.values()]

    def judge(self, hashes: Mapping[Request, Hash]) -> tuple[ImageReport, tuple[ImageReport, ...]]:
        """The report on the image, and those on its kernels."""
        (image, requests), *inner = self._all
        second_reader = SecondReader()
        report = judge(image, _in_hex(requests, hashes), self._trust, self._level)
        report = _unless_disputed(report, image.layout, second_reader)

        kernel_reports = (
            _unless_disputed(judge(kernel, _in_hex(requests, hashes), self._trust), kernel.layout, second_reader)
            for kernel, requests in inner
        )
        return report, tuple(kernel_reports)


def _unless_disputed(report: ImageReport, layout: Layout, second_reader: SecondReader) -> ImageReport:
    """The report, or one that tells that another reader of PE headers reads another image."""
    if report.verdict not in _UNDISPUTED or layout.file is None:
        return report
    dispute = second_reader.read(layout.headers, layout.file.reader).dispute
    return replace(report, verdict=SignatureVerdict.DISPUTED, reason=dispute) if dispute else report


def _in_hex(requests: Mapping[str, Request], hashes: Mapping[Request, Hash]) -> dict[str, str]:
    return {name: hashes[request].hexdigest() for name, request in requests.items()}


def _overall(
    examined: Examined, reports: Sequence[SignatureReport], digests: Mapping[str, str], trust: Trust
) -> tuple[SignatureVerdict, str]:
    own = {(name, bytes.fromhex(digest)) for name, digest in digests.items()}

    # What dbx revokes comes first: no signature makes up for it.
    if own & trust.dbx.images:
        return SignatureVerdict.REVOKED, "dbx lists the image's digest"
    refusing = next((report for report in reports if report.refuses), None)
    if refusing:
        return refusing.verdict, refusing.reason

    if trust.db is not None and examined.looked_up(own) & trust.db.images:
        return SignatureVerdict.VALID, "db lists the image's digest"

    good = next((r for r in reports if r.verdict in GOOD), None)
    if good:
        return good.verdict, good.reason

    if not reports:
        return SignatureVerdict.UNSIGNED, "it has no signature"
    return reports[0].verdict, reports[0].reason


def _revoked_components(layout: Layout, level: Sequence[sbat.SbatRow]) -> Iterator[str]:
    if not level:
        return
    tables = layout.find(".sbat")
    if not tables:
        yield "the image, which has no .sbat"
        return

    try:
        rows = sbat.decode(tables[0].content.read_small(sbat.MAX_SIZE, "the .sbat section"))
    except FormatError as error:
        yield f"the image, whose .sbat shim refuses: {error.message}"
    else:
        yield from sbat.revoked(rows, level)


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
