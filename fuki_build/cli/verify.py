"""`fuki verify`: an image's signatures held against the image, and against what is trusted."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fuki_build.cli.fleet import each_image, images_argument, json_lines_option
from fuki_build.cli.render.json import DocumentPrinter
from fuki_build.cli.render.progress import progress_bar
from fuki_build.cli.trusting import read_level, read_trust, trust_options
from fuki_build.errors import MismatchError
from fuki_build.image.assemble import assemble
from fuki_build.image.digest_plan import measured_in
from fuki_build.image.inspect import inspect
from fuki_build.measure.registers import PHASES, split_phases

if TYPE_CHECKING:
    from fuki_build.cli.render.verification import VerificationDocument
    from fuki_build.signing.authenticode.verify import ImageReport
    from fuki_build.signing.pcr_policy.report import PolicyReport


def _document() -> type["VerificationDocument"]:
    from fuki_build.cli.render.verification import VerificationDocument  # noqa: PLC0415 - cryptography is slow to load

    return VerificationDocument


@click.command()
@images_argument
@trust_options
@json_lines_option(_document)
def verify(
    images: tuple[Path, ...],
    certificates: tuple[Path, ...],
    db: tuple[Path, ...],
    dbx: tuple[Path, ...],
    sbat_level: Path | None,
    as_json: bool,
) -> int:
    """Verify the signatures of each IMAGE, any PE image, of the kernel inside it, and of its PCR policies.

    Exits with 3 if one is not valid. A db or dbx is an EFI signature list, an .auth file or a variable store of OVMF's.
    Without any of --certificate and --db, signatures are only held against the image. A kernel inside is valid as part
    of the image; it only fails if it has a signature that is broken or revoked. A policy only fails if the key that it
    names, which is in the image or in a --certificate, did not sign it.
    """
    from fuki_build.signing.authenticode.verify import Verification  # noqa: PLC0415 - cryptography is slow to load
    from fuki_build.signing.pcr_policy.report import find_policies, predict_everything, report_policies  # noqa: PLC0415

    trust = read_trust(certificates, db, dbx)
    level = read_level(sbat_level)

    def verify_one(image: Path, printer: DocumentPrinter) -> None:
        layout = inspect(image)
        verification = Verification(layout, trust, level)
        recorded = find_policies(layout, trust.db.certificates if trust.db else ())
        with progress_bar(layout.file_size) as progress:
            assembly = assemble(layout, (), progress, measured_in(recorded.banks), also=verification.requests)
        report, inner = verification.judge(assembly.results)
        predictions = predict_everything(layout, assembly, recorded.banks) if recorded.banks else None
        policies = report_policies(recorded, predictions, [split_phases(path) for path in PHASES])

        if as_json:
            printer.print(_document()(report, tuple(inner), tuple(policies.reports), tuple(policies.missing)))
        else:
            from fuki_build.cli.render.verification import show_policies, show_reports  # noqa: PLC0415

            show_reports([report, *inner])
            show_policies(policies)
        _refuse(report, inner, policies.reports, image)

    return each_image(images, verify_one, as_json=as_json, modules=("pefile", "fuki_build.cli.render.verification"))


def _refuse(
    report: "ImageReport", inner: "Sequence[ImageReport]", policies: "Sequence[PolicyReport]", image: Path
) -> None:
    from fuki_build.signing.authenticode.signature import GOOD, SignatureVerdict  # noqa: PLC0415
    from fuki_build.signing.pcr_policy.report import BROKEN  # noqa: PLC0415 - cryptography is slow to load

    if report.verdict not in GOOD:
        raise MismatchError(f"the image is not valid: {report.reason}", where=str(image))
    for kernel in inner:
        if kernel.verdict not in {*GOOD, SignatureVerdict.UNSIGNED, SignatureVerdict.UNTRUSTED}:
            raise MismatchError(f"the kernel in {kernel.name} is not valid: {kernel.reason}", where=str(image))
    broken = next((policy for policy in policies if policy.verdict in BROKEN), None)
    if broken is not None:
        at = "" if broken.profile is None else f"@{broken.profile}"
        raise MismatchError(f"a policy in .pcrsig{at} is not valid: {broken.reason}", where=str(image))
