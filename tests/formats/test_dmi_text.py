"""What people paste. That it is what the programs print, tests/peers shows with the programs themselves."""

from uuid import UUID

import pytest

from fuki_build.formats.hardware import dmi_text

DMIDECODE = """\
# dmidecode 3.4
Getting SMBIOS data from sysfs.
SMBIOS 2.7 present.

Handle 0x0000, DMI type 0, 24 bytes
BIOS Information
\tVendor: Amazon EC2
\tVersion: 1.0
\tBIOS Revision: 1.16

Handle 0x0001, DMI type 1, 27 bytes
System Information
\tManufacturer: Amazon EC2
\tProduct Name: m6a.large
\tVersion: Not Specified
\tSKU Number: Not Specified
\tFamily: <BAD INDEX>

Handle 0x0002, DMI type 2, 15 bytes
Base Board Information
\tManufacturer: Amazon Boards
\tProduct Name: Not Specified

Handle 0x0003, DMI type 3, 22 bytes
Chassis Information
\tManufacturer: Somebody Else

Handle 0x0004, DMI type 4, 42 bytes
Processor Information
\tFamily: Zen
\tManufacturer: AMD
"""


def test_dmidecode_tells_the_strings_of_bios_system_and_baseboard():
    assert dmi_text.parse_dmidecode(DMIDECODE) == {
        "bios_vendor": "Amazon EC2",
        "bios_version": "1.0",
        "bios_major": "01",
        "bios_minor": "10",
        "manufacturer": "Amazon EC2",
        "product": "m6a.large",
        "sku": "",
        "family": "",
        "baseboard_manufacturer": "Amazon Boards",
        "baseboard_product": "",
    }


def test_of_two_baseboards_in_dmidecode_the_first_counts():
    second = "\nBase Board Information\n\tManufacturer: Second\n"
    assert dmi_text.parse_dmidecode(DMIDECODE + second)["baseboard_manufacturer"] == "Amazon Boards"


def test_a_colon_in_a_string_of_dmidecode_is_part_of_it():
    text = "System Information\n\tProduct Name: a: b\n"
    assert dmi_text.parse_dmidecode(text) == {"product": "a: b"}


def test_a_blank_string_in_dmidecode_is_kept():
    assert dmi_text.parse_dmidecode("System Information\n\tFamily:  \n") == {"family": " "}


def test_releases_of_fwupdtool_are_decimal_and_hashed_as_two_hexadecimal_digits():
    strings = dmi_text.parse_fwupdtool("BiosMajorRelease: 5\nBiosMinorRelease: 32\n")
    assert strings == {"bios_major": "05", "bios_minor": "20"}
    assert dmi_text.parse_fwupdtool("BiosMajorRelease: 255\n") == {"bios_major": "ff"}
    assert dmi_text.parse_fwupdtool("BiosMajorRelease: 1000\n") == {"bios_major": "1000"}


def test_a_string_of_fwupdtool_may_have_a_colon():
    assert dmi_text.parse_fwupdtool("Family: Rack: 2 U\n") == {"family": "Rack: 2 U"}


def test_a_string_that_fwupdtool_prints_as_empty_is_there_and_blank():
    assert dmi_text.parse_fwupdtool("Manufacturer: Acme\nFamily: \n") == {"manufacturer": "Acme", "family": " "}


def test_lines_of_fwupdtool_that_tell_no_string_are_passed_over():
    text = "Loading…: 7%\nComputer Information\n----\nFirmwareMajorRelease: ff\nManufacturer: Acme\nHardware IDs\n"
    assert dmi_text.parse_fwupdtool(text) == {"manufacturer": "Acme"}


def test_systemd_analyze_calls_the_extensions_15_to_17_ext0_to_ext2():
    text = """\
TYPE    INPUT     CHID
   3 MFPSmp------ 3faec92a-3ae3-5744-be88-495e90a7d541
  14 M----------- 6de5d951-d755-576b-bd09-c5cf66b27234
ext0 MFP--------E a8852b56-45ea-5377-ba2d-1910a5c897bb
ext2 M--S-------E 1480f3ca-b01a-5d7c-bbc9-7a17d7b4b58d
"""
    assert dmi_text.parse_chid_listing(text) == {
        3: UUID("3faec92a-3ae3-5744-be88-495e90a7d541"),
        14: UUID("6de5d951-d755-576b-bd09-c5cf66b27234"),
        15: UUID("a8852b56-45ea-5377-ba2d-1910a5c897bb"),
        17: UUID("1480f3ca-b01a-5d7c-bbc9-7a17d7b4b58d"),
    }


def test_numbers_that_are_no_types_are_passed_over():
    assert dmi_text.parse_chid_listing("18 x 6de5d951-d755-576b-bd09-c5cf66b27234\nno ids\n") == {}


LEGEND = r"""
LEGEND: M → manufacturer (QEM\303\234) ┄ F → family (n/a) ┄ P → product-name (a \"b\" \\ \tc)
        S → product-sku (x) (y) ┄ E → edid-panel (BOE0b66)
"""


@pytest.mark.parametrize("legend", [LEGEND, LEGEND.replace("→", "->").replace("┄", "-")], ids=["utf-8", "ascii"])
def test_the_legend_of_systemd_analyze_tells_the_strings(legend: str):
    assert dmi_text.parse_analyze(legend) == {
        "manufacturer": "QEMÜ",
        "product": 'a "b" \\ \tc',
        "sku": "x) (y",
        "panel_id": "BOE0b66",
    }


def test_escaped_bytes_that_are_not_utf_8_are_kept():
    strings = dmi_text.parse_analyze(r"LEGEND: M → manufacturer (Ü Caf\351)")
    assert strings["manufacturer"].encode("utf-8", "surrogateescape") == b"\xc3\x9c Caf\xe9"


def test_bytes_that_are_not_utf_8_are_kept_without_an_escape_too():
    strings = dmi_text.parse_analyze(b"LEGEND: M -> manufacturer (Caf\xe9)".decode("utf-8", "surrogateescape"))
    assert strings["manufacturer"].encode("utf-8", "surrogateescape") == b"Caf\xe9"


@pytest.mark.parametrize(
    "parse",
    [
        dmi_text.parse_dmidecode,
        dmi_text.parse_fwupdtool,
        dmi_text.parse_analyze,
        dmi_text.parse_chid_listing,
    ],
)
def test_text_of_another_kind_tells_nothing(parse):
    assert parse("Dear Sir or Madam: yours.\n\n(1)\n") == {}
