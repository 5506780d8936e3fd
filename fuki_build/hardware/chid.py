"""CHIDs, computer hardware ids: UUIDs hashed from SMBIOS strings.

There are two dialects. In Microsoft's ("Specifying Hardware IDs for a Computer"), implemented by fwupd and
`systemd-analyze chid`, an id does not exist if one of its fields is missing. If a field is not UTF-8, fwupd has no id,
and `systemd-analyze chid` a different one. systemd-stub's dialect (chid.c in 262.1) hashes missing fields as empty
strings, except the display panel, decodes bytes by its own rules, and tries only some types, in its own order. The stub
and fwupd strip fields, after checking whether they are present; `systemd-analyze chid` does not, so it differs from
fwupd where a vendor has padded a string.
"""

from collections.abc import Mapping
from enum import Enum
from functools import cache, lru_cache
from hashlib import sha1
from uuid import UUID

from fuki_build.formats import stub_text
from fuki_build.hardware.machine import Machine

_NAMESPACE = UUID("70ffd812-4c7f-4c7d-0000-000000000000")

FIELDS: dict[int, tuple[str, ...]] = {
    0: (
        "manufacturer",
        "family",
        "product",
        "sku",
        "bios_vendor",
        "bios_version",
        "bios_major",
        "bios_minor",
    ),
    1: ("manufacturer", "family", "product", "bios_vendor", "bios_version", "bios_major", "bios_minor"),
    2: ("manufacturer", "product", "bios_vendor", "bios_version", "bios_major", "bios_minor"),
    3: ("manufacturer", "family", "product", "sku", "baseboard_manufacturer", "baseboard_product"),
    4: ("manufacturer", "family", "product", "sku"),
    5: ("manufacturer", "family", "product"),
    6: ("manufacturer", "sku", "baseboard_manufacturer", "baseboard_product"),
    7: ("manufacturer", "sku"),
    8: ("manufacturer", "product", "baseboard_manufacturer", "baseboard_product"),
    9: ("manufacturer", "product"),
    10: ("manufacturer", "family", "baseboard_manufacturer", "baseboard_product"),
    11: ("manufacturer", "family"),
    12: ("manufacturer", "enclosure_type"),
    13: ("manufacturer", "baseboard_manufacturer", "baseboard_product"),
    14: ("manufacturer",),
    15: ("manufacturer", "family", "product", "panel_id"),
    16: ("manufacturer", "family", "panel_id"),
    17: ("manufacturer", "sku", "panel_id"),
}
"""The fields of each type, in the order in which they are joined."""

STUB_ORDER = (17, 16, 15, 3, 6, 8, 10, 4, 5, 7, 9, 11)
"""The types that systemd-stub tries, in order; it never tries the others."""

WIDE_TO_NARROW = (11, 7, 9, 5, 10, 4, 6, 8, 3)
"""The types that the stub tries and that need no display panel; those that most machines share come first."""


_NUMBERS = ("bios_major", "bios_minor", "enclosure_type", "panel_id")
"""Fields that are not SMBIOS strings and are not stripped: releases keep their leading zero."""


class Dialect(Enum):
    MICROSOFT = "microsoft"
    STUB = "stub"


def chid(machine: Machine, kind: int, dialect: Dialect) -> UUID | None:
    """The machine's CHID of type `kind` (0 to 17); None where it does not exist, as in Microsoft's dialect."""
    if machine.chids:
        return dict(machine.chids).get(kind)

    fields = {name: str(getattr(machine, name)) for name in FIELDS[kind]}
    needed = fields if dialect is Dialect.MICROSOFT else fields.keys() & {"panel_id"}
    if not all(fields[name] for name in needed):
        return None

    # A string that is not UTF-8 has no id in Microsoft's dialect; the stub's decoding never fails.
    prepare = _as_microsoft if dialect is Dialect.MICROSOFT else _as_stub
    try:
        name = "&".join(text if key in _NUMBERS else prepare(text) for key, text in fields.items()).encode("utf-16-le")
    except UnicodeEncodeError:
        return None

    return UUID(bytes=sha1(_NAMESPACE.bytes + name, usedforsecurity=False).digest()[:16], version=5)


def _as_microsoft(field: str) -> str:
    """Stripped as fwupd does: leading spaces, then leading zeros, then trailing spaces."""
    return field.lstrip(" ").lstrip("0").rstrip(" ")


@lru_cache(maxsize=1024)  # most types are made of the same few strings
def _as_stub(field: str) -> str:
    """The bytes are stripped in the same way, and then decoded as the stub does."""
    return stub_text.decode(field.encode("utf-8", "surrogateescape").lstrip(b" ").lstrip(b"0").rstrip(b" "))


@cache
def stub_chids(machine: Machine) -> Mapping[int, UUID]:
    """The CHIDs that the stub would try on a machine, by type, in its order."""
    chids = {kind: chid(machine, kind, Dialect.STUB) for kind in STUB_ORDER}
    return {kind: value for kind, value in chids.items() if value is not None}


Identity = frozenset[tuple[int, UUID]]


@cache
def identity(machine: Machine) -> Identity:
    """The stub's view of a machine: it cannot distinguish two machines with the same identity."""
    return frozenset(stub_chids(machine).items())
