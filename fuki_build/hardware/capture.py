"""Reading machines: from SMBIOS dumps, /sys, and the output of dmidecode, fwupdtool and systemd-analyze."""

import re
from pathlib import Path

from fuki_build.errors import FormatError, FukiError
from fuki_build.formats.hardware import dmi_text, smbios
from fuki_build.hardware.machine import Machine, decode_file, from_strings

THIS_MACHINE = Path("/sys/class/dmi/id")
_TABLES = Path("/sys/firmware/dmi/tables/DMI")
_SYSFS = {
    "sys_vendor": "manufacturer",
    "product_family": "family",
    "product_name": "product",
    "product_sku": "sku",
    "bios_vendor": "bios_vendor",
    "bios_version": "bios_version",
    "board_vendor": "baseboard_manufacturer",
    "board_name": "baseboard_product",
    "bios_release": "bios_release",
    "chassis_type": "enclosure_type",
}


def decode(data: bytes, name: str) -> Machine:
    """A machine from any supported description, recognised by its content.

    A machine file, an SMBIOS dump, or the text of `dmidecode`, `fwupdtool hwids` or `systemd-analyze chid`.
    Raises `FormatError` if the data is none of these, or damaged.
    """
    name = smbios.readable(name)

    # The text may quote strings that are not UTF-8; only a dump has NULs.
    text = data.decode("utf-8", "surrogateescape")
    if data.startswith((smbios.ENTRY_POINT_32, smbios.ENTRY_POINT_64)) or "\0" in text:
        return from_strings(name, smbios.identity(smbios.split_dump(data)))

    if "[machine]" in text:
        return decode_file(data, name)

    # Each parser takes only its own program's lines, so the first one that succeeds is right.
    for parse in (dmi_text.parse_fwupdtool, dmi_text.parse_dmidecode, dmi_text.parse_analyze):
        strings = parse(text)
        if "manufacturer" in strings:
            return from_strings(name, strings)

    chids = dmi_text.parse_chid_listing(text)
    if chids:
        return Machine(name=name, chids=tuple(chids.items()))

    raise FormatError(
        "this tells nothing about a machine",
        hint="give a machine file, a dump of 'dmidecode --dump-bin', or the text of dmidecode or 'fwupdtool hwids'",
    )


def this_machine(root: Path = THIS_MACHINE, tables: Path = _TABLES) -> Machine:
    """The machine that this runs on: from its SMBIOS table as root, else from the strings that /sys shows to everyone.

    Raises `FukiError` on a machine without SMBIOS.
    """
    try:
        return from_strings("this machine", smbios.identity(tables.read_bytes()))
    except (OSError, FormatError):
        pass

    strings = {}
    for file, field in _SYSFS.items():
        try:
            strings[field] = (root / file).read_bytes().decode("utf-8", "surrogateescape").removesuffix("\n")
        except OSError:
            continue

    # The kernel prints these in decimal; hardware ids are made of hexadecimal numbers.
    release = re.fullmatch(r"(\d{1,3})\.(\d{1,3})", strings.pop("bios_release", ""), re.ASCII)
    if release:
        strings["bios_major"], strings["bios_minor"] = (f"{int(number):02x}" for number in release.groups())
    if re.fullmatch(r"\d{1,3}", strings.get("enclosure_type", ""), re.ASCII):
        strings["enclosure_type"] = f"{int(strings['enclosure_type']):x}"

    if not strings.get("manufacturer"):
        raise FukiError("this machine has no SMBIOS strings", hint="give a dump or a machine file of the machine meant")
    return from_strings("this machine", strings)
