"""The platform that everyone can try: plain QEMU. Clouds come as plugins."""

from collections.abc import Sequence

from fuki_build import Machine
from fuki_build.errors import RecipeError
from fuki_build.hooks import LaunchSite, Platform, hookimpl

# What SMBIOS says in a guest without -smbios options (hw/i386/pc_q35.c and pc_piix.c in QEMU).
_MACHINES = {
    "q35": Machine(name="QEMU q35", manufacturer="QEMU", product="Standard PC (Q35 + ICH9, 2009)"),
    "i440fx": Machine(name="QEMU i440fx", manufacturer="QEMU", product="Standard PC (i440FX + PIIX, 1996)"),
}
_LAUNCH = LaunchSite(name="q35", technologies=("sev", "sev-es", "sev-snp", "tdx"), vmm="qemu")


class Qemu(Platform):
    """QEMU's PC machines.

    Oracle's and IBM's clouds leave the same strings in place, so they match too.

    >>> [machine.product for machine in Qemu().machines("q35")]
    ['Standard PC (Q35 + ICH9, 2009)']
    """

    name = "qemu"
    title = "QEMU"
    chid_types = (9,)

    def machines(self, selector: str | None = None) -> Sequence[Machine]:
        if selector is None:
            return list(_MACHINES.values())
        if selector not in _MACHINES:
            raise RecipeError(f"qemu has no machine {selector!r}", hint=f"there are: {', '.join(_MACHINES)}")
        return [_MACHINES[selector]]

    def launch_sites(self, selector: str | None = None) -> Sequence[LaunchSite]:
        """Confidential guests run on q35 only; vCPUs and CPU model are the tenant's choice."""
        self.machines(selector)
        return [_LAUNCH] if selector in (None, "q35") else []


@hookimpl
def fuki_platforms() -> Sequence[type[Platform]]:
    return [Qemu]
