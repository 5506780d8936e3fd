"""What verification found, on standard output."""

from collections.abc import Iterator, Sequence

from rich.text import Text

from fuki_build.cli.render.plain import plain
from fuki_build.cli.render.tables import new_console, new_table
from fuki_build.signing.verify import GOOD, ImageReport, SignatureReport, Verdict

_COLOURS = {**dict.fromkeys(GOOD, "green"), Verdict.UNSIGNED: "yellow", Verdict.UNTRUSTED: "yellow"}


def show_reports(reports: Sequence[ImageReport]) -> None:
    """One row for each signature, or for an image without one."""
    console = new_console()
    table = new_table("Image", "Verdict", "Signed by", "Valid until", "Digest", "Why")
    for report in reports:
        name = report.name
        for verdict, *cells in _rows(report):
            style = _COLOURS.get(Verdict(verdict), "red")
            table.add_row(plain(name), Text(verdict, style=style), *map(plain, cells))
            name = ""
    console.print(table)
    for report in reports:
        verdicts = {signature.verdict for signature in report.signatures}
        if verdicts and (report.verdict not in verdicts or report.revoked_components):
            console.print(f"{plain(report.name)} is {report.verdict}: {plain(report.reason)}", soft_wrap=True)


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
