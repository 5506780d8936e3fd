"""The output format `igvm`: firmware of the image in a file of its own, for hosts that start guests from one."""

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta

from fuki_build.errors import FormatError, RecipeError, did_you_mean, raised_as
from fuki_build.formats.confidential.igvm import partition
from fuki_build.formats.confidential.igvm.data_hobs import DataKind
from fuki_build.formats.uefi.firmware import FirmwareKind
from fuki_build.hooks import (
    NO_DIGESTS,
    Build,
    DigestNeeds,
    Options,
    OutputContext,
    OutputFormat,
    PlannedFile,
    PreviewContext,
    hookimpl,
)
from fuki_build.image.blob import Blob
from fuki_build.image.firmware import FirmwareImage, slices
from fuki_build.image.layout import Layout
from fuki_build.image.unwrapping import Unwrapped, unwrap
from fuki_build.image.wrapping import GuestData, WrapSettings, wrap

_NO_IMAGE = Blob.of_bytes(b"MZ")


class IgvmOptions(Options, frozen=True):
    firmware: Annotated[str | None, Meta(description="the fwid; needed where the image has several")] = None
    uki: Annotated[
        bool, Meta(description="whether the firmware finds the image in its memory, and starts it without a disk")
    ] = False
    partition: Annotated[
        bool,
        Meta(
            description="whether to write the content of a partition (type c647e858-c402-4d1e-9497-95ff0a4b4465) "
            "instead of the file"
        ),
    ] = False


class IgvmOutput(OutputFormat):
    """A firmware of the image as an IGVM file; one that was not wrapped is wrapped as `igvm = {}` does it.

    >>> IgvmOutput.Options(firmware="ovmf").partition
    False
    """

    name = "igvm"
    suffix = ".igvm"
    Options = IgvmOptions
    needs_image_file = True

    def digests(self, options: Any) -> DigestNeeds:  # noqa: ANN401, ARG002
        return NO_DIGESTS

    def preview(self, options: IgvmOptions, context: PreviewContext) -> Sequence[PlannedFile]:
        # The image, which is not there yet, may be of any content, but not of any size.
        file = _content(options, context.uki, _NO_IMAGE if options.uki else None)
        return [PlannedFile(context.path, None if options.uki else file.size)]

    def emit(self, options: IgvmOptions, build: Build, context: OutputContext) -> None:
        uki = Blob.of_file(build.uki.path) if options.uki and build.uki.path else None
        context.write(context.path, _content(options, build.uki.layout, uki))


def _content(options: IgvmOptions, layout: Layout, uki: Blob | None) -> Blob:
    """What is written of a layout's firmware. Raises `RecipeError`."""
    image = _choose(layout, options.firmware)
    with raised_as(RecipeError, of=FormatError, about=f"firmware {image.fwid}"):
        file = _file(image, uki)
        if options.partition:
            zeros = Blob.of_bytes(bytes(partition.padding(file.size)))
            file = Blob.of_bytes(partition.encode_prefix(file.size)) + file + zeros
    return file


def _choose(layout: Layout, fwid: str | None) -> FirmwareImage:
    """The firmware that is asked for, or the only one. Raises `RecipeError`."""
    images = [image for part in slices(layout.plain_sections) for image in part.firmware if image.fwid]
    names = tuple(dict.fromkeys(image.fwid for image in images if image.fwid))
    if not images:
        raise RecipeError("the image has no firmware to write", hint="add a [[fuki.firmware]] table")
    if fwid is None and len(images) > 1:
        raise RecipeError(f"the image has several firmware images: {', '.join(names)}", hint='add firmware = "…"')
    chosen = next((image for image in images if fwid in (None, image.fwid)), None)
    if chosen is None:
        hint = did_you_mean(fwid or "", names) or f"there are: {', '.join(names)}"
        raise RecipeError(f"there is no firmware {fwid!r}", where="firmware", hint=hint)
    return chosen


def _file(image: FirmwareImage, uki: Blob | None) -> Blob:
    """The file, with the image among its data if there is one."""
    wrapped = image.content is not None and image.content.kind is FirmwareKind.IGVM
    if wrapped and uki is None:
        return image.payload

    parts = unwrap(image.payload) if wrapped else Unwrapped(image.payload, WrapSettings(), ())
    if parts is None:
        raise FormatError("this IGVM file was made elsewhere, and a UKI cannot be added", hint="leave out uki")

    if uki is None:
        return wrap(parts.firmware, parts.settings)

    if any(piece.kind is DataKind.KERNEL for piece in parts.data):
        raise FormatError("the IGVM file holds a kernel already, and starts one", hint="leave out uki")

    # A firmware with the image in its memory is measured otherwise than the ID block says.
    if parts.settings.id_block is not None:
        hint = "wrap with 'fuki firmware wrap --data kernel=…', and make the ID block for that"
        raise FormatError("the ID block is for the firmware without the image in its memory", hint=hint)
    return wrap(parts.firmware, parts.settings, (*parts.data, GuestData(DataKind.KERNEL, uki)))


@hookimpl
def fuki_outputs() -> Sequence[type[OutputFormat]]:
    return [IgvmOutput]
