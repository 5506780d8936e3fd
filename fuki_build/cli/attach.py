"""`fuki attach`: signatures that were made elsewhere, put into an image."""

from pathlib import Path

import click

from fuki_build.cli.options import output_type
from fuki_build.cli.render.progress import progress_bar
from fuki_build.errors import FormatError, SigningError
from fuki_build.image.assemble import assemble
from fuki_build.image.blob import Blob
from fuki_build.image.inspect import inspect
from fuki_build.image.signatures import attach as attach_table
from fuki_build.image.signatures import kept_table


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
@click.option("-o", "--output", type=output_type, help="Where to write; by default the image is replaced.")
def attach(image: Path, signatures: Path, files: tuple[Path, ...], replace: bool, output: Path | None) -> None:
    """Attach signatures to IMAGE. Each is verified with its certificate before that."""
    from fuki_build.formats.x509 import decode_certificates  # noqa: PLC0415 - cryptography is slow to load
    from fuki_build.signing import offline  # noqa: PLC0415
    from fuki_build.signing.image import replacing  # noqa: PLC0415

    try:
        document = offline.decode(Blob.of_file(signatures).read_small(offline.MAX_SIZE, "the document"))
    except FormatError as error:
        raise SigningError(error.message, where=str(signatures), hint=error.hint) from error
    items = [(f"digests[{i}]", item) for i, item in enumerate(document.digests) if item.signature]
    if not items:
        hint = "add a signature, in base64, to each item that 'fuki digests' printed"
        raise SigningError("there is no signature in it", where=str(signatures), hint=hint)
    certificates = [der for file in files for der in decode_certificates(Blob.of_file(file).read_small(1 << 20, "it"))]
    layout = inspect(image)

    with progress_bar(layout.file_size) as progress, replacing(output or image, layout) as file:
        assembly = assemble(layout, file, progress, {item.algorithm for _, item in items})
        made = b"".join(offline.certificate_entry(item, assembly, certificates, where) for where, item in items)
        attach_table(layout, kept_table(layout, replace=replace) + made, file)
    click.echo(f"wrote {output or image}", err=True)
