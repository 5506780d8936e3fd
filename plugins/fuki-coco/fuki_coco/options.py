"""Shared by the verbs: options that describe an ID block, and files that they read and write."""

from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click
from fuki_build import OutputFiles, read_small_file
from fuki_build.errors import FormatError, RecipeError, raised_as
from fuki_build.formats.confidential.id_block import DEFAULT_POLICY, IdBlock
from fuki_build.hooks import LaunchDocument, LaunchRecord, decode_document, from_document

MAX_FILE = 16 * 1024 * 1024
path_type = click.Path(path_type=Path)
F = TypeVar("F", bound=Callable[..., Any])


def hex_bytes(size: int) -> Callable[[click.Context, click.Parameter, str | None], bytes | None]:
    """Callback of an option for `size` bytes in hex."""

    def convert(context: click.Context, parameter: click.Parameter, value: str | None) -> bytes | None:
        try:
            data = None if value is None else bytes.fromhex(value)
        except ValueError:
            data = b""

        if data is not None and len(data) != size:
            raise click.BadParameter(f"{size} bytes in hex are needed.", context, parameter)

        return data

    return convert


def _number(context: click.Context, parameter: click.Parameter, value: str) -> int:
    """Callback of an option for a number, also as 0x…."""
    try:
        return int(value, 0)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no number.", context, parameter) from None


_BLOCK_OPTIONS = (
    click.option("--measurement", metavar="HEX", callback=hex_bytes(48), help="The launch digest."),
    click.option("--launch", metavar="FILE", type=path_type, help="What 'fuki launch --json' printed of it."),
    click.option(
        "--policy", metavar="N", callback=_number, default=hex(DEFAULT_POLICY), help="Guest policy; by default 0x30000."
    ),
    click.option("--family-id", metavar="HEX", callback=hex_bytes(16), default="00" * 16, help="16 bytes; zeros."),
    click.option("--image-id", metavar="HEX", callback=hex_bytes(16), default="00" * 16, help="16 bytes; zeros."),
    click.option("--svn", metavar="N", callback=_number, default="0", help="Security version of the guest."),
)


def block_options(verb: F) -> F:
    """Give a verb the `block` that its command line describes."""

    @wraps(verb)
    def called(
        *arguments: Any,  # noqa: ANN401 - as click calls it
        measurement: bytes | None,
        launch: Path | None,
        policy: int,
        family_id: bytes,
        image_id: bytes,
        svn: int,
        **others: Any,  # noqa: ANN401 - the same
    ) -> Any:  # noqa: ANN401 - the same
        if (measurement is None) == (launch is None):
            raise click.UsageError("Give one of --measurement and --launch.")

        digest = _launch_digest(launch) if launch is not None else measurement or b""
        return verb(
            *arguments,
            block=IdBlock(launch_digest=digest, policy=policy, family_id=family_id, image_id=image_id, svn=svn),
            **others,
        )

    for option in reversed(_BLOCK_OPTIONS):
        called = option(called)
    return called  # type: ignore[return-value]


def _launch_digest(path: Path) -> bytes:
    """The only SEV-SNP digest of a document of launches."""
    records = read_launches(path)
    digests = {d.digest for record in records for d in record.prediction.digests if d.technology == "sev-snp"}
    if len(digests) != 1:
        hint = "narrow it down to one: one VMM, vCPU model and number of vCPUs"
        raise RecipeError(f"there are {len(digests)} launch digests of SEV-SNP", where=str(path), hint=hint)

    return bytes.fromhex(digests.pop())


def read_launches(path: Path) -> tuple[LaunchRecord, ...]:
    """The document that `fuki launch --json` or the output format `launch` wrote. Raises `FormatError`."""
    with raised_as(FormatError, str(path), of=FormatError, about="this is not what 'fuki launch --json' prints"):
        return from_document(decode_document(read_file(path), LaunchDocument))


def read_file(path: Path, size: int | None = None) -> bytes:
    """A small file, of exactly `size` bytes if given."""
    data = read_small_file(path, MAX_FILE)
    if size is not None and len(data) != size:
        raise FormatError(f"the file has {len(data)} bytes, not {size}", where=str(path))
    return data


def write_files(files: Mapping[Path, bytes]) -> None:
    """Write all files, or none."""
    with OutputFiles() as new:
        for path, data in files.items():
            new.open(path).write(data)
        new.commit()

    for path in files:
        click.echo(f"wrote {path}", err=True)
