"""The options of what takes none."""

from msgspec import Struct


class NoOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """For what takes no options."""
