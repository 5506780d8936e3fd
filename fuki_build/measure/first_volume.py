"""The volume of OVMF that has the drivers which run first, as it is when it is measured.

They run in it, in memory, and some write into their own data. What the PEI core writes is read from its code. Of the
other drivers only those count that run before there is other memory for them, and of these it is not the code that
tells what they do on a machine: it was measured, for some builds.
"""

from collections.abc import Mapping
from hashlib import sha256

from msgspec import Struct

from fuki_build.errors import FormatError
from fuki_build.formats.uefi.pei_core import PORT_SIZE, noted_port
from fuki_build.measure.chipset import Chipset

TIMER_PORTS: Mapping[Chipset, int] = {Chipset.Q35: 0x0608, Chipset.I440FX: 0xB008}
"""The port of the ACPI timer, where OVMF has the chipset put it (OvmfPkg/Include/IndustryStandard, Q35MchIch9.h and
I440FxPiix4.h); both were measured."""

MEASURED_BUILDS: Mapping[str, str] = {
    "acc7cc32f3e05161d1620022562909c284f700d73082cf7ac159451a3f7c7212": "2025.02-8+deb13u1, ovmf",
    "10e48f005bc9f46830c4596b9ab6f8d0b98427f08e17d6d0e6eef582a7b12512": "2026.08+ds-2, ovmf-generic and ovmf-legacy",
}
"""Builds of Debian whose drivers, the core aside, were seen to write nothing: SHA-256 of the volume in the file."""

_OTHERS = (
    "drivers of this build may write into this volume before it is measured; say --volume-unchanged if none does, or "
    "give a log of such a machine as --firmware-log"
)
_PORT = "this build notes the timer's port in this volume, which depends on the machine; say --chipset q35 or i440fx"


class FirstVolume(Struct, frozen=True):
    """What is measured; `unknown` says why that cannot be told, and then there is no content."""

    content: bytes = b""
    unknown: str = ""


def as_measured(volume: bytes, chipset: Chipset | None, *, is_unchanged: bool) -> FirstVolume:
    """The volume on machines with a chipset; `is_unchanged` says that no driver but the core writes into it."""
    if not is_unchanged and sha256(volume).hexdigest() not in MEASURED_BUILDS:
        return FirstVolume(unknown=_OTHERS)

    try:
        at = noted_port(volume)
    except FormatError as error:
        return FirstVolume(unknown=error.message)
    if at is None:
        return FirstVolume(volume)
    if chipset is None:
        return FirstVolume(unknown=_PORT)

    port = TIMER_PORTS[chipset].to_bytes(PORT_SIZE, "little")
    return FirstVolume(volume[:at] + port + volume[at + PORT_SIZE :])
