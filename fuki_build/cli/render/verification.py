"""What verification found, on standard output."""

from collections.abc import Iterator, Sequence

from fuki_build.cli.render.plain import plain
from fuki_build.cli.render.table import Cell, StandardOutput, TextTable
from fuki_build.formats.documents import Document
from fuki_build.signing.authenticode.signature import GOOD, SignatureReport, SignatureVerdict
from fuki_build.signing.authenticode.verify import ImageReport
from fuki_build.signing.pcr_policy.report import MissingPolicy, PolicyFindings, PolicyPlace, PolicyReport, PolicyVerdict

_COLOURS = {**dict.fromkeys(GOOD, "green"), SignatureVerdict.UNSIGNED: "yellow", SignatureVerdict.UNTRUSTED: "yellow"}


class VerificationDocument(Document, frozen=True):
    """What `fuki verify --json` prints: reports on the image, the kernels in it, and the entries of every `.pcrsig`."""

    image: ImageReport
    kernels: tuple[ImageReport, ...]
    policies: tuple[PolicyReport, ...]
    missing_policies: tuple[MissingPolicy, ...]


def show_reports(reports: Sequence[ImageReport]) -> None:
    """One row for each signature, or for an image without one."""
    console = StandardOutput()
    table = TextTable("Image", "Verdict", "Signed by", "Valid until", "Digest", "Why")

    for report in reports:
        name = report.name
        for verdict, *cells in _rows(report):
            style = _COLOURS.get(SignatureVerdict(verdict), "red")
            table.add_row(plain(name), Cell(verdict, style), *map(plain, cells))
            name = ""
    console.table(table)

    for report in reports:
        verdicts = {signature.verdict for signature in report.signatures}
        if verdicts and (report.verdict not in verdicts or report.revoked_components):
            console.print(f"{plain(report.name)} is {report.verdict}: {plain(report.reason)}")
        for number, signature in enumerate(report.signatures, 1):
            for remark in signature.remarks:
                console.print(f"{plain(report.name)}, signature {number}: {plain(remark)}")


def _rows(report: ImageReport) -> Iterator[tuple[str, ...]]:
    if not report.signatures:
        yield report.verdict, "", "", "", report.reason
    for signature in report.signatures:
        yield _row(signature)


def _row(signature: SignatureReport) -> tuple[str, ...]:
    certificate = signature.certificate
    return (
        signature.verdict,
        certificate.subject if certificate else "",
        f"{certificate.not_after:%Y-%m-%d}" if certificate else "",
        signature.algorithm or "",
        signature.reason,
    )


_POLICY_COLOURS = {PolicyVerdict.VALID: "green", PolicyVerdict.UNSIGNED: "yellow", PolicyVerdict.UNKNOWN_KEY: "yellow"}


def show_policies(findings: PolicyFindings) -> None:
    """One row for the policies of each key and bank that share a verdict; then what none of them is for."""
    if not findings.reports:
        return

    console = StandardOutput()
    console.print()
    table = TextTable("Policies", "Verdict", "Key", "Bank", "Count", "Nowhere", "Why", right=("Count", "Nowhere"))

    groups: dict[tuple[int | None, PolicyVerdict, str, str, str], list[PolicyReport]] = {}
    for one in findings.reports:
        group = (one.profile, one.verdict, one.key or "", one.bank or "", one.reason)
        groups.setdefault(group, []).append(one)

    for (profile, verdict, key, bank, reason), members in groups.items():
        known = [member.places for member in members if member.places is not None]
        nowhere = str(sum(not places for places in known)) if known else "?"
        table.add_row(
            ".pcrsig" if profile is None else f".pcrsig@{profile}",
            Cell(verdict, _POLICY_COLOURS.get(verdict, "red")),
            key[:16],
            bank,
            str(len(members)),
            nowhere,
            plain(reason),
        )
    console.table(table)

    missing: dict[tuple[str, str], dict[str, None]] = {}
    for gap in findings.missing:
        missing.setdefault((gap.key, _case(gap.place)), {})[gap.place.phase or ""] = None
    for (key, case), phases in missing.items():
        text = f"{key[:16]} has no policy that holds with {case} after {', '.join(phases)}"
        console.print(plain(text))


def _case(place: PolicyPlace) -> str:
    words = [] if place.profile is None else [f"profile @{place.profile}"]
    words.append(f"firmware {place.fwid}" if place.fwid else "no firmware")
    return ", ".join([*words, *([f"devicetree {place.compatible}"] if place.compatible else [])])
