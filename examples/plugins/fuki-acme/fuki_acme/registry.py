"""The firmware source `acme-registry`: firmware from a registry, pinned by digest."""

import re
from collections.abc import Callable
from typing import Annotated

from msgspec import Meta, Struct

from fuki_build import FukiError, network, read_small_file
from fuki_build.errors import FormatError, RecipeError
from fuki_build.formats.documents import decode_json
from fuki_build.hooks import ContentWriter, FirmwareFile, FirmwareSource, Options, SourceContext

DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
FIRMWARE = "application/vnd.acme.firmware"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LARGEST_MANIFEST = 1024 * 1024
LARGEST_FIRMWARE = 64 * 1024 * 1024


class Layer(Struct):
    """A blob of an artifact, as its manifest tells of it."""

    mediaType: str  # noqa: N815 - as the manifest has it
    digest: str


class Manifest(Struct):
    """What we read of a manifest; it has more."""

    layers: list[Layer]


class RegistryOptions(Options, frozen=True, kw_only=True):
    registry: Annotated[str, Meta(description="its address: https://registry.example")]
    repository: Annotated[str, Meta(pattern=r"^[a-z0-9]+([._/-][a-z0-9]+)*$", description="such as acme/guest")]
    digest: Annotated[str, Meta(description="of the artifact's manifest: sha256:…")]


class AcmeRegistry(FirmwareSource):
    """An artifact with one layer of firmware.

    >>> AcmeRegistry.Options(registry="https://registry.example", repository="acme/guest", digest="sha256:…").repository
    'acme/guest'
    """

    name = "acme-registry"
    Options = RegistryOptions

    def fetch(self, options: RegistryOptions, context: SourceContext) -> FirmwareFile:
        manifest = self._manifest(options, context)
        layers = [layer for layer in manifest.layers if layer.mediaType == FIRMWARE]
        if len(layers) != 1:
            raise FukiError(f"the artifact has {len(layers)} layers of firmware", hint=f"their type is {FIRMWARE}")

        sha256 = sha256_of(layers[0].digest)
        url = f"{address(options)}/blobs/sha256:{sha256}"
        path = context.cached(sha256, download(url, "*/*", LARGEST_FIRMWARE))
        return FirmwareFile(path, id=options.repository.rpartition("/")[2], origin={"artifact": options.digest})

    def _manifest(self, options: RegistryOptions, context: SourceContext) -> Manifest:
        url = f"{address(options)}/manifests/{options.digest}"
        path = context.cached(sha256_of(options.digest), download(url, MANIFEST, LARGEST_MANIFEST))
        try:
            return decode_json(read_small_file(path, LARGEST_MANIFEST), Manifest)
        except FormatError as error:
            raise FukiError(f"{options.digest} is no manifest: {error.message}", where="digest") from error


def address(options: RegistryOptions) -> str:
    return f"{options.registry.rstrip('/')}/v2/{options.repository}"


def sha256_of(digest: str) -> str:
    match = DIGEST.fullmatch(digest)
    if match is None:
        raise RecipeError(f"{digest!r} is no digest", where="digest", hint="it is sha256: and 64 digits")
    return match[1]


def download(url: str, accept: str, limit: int) -> Callable[[ContentWriter], None]:
    def write(file: ContentWriter) -> None:
        try:
            network.download(url, file.write, {"Accept": accept}, limit=limit)
        except OSError as error:
            raise FukiError(f"cannot get {url}: {error}", where="registry") from error

    return write
