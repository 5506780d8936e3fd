"""`fuki verify`: an image's signatures held against the image, and against what is trusted."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fuki_build.cli.fleet import each_image, images_argument, json_lines_option
from fuki_build.cli.render.json import DocumentPrinter
from fuki_build.cli.render.progress import progress_bar
from fuki_build.cli.trusting import read_level, read_trust, trust_options
from fuki_build.errors import MismatchError
from fuki_build.image.inspect import inspect

if TYPE_CHECKING:
    from fuki_build.cli.render.verification import VerificationDocument


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
    from fuki_build.signing.verified_image import verify_image  # noqa: PLC0415 - cryptography is slow to load

    trust = read_trust(certificates, db, dbx)
    level = read_level(sbat_level)

    def verify_one(image: Path, printer: DocumentPrinter) -> None:
        layout = inspect(image)
        with progress_bar(layout.file_size) as progress:
            verified = verify_image(layout, trust, level, progress)

        if as_json:
            policies = verified.policies
            printer.print(
                _document()(verified.image, verified.kernels, tuple(policies.reports), tuple(policies.missing))
            )
        else:
            from fuki_build.cli.render.verification import show_policies, show_reports  # noqa: PLC0415

            show_reports([verified.image, *verified.kernels])
            show_policies(verified.policies)
        if verified.objection:
            raise MismatchError(verified.objection, where=str(image))

    return each_image(images, verify_one, as_json=as_json, modules=("pefile", "fuki_build.cli.render.verification"))
