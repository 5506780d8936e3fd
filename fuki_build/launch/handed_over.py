"""Launches of guests whose image hands its firmware over: what the second start is measured as."""

from collections.abc import Iterator
from pathlib import Path

from fuki_build.formats.uefi.firmware import FirmwareKind
from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.launch import LaunchRecord
from fuki_build.image.firmware import slices
from fuki_build.image.layout import Layout
from fuki_build.image.section import HAND_OVER
from fuki_build.launch.boots import LaunchFirmware
from fuki_build.launch.predict import predict
from fuki_build.recipe.launch import MAX_FIRMWARE, resolve_launch
from fuki_build.recipe.model import LaunchTable


def second_launches(layout: Layout, host: PluginHost) -> Iterator[LaunchRecord]:
    """What loaded plugins predict of each wrapped firmware: its file says how guests start, so nothing is asked for.

    Nothing of an image that hands nothing over. Raises `FukiError`.
    """
    if not layout.find(HAND_OVER) or not host.names("fuki_launch_models"):
        return
    for request in resolve_launch(LaunchTable(), host, Path(), HAND_OVER):
        yield from predict(host, request, list(_wrapped(layout)), ())


def _wrapped(layout: Layout) -> Iterator[LaunchFirmware]:
    for part in slices(layout.plain_sections):
        for image in part.firmware:
            is_wrapped = image.content is not None and image.content.kind is FirmwareKind.IGVM
            if image.header is not None and is_wrapped and image.payload.size <= MAX_FIRMWARE:
                yield LaunchFirmware(image.header.fwid, part.profile, image.payload)
