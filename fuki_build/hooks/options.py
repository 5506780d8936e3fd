"""Options of what a plugin gives: keys of the recipe's table."""

from msgspec import Struct


class Options(Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """The base of all options: fields become keys such as `board-name`, and a key that is no field is an error.

    >>> class BoardOptions(Options, frozen=True):
    ...     board_name: str
    >>> BoardOptions.__struct_config__.forbid_unknown_fields
    True
    """


class NoOptions(Options, frozen=True):
    """For what takes no options."""
