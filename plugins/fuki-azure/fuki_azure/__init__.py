"""Azure and Hyper-V: the platforms `azure` and `hyperv`, whose machines say the same of themselves."""

from collections.abc import Sequence

from fuki_build.hooks import Platform, TablePlatform, hookimpl


class Azure(TablePlatform):
    """Azure's virtual machines of generation 2. All sizes share one identity, and on-premises Hyper-V has it too.

    >>> [machine.manufacturer for machine in Azure().machines()]
    ['Microsoft Corporation']
    """

    name = "azure"
    title = "Azure"
    package = __name__
    file = "azure.toml"


class HyperV(TablePlatform):
    """Hyper-V's virtual machines of generation 2, which Azure's cannot be told from.

    >>> [machine.manufacturer for machine in HyperV().machines()]
    ['Microsoft Corporation']
    """

    name = "hyperv"
    title = "Hyper-V"
    package = __name__
    file = "hyperv.toml"


@hookimpl
def fuki_platforms() -> Sequence[type[Platform]]:
    return [Azure, HyperV]
