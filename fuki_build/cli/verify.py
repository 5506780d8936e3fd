"""`fuki verify`: an image's signatures held against the image, and against what is trusted."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from fuki_build.cli.options import json_option
from fuki_build.cli.render.progress import progress_bar
from fuki_build.errors import FormatError, MismatchError
from fuki_build.image.blob import Blob
from fuki_build.image.inspect import inspect

if TYPE_CHECKING:
    from fuki_build.signing.trust import Database, Trust
    from fuki_build.signing.verify import ImageReport

VERSION = 1
_MAX_SIZE = 64 * 1024 * 1024
T = TypeVar("T")

_path = click.Path(path_type=Path)


@click.command()
@click.argument("image", type=_path)
@click.option("--certificate", "certificates", metavar="FILE", multiple=True, type=_path, help="Trust it (repeatable).")
@click.option("--db", metavar="FILE", multiple=True, type=_path, help="Trust what this db holds (repeatable).")
@click.option("--dbx", metavar="FILE", multiple=True, type=_path, help="Revoke what this dbx holds (repeatable).")
@click.option("--sbat-level", metavar="FILE", type=_path, help="Hold .sbat against this revocation level.")
@json_option
def verify(
    image: Path,
    certificates: tuple[Path, ...],
    db: tuple[Path, ...],
    dbx: tuple[Path, ...],
    sbat_level: Path | None,
    as_json: bool,
) -> None:
    """Verify the signatures of IMAGE, any PE image, and of the kernel inside it. Exits with 3 if it is not valid.

    A db or dbx is an EFI signature list, an .auth file or a variable store of OVMF's. Without any of --certificate and
    --db, signatures are only held against the image. A kernel inside is valid as part of the image; it only fails
    if it has a signature that is broken or revoked.
    """
    from fuki_build.signing.verify import kernels  # noqa: PLC0415 - cryptography is slow to load
    from fuki_build.signing.verify import verify as verify_image  # noqa: PLC0415

    trust = _trust(certificates, db, dbx)
    level = _read(sbat_level, _parse_level) if sbat_level else ()
    layout = inspect(image)
    with progress_bar(layout.file_size) as progress:
        report = verify_image(layout, trust, level, progress)
    inner = [verify_image(kernel, trust) for kernel in kernels(layout)]
    if as_json:
        from fuki_build.cli.render.json import print_json  # noqa: PLC0415

        print_json({"version": VERSION, "image": report, "kernels": inner})
    else:
        from fuki_build.cli.render.verification import show_reports  # noqa: PLC0415

        show_reports([report, *inner])
    _refuse(report, inner, image)


def _refuse(report: "ImageReport", inner: "Sequence[ImageReport]", image: Path) -> None:
    from fuki_build.signing.verify import GOOD, Verdict  # noqa: PLC0415 - cryptography is slow to load

    if report.verdict not in GOOD:
        raise MismatchError(f"the image is not valid: {report.reason}", where=str(image))
    for kernel in inner:
        if kernel.verdict not in {*GOOD, Verdict.UNSIGNED, Verdict.UNTRUSTED}:
            raise MismatchError(f"the kernel in {kernel.name} is not valid: {kernel.reason}", where=str(image))


def _trust(certificates: Sequence[Path], db: Sequence[Path], dbx: Sequence[Path]) -> "Trust":
    from fuki_build.formats.x509 import decode_certificates  # noqa: PLC0415 - cryptography is slow to load
    from fuki_build.signing.trust import Database, Trust, decode_database  # noqa: PLC0415

    def database(variable: str, files: Sequence[Path]) -> "Database":
        found = Database()
        for file in files:
            found |= _read(file, lambda data: decode_database(data, variable))
        return found

    trusted = None
    if certificates or db:
        given = tuple(der for file in certificates for der in _read(file, decode_certificates))
        trusted = Database(certificates=given) | database("db", db)
    return Trust(trusted, database("dbx", dbx))


def _read(path: Path, decode: Callable[[bytes], T]) -> T:
    try:
        return decode(Blob.of_file(path).read_small(_MAX_SIZE, "the file"))
    except FormatError as error:
        raise error.at(str(path)) from error


def _parse_level(data: bytes) -> Sequence[str]:
    from fuki_build.formats import sbat  # noqa: PLC0415 - only where it is asked for

    return sbat.parse(data)
