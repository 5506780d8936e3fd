"""IGVM files that guests start from: the host's, and those that an image hands over."""

from collections.abc import Mapping
from pathlib import Path

from fuki_build.errors import located
from fuki_build.formats.confidential import igvm
from fuki_build.formats.uefi.firmware import FirmwareKind
from fuki_build.image.blob import Blob
from fuki_build.image.firmware import slices
from fuki_build.image.layout import Layout
from fuki_build.image.wrapping import WrapSettings, wrap

_MAX_IGVM = 1024 * 1024 * 1024
"""Bytes that are read of one file."""


def native_igvm(firmware: Path) -> bytes:
    """The IGVM file that a host starts native guests from: `firmware` itself, or made of an OVMF image.

    Raises `FukiError`.
    """
    with located(str(firmware)):
        content = Blob.of_file(firmware)
        if igvm.decode_header(content.read_at(0, igvm.HEADER_SIZE)) is None:
            content = wrap(content, WrapSettings(platforms=(igvm.IgvmPlatform.NATIVE,)))
        return content.read_small(_MAX_IGVM, str(firmware))


def igvm_payloads(layout: Layout, profile: int | None) -> Mapping[str, bytes]:
    """The IGVM files that a profile's machines may select as firmware, by fwid: the profile's own before the base's."""
    files: dict[str, bytes] = {}
    for part in sorted(slices(layout.plain_sections), key=lambda part: part.profile is None):
        for image in part.firmware if part.profile in {None, profile} else ():
            if image.fwid is not None and image.content is not None and image.content.kind is FirmwareKind.IGVM:
                files.setdefault(image.fwid, image.payload.read_small(_MAX_IGVM, image.fwid))

    return files
