"""QEMU's `vm-launch-update` (docs/specs/vmlaunchupdate.rst), which takes IGVM files."""

from typing import Any

from fuki_build.hooks import HandOver

from fuki_hand_over.programs import VM_LAUNCH_UPDATE


class VmLaunchUpdate(HandOver):
    """Hands IGVM files over to QEMU's device vm-launch-update.

    >>> VmLaunchUpdate().program(VmLaunchUpdate.Options())[:8]
    b'FUKIHAND'
    """

    name = "vm-launch-update"

    def program(self, options: Any) -> bytes:  # noqa: ANN401, ARG002 - it has no options
        return VM_LAUNCH_UPDATE.read_bytes()
