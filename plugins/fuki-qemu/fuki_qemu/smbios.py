"""A machine's SMBIOS strings as QEMU's options."""

from collections.abc import Iterator

from fuki_build import Machine
from fuki_build.errors import FukiError

_FIELDS = {
    0: {"vendor": "bios_vendor", "version": "bios_version"},
    1: {"manufacturer": "manufacturer", "product": "product", "family": "family", "sku": "sku"},
    2: {"manufacturer": "baseboard_manufacturer", "product": "baseboard_product"},
}
"""By the structure's type: QEMU's name of each string, and the machine's."""
IMITATED = tuple(field for fields in _FIELDS.values() for field in fields.values())
"""The strings of a machine that a guest is given."""


def options(machine: Machine) -> Iterator[str]:
    """`-smbios` options; strings that the machine has not are empty. Raises `FukiError` for a machine without strings.

    Of the BIOS, only what the machine has is given, since QEMU's firmware fills that in itself.
    """
    if not machine.manufacturer:
        raise FukiError(
            f"the machine {machine.name!r} is known by its hardware ids only",
            where="--as",
            hint="a guest is given strings: name a machine file that has them",
        )

    for kind, fields in _FIELDS.items():
        strings = {key: getattr(machine, field) for key, field in fields.items()}
        if kind == 0:
            strings = {key: text for key, text in strings.items() if text}
            strings |= _release(machine)

        if strings:
            yield from ("-smbios", ",".join([f"type={kind}", *(f"{key}={_quote(t)}" for key, t in strings.items())]))


def _release(machine: Machine) -> dict[str, str]:
    """The BIOS release, which machines have as hexadecimal digits and QEMU takes in decimal."""
    try:
        return {"release": f"{int(machine.bios_major, 16)}.{int(machine.bios_minor, 16)}"}
    except ValueError:
        return {}


def _quote(text: str) -> str:
    return text.replace(",", ",,")
