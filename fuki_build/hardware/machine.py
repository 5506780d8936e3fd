"""A machine: the SMBIOS strings by which firmware, fwupd and systemd-stub tell hardware apart."""

from msgspec import Struct


class Machine(Struct, frozen=True):
    """One hardware identity. A string that SMBIOS leaves out, or has empty, is empty here."""

    name: str
    manufacturer: str = ""
    family: str = ""
    product: str = ""
    sku: str = ""
    bios_vendor: str = ""
    bios_version: str = ""
    bios_major: str = ""
    bios_minor: str = ""
    baseboard_manufacturer: str = ""
    baseboard_product: str = ""
    enclosure_type: str = ""
    panel_id: str = ""
