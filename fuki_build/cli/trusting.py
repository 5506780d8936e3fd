"""Options of verbs that verify: what is trusted, and what is revoked."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fuki_build.errors import FormatError, located
from fuki_build.image.blob import Blob

if TYPE_CHECKING:
    from fuki_build.formats.uki.sbat import SbatRow
    from fuki_build.signing.authenticode.trust import Database, Trust

_MAX_SIZE = 64 * 1024 * 1024
F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
_path = click.Path(path_type=Path)


def trust_options(verb: F) -> F:
    """What is trusted; `read_trust` and `read_level` take these."""
    options = (
        click.option(
            "--certificate", "certificates", metavar="FILE", multiple=True, type=_path, help="Trust it (repeatable)."
        ),
        click.option("--db", metavar="FILE", multiple=True, type=_path, help="Trust what this db holds (repeatable)."),
        click.option(
            "--dbx", metavar="FILE", multiple=True, type=_path, help="Revoke what this dbx holds (repeatable)."
        ),
        click.option("--sbat-level", metavar="FILE", type=_path, help="Hold .sbat against this revocation level."),
    )

    for option in reversed(options):
        verb = option(verb)
    return verb


def read_trust(certificates: Sequence[Path], db: Sequence[Path], dbx: Sequence[Path]) -> "Trust":
    """Raises `FormatError` at the file that is no certificate or database."""
    from fuki_build.formats.asn1.x509 import decode_certificates  # noqa: PLC0415 - cryptography is slow to load
    from fuki_build.signing.authenticode.trust import Database, Trust, decode_database  # noqa: PLC0415

    def database(variable: str, files: Sequence[Path]) -> "Database":
        union = Database()
        for file in files:
            union |= _read(file, lambda data: decode_database(data, variable))
        return union

    trusted = None
    if certificates or db:
        given = tuple(der for file in certificates for der in _read(file, decode_certificates))
        trusted = Database(certificates=given) | database("db", db)
    return Trust(trusted, database("dbx", dbx))


def read_level(path: Path | None) -> "Sequence[SbatRow]":
    """The rows of an SBAT level; none without a file."""
    from fuki_build.formats.uki import sbat  # noqa: PLC0415 - only where it is asked for

    return _read(path, sbat.decode_level) if path else ()


def _read(path: Path, decode: Callable[[bytes], T]) -> T:
    with located(str(path), FormatError):
        return decode(Blob.of_file(path).read_small(_MAX_SIZE, "the file"))
