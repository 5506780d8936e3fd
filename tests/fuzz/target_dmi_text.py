from collections.abc import Iterator

from fuki_build.formats.hardware import dmi_text
from fuki_build.hardware.machine import from_strings

_DMIDECODE = """\
Handle 0x0000, DMI type 0, 24 bytes
BIOS Information
\tVendor: SeaBIOS
\tVersion: 1.16
\tBIOS Revision: 0.0

Handle 0x0100, DMI type 1, 27 bytes
System Information
\tManufacturer: QEMU
\tProduct Name: Standard PC (Q35 + ICH9, 2009)
\tSKU Number: Not Specified
\tFamily: Not Specified
"""
_FWUPDTOOL = """\
BiosMajorRelease: 2
BiosMinorRelease: 25
Manufacturer: LENOVO
EnclosureKind: a
Hardware IDs
------------
{6de5d951-d755-576b-bd09-c5cf66b27234}   <- Manufacturer
"""
_ANALYZE = r"""
TYPE    INPUT     CHID
   9 M-P--------- 0cf8618d-9eff-537c-9f35-46861406eb9c
ext0 MFP--------E a8852b56-45ea-5377-ba2d-1910a5c897bb

LEGEND: M → manufacturer (QEM\303\234) ┄ F → family (a \"b\" \\) ┄ P -> product-name (x) - S -> product-sku (n/a)
        E → edid-panel (BOE0b66)
"""


def seeds() -> Iterator[bytes]:
    for text in (_DMIDECODE, _FWUPDTOOL, _ANALYZE):
        yield text.encode()


def run(data: bytes) -> None:
    text = data.decode(errors="replace")
    for parse in (dmi_text.parse_dmidecode, dmi_text.parse_fwupdtool, dmi_text.parse_analyze):
        from_strings("x", parse(text))
    assert all(0 <= kind <= 17 for kind in dmi_text.parse_chid_listing(text))
