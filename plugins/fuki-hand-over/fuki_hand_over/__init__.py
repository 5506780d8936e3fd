"""Programs that have the hypervisor start the firmware that a UKI brings."""

from collections.abc import Sequence

from fuki_build.hooks import HandOver, Rule, hookimpl

from fuki_hand_over.rules import RULES
from fuki_hand_over.vm_launch_update import VmLaunchUpdate

__all__ = ["VmLaunchUpdate", "fuki_checks", "fuki_hand_overs"]


@hookimpl
def fuki_hand_overs() -> Sequence[type[HandOver]]:
    return [VmLaunchUpdate]


@hookimpl
def fuki_checks() -> Sequence[Rule]:
    return RULES
