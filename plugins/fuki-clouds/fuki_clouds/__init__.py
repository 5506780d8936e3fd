"""Smaller clouds: the platforms `alibaba`, `digitalocean`, `hetzner`, `ibm` and `oci`."""

from collections.abc import Sequence

from fuki_build.hooks import Platform, TablePlatform, hookimpl


class Alibaba(TablePlatform):
    """Alibaba Cloud ECS.

    >>> [machine.product for machine in Alibaba().machines()]
    ['Alibaba Cloud ECS']
    """

    name = "alibaba"
    title = "Alibaba Cloud"
    package = __name__
    file = "alibaba.toml"


class DigitalOcean(TablePlatform):
    """DigitalOcean's droplets.

    >>> [machine.product for machine in DigitalOcean().machines()]
    ['Droplet']
    """

    name = "digitalocean"
    title = "DigitalOcean"
    package = __name__
    file = "digitalocean.toml"


class Hetzner(TablePlatform):
    """Hetzner Cloud's servers.

    >>> [machine.product for machine in Hetzner().machines()]
    ['vServer']
    """

    name = "hetzner"
    title = "Hetzner Cloud"
    package = __name__
    file = "hetzner.toml"


class Ibm(TablePlatform):
    """IBM Cloud VPC, which plain QEMU cannot be told from.

    >>> [machine.product for machine in Ibm().machines()]
    ['Standard PC (Q35 + ICH9, 2009)', 'Standard PC (i440FX + PIIX, 1996)']
    """

    name = "ibm"
    title = "IBM Cloud VPC"
    package = __name__
    file = "ibm.toml"


class Oci(TablePlatform):
    """Oracle Cloud Infrastructure, which plain QEMU (i440fx) cannot be told from.

    >>> [machine.product for machine in Oci().machines()]
    ['Standard PC (i440FX + PIIX, 1996)']
    """

    name = "oci"
    title = "Oracle Cloud"
    package = __name__
    file = "oci.toml"


@hookimpl
def fuki_platforms() -> Sequence[type[Platform]]:
    return [Alibaba, DigitalOcean, Hetzner, Ibm, Oci]
