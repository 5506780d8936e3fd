"""The platform `acme`."""

from fuki_build.hooks import TablePlatform


class Acme(TablePlatform):
    """Acme Cloud. All sizes share one identity.

    >>> [machine.product for machine in Acme().machines()]
    ['Acme VM']
    """

    name = "acme"
    title = "Acme Cloud"
    package = __package__ or ""
