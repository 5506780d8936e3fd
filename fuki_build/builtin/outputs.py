"""Output formats: the image, its addons, a manifest, and any text from a template."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from fuki_build import Layout, LayoutView, describe
from fuki_build.formats.documents import Document, View, encode_json
from fuki_build.hooks import (
    DESCRIBED_DIGESTS,
    NO_DIGESTS,
    Build,
    BuiltImage,
    DigestNeeds,
    Finding,
    Options,
    OutputContext,
    OutputFormat,
    PlannedFile,
    PreviewContext,
    hookimpl,
)


class InputView(View, frozen=True):
    """A file that was read: `where` is the recipe's key that named it, `sha256` of the content as it was read."""

    name: str
    where: str
    sha256: str


class ManifestDocument(Document, frozen=True, kw_only=True):
    """What the output format `manifest` writes: `firmware` has facts on its origin by fwid."""

    name: str
    image_version: str
    tools: Mapping[str, str]
    inputs: tuple[InputView, ...]
    firmware: Mapping[str, Mapping[str, str]]
    images: tuple[LayoutView, ...]
    findings: tuple[Finding, ...]


MANIFEST_DIGESTS = DESCRIBED_DIGESTS | DigestNeeds(inputs=True)
"""What a manifest tells of an image and its inputs."""


class UkiOutput(OutputFormat):
    """The image itself.

    >>> UkiOutput.suffix
    '.efi'
    """

    name = "uki"
    suffix = ".efi"

    def digests(self, options: Any) -> DigestNeeds:  # noqa: ANN401, ARG002
        return NO_DIGESTS

    def images(self, path: Path, uki: Layout, addons: Sequence[Layout]) -> Mapping[Path, Layout]:  # noqa: ARG002
        return {path: uki}


class AddonOutput(OutputFormat):
    """Every addon as `<name>.addon.efi` in one directory, by default where the stub looks for them.

    >>> AddonOutput.suffix
    '.efi.extra.d'
    """

    name = "addon"
    suffix = ".efi.extra.d"

    def digests(self, options: Any) -> DigestNeeds:  # noqa: ANN401, ARG002
        return NO_DIGESTS

    def images(self, path: Path, uki: Layout, addons: Sequence[Layout]) -> Mapping[Path, Layout]:  # noqa: ARG002
        return {path / f"{addon.name}.addon.efi": addon for addon in addons}


class ManifestOutput(OutputFormat):
    """JSON: every input with its digest, the tools' versions, layouts, hardware ids and digests.

    >>> ManifestOutput.suffix
    '.manifest.json'
    """

    name = "manifest"
    suffix = ".manifest.json"

    def digests(self, options: Any) -> DigestNeeds:  # noqa: ANN401, ARG002
        return MANIFEST_DIGESTS

    def emit(self, options: Any, build: Build, context: OutputContext) -> None:  # noqa: ANN401, ARG002
        context.write(context.path, encode_json(manifest(build)))


class TemplateOptions(Options, frozen=True):
    template: Annotated[str, Meta(description="a file relative to the recipe, or the name of a template")]


class TemplateOutput(OutputFormat):
    """Any text: a Jinja2 template that sees what the manifest has, as `build`.

    >>> TemplateOutput.Options(template="notes.txt.j2").template
    'notes.txt.j2'
    """

    name = "template"
    Options = TemplateOptions

    def digests(self, options: Any) -> DigestNeeds:  # noqa: ANN401, ARG002
        return MANIFEST_DIGESTS

    def templates(self, options: TemplateOptions) -> Sequence[str]:
        return (options.template,)

    def preview(self, options: TemplateOptions, context: PreviewContext) -> Sequence[PlannedFile]:
        context.find_template(options.template)
        return [PlannedFile(context.path)]

    def emit(self, options: TemplateOptions, build: Build, context: OutputContext) -> None:
        text = context.render(options.template, {**build.variables, "build": msgspec.to_builtins(manifest(build))})
        context.write(context.path, text.encode())


def manifest(build: Build) -> ManifestDocument:
    """The facts of a build: what the manifest format writes, and templates see as plain data."""
    return ManifestDocument(
        name=build.name,
        image_version=build.version,
        tools=dict(sorted(build.tools.items())),
        inputs=tuple(InputView(file.name, file.where, file.sha256) for file in build.inputs),
        firmware={fwid: dict(sorted(origin.items())) for fwid, origin in sorted(build.firmware_origins.items())},
        images=tuple(_image(image) for image in (build.uki, *build.addons)),
        findings=build.findings,
    )


def _image(image: BuiltImage) -> LayoutView:
    return describe(image.layout, image.assembly)


@hookimpl
def fuki_outputs() -> Sequence[type[OutputFormat]]:
    return [UkiOutput, AddonOutput, ManifestOutput, TemplateOutput]
