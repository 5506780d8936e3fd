"""A field in words."""

from collections.abc import Mapping
from datetime import datetime

from fuki_build.hooks import View


class FieldView(View, frozen=True):
    """A field of a piece of evidence: its value as text, digests in hex, and what it means where that needs words."""

    name: str
    value: str
    meaning: str = ""


def bits(value: int, names: Mapping[int, str]) -> str:
    """The names of the bits that are set; those without a name by their number."""
    known = [names.get(bit, f"bit {bit}") for bit in range(value.bit_length()) if value >> bit & 1]
    return ", ".join(known) or "none"


def digest(name: str, value: bytes, absent: str = "") -> FieldView:
    """A digest or an id, with what it means that all of its bytes are zero."""
    return FieldView(name, value.hex(), absent if absent and not any(value) else "")


def time(value: datetime) -> str:
    """A moment, in UTC."""
    return value.strftime("%Y-%m-%d %H:%M:%S UTC")
