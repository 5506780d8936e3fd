"""Programs that have the hypervisor start the firmware that a UKI brings."""

from collections.abc import Sequence

from fuki_build.hooks import HandOver, hookimpl

from fuki_hand_over.vm_launch_update import VmLaunchUpdate

__all__ = ["VmLaunchUpdate", "fuki_hand_overs"]


@hookimpl
def fuki_hand_overs() -> Sequence[type[HandOver]]:
    return [VmLaunchUpdate]
