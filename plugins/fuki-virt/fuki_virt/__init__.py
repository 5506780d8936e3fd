"""Hypervisors besides plain QEMU: the platforms `nutanix`, `openstack`, `virtualbox` and `vmware`."""

from collections.abc import Sequence

from fuki_build.hooks import Platform, TablePlatform, hookimpl


class Nutanix(TablePlatform):
    """Nutanix AHV.

    >>> [machine.product for machine in Nutanix().machines()]
    ['AHV']
    """

    name = "nutanix"
    title = "Nutanix AHV"
    package = __name__
    file = "nutanix.toml"


class OpenStack(TablePlatform):
    """OpenStack Nova, with the strings that it has by itself.

    >>> [machine.product for machine in OpenStack().machines()]
    ['OpenStack Nova']
    """

    name = "openstack"
    title = "OpenStack"
    package = __name__
    file = "openstack.toml"


class VirtualBox(TablePlatform):
    """Oracle VirtualBox.

    >>> [machine.product for machine in VirtualBox().machines()]
    ['VirtualBox']
    """

    name = "virtualbox"
    title = "VirtualBox"
    package = __name__
    file = "virtualbox.toml"


class VMware(TablePlatform):
    """VMware, with virtual hardware version 20.

    >>> [machine.product for machine in VMware().machines()]
    ['VMware20,1']
    """

    name = "vmware"
    title = "VMware"
    package = __name__
    file = "vmware.toml"


@hookimpl
def fuki_platforms() -> Sequence[type[Platform]]:
    return [Nutanix, OpenStack, VirtualBox, VMware]
