"""Truth values in the files of systemd, mkosi and ukify."""

_TRUE = frozenset(("1", "yes", "y", "true", "t", "on"))
_FALSE = frozenset(("0", "no", "n", "false", "f", "off"))


def truth_value(text: str) -> bool | None:
    """What a word says, in capitals too (systemd.syntax(7)); None where it is no truth value."""
    word = text.lower()
    return True if word in _TRUE else False if word in _FALSE else None
