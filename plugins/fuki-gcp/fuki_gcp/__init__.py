"""Google Compute Engine: the platform `gcp`. What its machines say of themselves stands in machines.toml."""

from collections.abc import Sequence

from fuki_build.hooks import Platform, TablePlatform, hookimpl


class ComputeEngine(TablePlatform):
    """Google Compute Engine. All sizes share one identity.

    >>> [machine.product for machine in ComputeEngine().machines()]
    ['Google Compute Engine']
    """

    name = "gcp"
    title = "Google Compute Engine"
    package = __name__


@hookimpl
def fuki_platforms() -> Sequence[type[Platform]]:
    return [ComputeEngine]
