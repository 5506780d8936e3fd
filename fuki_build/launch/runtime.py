"""Registers that grow while guests boot an image: what launch models are told of them."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.launch import DirectBootMode, RuntimeRegister
from fuki_build.measure.boot import Boot, BootMethod
from fuki_build.measure.predict import firmware_case, predict
from fuki_build.measure.rtmr import BANK, rtmrs
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.recipe.launch import LaunchRequest, models


class Runtime(Struct, frozen=True):
    """How guests boot an image; `contents` must have the bank of runtime registers."""

    contents: SectionDigests
    boot: Boot


def runtime_banks(host: PluginHost, requests: Sequence[LaunchRequest]) -> frozenset[str]:
    """The banks in which an image must be predicted for these requests; none where no model asks for that."""
    whole = [request for request in requests if request.direct_boot is not DirectBootMode.SECTIONS]
    for name, model in models(host).items() if whole else ():
        if any(not request.technologies or name in request.technologies for request in whole):
            with model.running():
                if model.thing.runtime:
                    return frozenset({BANK})
    return frozenset()


def runtime_registers(runtime: Runtime, firmware: str, profile: int | None) -> Iterator[RuntimeRegister]:
    """The registers of guests that run on this firmware of the image, in its profile, or in all where it is the base's.

    Raises `FukiError` where the image cannot be measured.
    """
    layout = runtime.contents.layout
    name = "image" if runtime.boot.method is BootMethod.DIRECT else "disk"
    for number in (layout.profiles or (None,)) if profile is None else (profile,):
        (prediction,) = predict(runtime.contents, [firmware_case(layout, number, firmware)], runtime.boot)
        boot = name if number is None else f"{name}@{number}"
        for register in rtmrs(prediction, runtime.boot, layout):
            yield RuntimeRegister(register.name, boot, register.value, register.unknown)
