"""Registers that grow while guests boot an image: what launch models are told of them."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from fuki_build.hooks.host import PluginHost, blame
from fuki_build.hooks.launch import RuntimeRegister
from fuki_build.measure.boot import Boot, Way
from fuki_build.measure.contents import Contents
from fuki_build.measure.predict import Case, cases, predict
from fuki_build.measure.rtmr import BANK, rtmrs
from fuki_build.recipe.launch import LaunchRequest, models


class Runtime(Struct, frozen=True):
    """How guests boot an image; `contents` must have the bank of runtime registers."""

    contents: Contents
    boot: Boot


def runtime_banks(host: PluginHost, requests: Sequence[LaunchRequest]) -> frozenset[str]:
    """The banks in which an image must be predicted for these requests; none where no model asks for that."""
    wanted = {name for request in requests for name in request.technologies}
    every = any(not request.technologies for request in requests)
    for name, model in models(host).items() if requests else ():
        if every or name in wanted:
            with blame(model.plugin, f"failed in launch model {name!r}"):
                if model.thing.runtime:
                    return frozenset({BANK})
    return frozenset()


def runtime_registers(runtime: Runtime, firmware: str, profile: int | None) -> Iterator[RuntimeRegister]:
    """The registers of guests that run on this firmware of the image, in its profile, or in all where it is the base's.

    Raises `FukiError` where the image cannot be measured.
    """
    layout = runtime.contents.layout
    for number in (layout.profiles or (None,)) if profile is None else (profile,):
        case = _case(runtime, firmware, number)
        (prediction,) = predict(runtime.contents, [case], runtime.boot)
        name = "image" if runtime.boot.way is Way.DIRECT else "disk"
        boot = name if number is None else f"{name}@{number}"
        for register in rtmrs(prediction, runtime.boot, layout):
            yield RuntimeRegister(register.name, boot, register.value, register.unknown)


def _case(runtime: Runtime, firmware: str, profile: int | None) -> Case:
    """That in which the stub selects the firmware that the guest runs on, if it can; else nothing.

    Confidential guests have no devicetree that is chosen for them.
    """
    found = [case for case in cases(runtime.contents.layout, None, [profile]) if case.devicetree is None]
    return next((case for case in found if case.firmware == firmware), found[0])
