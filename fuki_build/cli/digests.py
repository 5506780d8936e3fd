"""`fuki digests`: what of an image is to be signed, for keys that are elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fuki_build.cli.fleet import cache_option, documents_of_each, each_image, images_argument
from fuki_build.cli.options import digest_option, prints
from fuki_build.cli.render.json import DocumentPrinter
from fuki_build.cli.render.plain import tell
from fuki_build.cli.render.progress import progress_bar
from fuki_build.errors import SigningError
from fuki_build.image.digest_cache import digest_image, keeping_digests
from fuki_build.image.digest_plan import DigestNeeds
from fuki_build.image.inspect import inspect
from fuki_build.signing.request import DigestAlgorithm

if TYPE_CHECKING:
    from fuki_build.signing.authenticode.offline import SigningDocument


def _document() -> type["SigningDocument"]:
    from fuki_build.signing.authenticode.offline import SigningDocument  # noqa: PLC0415 - cryptography is slow to load

    return SigningDocument


@click.command()
@prints(documents_of_each(_document))
@images_argument
@digest_option
@click.option("--signing-time", is_flag=True, help="Let the signature tell a time, which is SOURCE_DATE_EPOCH.")
@cache_option
def digests(images: tuple[Path, ...], digest: str, *, signing_time: bool, cache: bool) -> int:
    """Print, as JSON, every digest of IMAGE that is to be signed; of several images, a line for each.

    Sign them, add each signature to its item, and give the document to 'fuki attach'. Policies for PCRs that want a
    signature come first; when they are attached, ask again for the image's own digest.
    """
    from fuki_build.signing.authenticode import offline  # noqa: PLC0415 - cryptography is slow to load
    from fuki_build.signing.key_requirements import source_date  # noqa: PLC0415
    from fuki_build.signing.pcr_policy import offline_policies  # noqa: PLC0415 - cryptography is slow to load

    time = source_date() if signing_time else None
    if signing_time and time is None:
        raise SigningError("there is no time to sign with", where="--signing-time", hint="set SOURCE_DATE_EPOCH")

    def print_digests(image: Path, printer: DocumentPrinter) -> None:
        layout = inspect(image)
        policies = tuple(offline_policies.items(layout))
        if policies:
            # The image's own digest changes with every signature that is put into it.
            printer.print(offline.SigningDocument(image.name, policies))
            tell("attach these first; the digest of the image itself comes then")
            return

        algorithm = DigestAlgorithm(digest)
        with keeping_digests(cache), progress_bar(layout.file_size) as progress:
            assembly = digest_image(layout, DigestNeeds(to_sign=frozenset({algorithm})), progress)
        item = offline.image_item(assembly, algorithm, time)
        printer.print(offline.SigningDocument(image.name, (item,)))

    return each_image(images, print_digests, as_json=True)
