"""`fuki attach`: signatures that were made elsewhere, put into an image."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from fuki_build.cli.options import output_type
from fuki_build.cli.render.progress import progress_bar
from fuki_build.cli.standard_output import file_for, tell_written
from fuki_build.errors import FormatError, SigningError, located, raised_as
from fuki_build.image.assemble import assemble
from fuki_build.image.blob import Blob
from fuki_build.image.digest_plan import DigestNeeds
from fuki_build.image.inspect import inspect
from fuki_build.image.layout import Layout
from fuki_build.image.signatures import attach as attach_table
from fuki_build.image.signatures import kept_table

if TYPE_CHECKING:
    from fuki_build.signing.authenticode.offline import PolicyItem

_MAX_SIZE = 16 * 1024 * 1024
T = TypeVar("T")


@click.command()
@click.argument("image", type=click.Path(path_type=Path))
@click.option(
    "--signatures",
    metavar="FILE",
    required=True,
    type=click.Path(path_type=Path),
    help="What 'fuki digests' printed, with a signature in each item.",
)
@click.option(
    "--certificate",
    "files",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="The signer's certificate, then intermediates, for items without certificates (repeatable).",
)
@click.option("--replace", is_flag=True, help="Remove the signatures that the image has.")
@click.option(
    "-o", "--output", type=output_type, help="Where to write; by default the image is replaced; '-' is standard output."
)
def attach(image: Path, signatures: Path, files: tuple[Path, ...], replace: bool, output: Path | None) -> None:
    """Attach signatures to IMAGE. Each is verified with its certificate before that."""
    from fuki_build.formats.asn1.x509 import decode_certificates  # noqa: PLC0415 - cryptography is slow to load
    from fuki_build.signing.authenticode import offline  # noqa: PLC0415
    from fuki_build.signing.authenticode.image import replacing  # noqa: PLC0415

    document = _read(signatures, offline.decode)
    items = [(f"digests[{i}]", item) for i, item in enumerate(document.digests) if item.signature]
    if not items:
        hint = "add a signature, in base64, to each item that 'fuki digests' printed"
        raise SigningError("there is no signature in it", where=str(signatures), hint=hint)

    layout = inspect(image)
    policies = [(where, item) for where, item in items if isinstance(item, offline.PolicyItem)]
    images = [(where, item) for where, item in items if isinstance(item, offline.ImageItem)]

    if policies and images:
        hint = "attach the policies, then ask for the image's digest with 'fuki digests'"
        raise SigningError("policies and the image cannot be signed in one round", where=str(signatures), hint=hint)
    if policies:
        layout = _with_policies(layout, policies, files, replace=replace)
    certificates = [der for file in files for der in _read(file, decode_certificates)] if images else []

    target = output or image
    with file_for(target) as path, progress_bar(layout.file_size) as progress, replacing(path, layout) as file:
        needs = DigestNeeds(to_sign=frozenset(item.algorithm for _, item in images))
        assembly = assemble(layout, [file], progress, needs)
        entries = b"".join(offline.certificate_entry(item, assembly, certificates, where) for where, item in images)
        if entries or layout.certificate_table.size:
            attach_table(layout, kept_table(layout, replace=replace) + entries, file)
    tell_written(target)


def _with_policies(
    layout: Layout, policies: "Sequence[tuple[str, PolicyItem]]", files: Sequence[Path], *, replace: bool
) -> Layout:
    from fuki_build.formats.asn1.x509 import read_public_key  # noqa: PLC0415 - cryptography is slow to load
    from fuki_build.signing.pcr_policy import offline_policies  # noqa: PLC0415

    if layout.certificate_table.size and not replace:
        hint = "attach policies before the image is signed, or give --replace to remove its signatures"
        raise SigningError("the image is signed, and its policies are part of that", where=layout.where, hint=hint)
    keys = offline_policies.public_keys(layout, [_read(file, read_public_key) for file in files])
    return offline_policies.with_signatures(layout, policies, keys)


def _read(path: Path, decode: Callable[[bytes], T]) -> T:
    with raised_as(SigningError), located(str(path), FormatError):
        return decode(Blob.of_file(path).read_small(_MAX_SIZE, "the file"))
