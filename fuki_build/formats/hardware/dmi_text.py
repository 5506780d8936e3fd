"""The output of dmidecode, fwupdtool and systemd-analyze about a machine."""

import re
from uuid import UUID

_DMIDECODE = {
    "BIOS Information": {"Vendor": "bios_vendor", "Version": "bios_version"},
    "System Information": {
        "Manufacturer": "manufacturer",
        "Product Name": "product",
        "SKU Number": "sku",
        "Family": "family",
    },
    "Base Board Information": {"Manufacturer": "baseboard_manufacturer", "Product Name": "baseboard_product"},
}
_FWUPDTOOL = {
    "BiosVendor": "bios_vendor",
    "BiosVersion": "bios_version",
    "BiosMajorRelease": "bios_major",
    "BiosMinorRelease": "bios_minor",
    "Manufacturer": "manufacturer",
    "Family": "family",
    "ProductName": "product",
    "ProductSku": "sku",
    "EnclosureKind": "enclosure_type",
    "BaseboardManufacturer": "baseboard_manufacturer",
    "BaseboardProduct": "baseboard_product",
}
_ANALYZE = {
    "manufacturer": "manufacturer",
    "family": "family",
    "product-name": "product",
    "product-sku": "sku",
    "baseboard-manufacturer": "baseboard_manufacturer",
    "baseboard-product": "baseboard_product",
    "bios-vendor": "bios_vendor",
    "bios-version": "bios_version",
    "bios-major": "bios_major",
    "bios-minor": "bios_minor",
    "enclosure-type": "enclosure_type",
    "edid-panel": "panel_id",
}
_ABSENT = ("Not Specified", "<BAD INDEX>")
_RELEASE = re.compile(r"BIOS Revision: (\d{1,3})\.(\d{1,3})\b")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_ROW = re.compile(rf"^\s*(ext)?(\d{{1,2}})\s.*?({_UUID.pattern})", re.IGNORECASE)
_ESCAPES = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_EXTRA = 15
"""The type that `systemd-analyze chid` prints as ext0."""
_LAST = 17
# Values may contain anything; a value ends before the next entry, or at the end of the line.
_ENTRY = re.compile(r"\w (?:→|->) ([a-z-]+) \((.{0,1024}?)\)(?= \S+ \w (?:→|->) [a-z-]+ \(|\s*$)", re.MULTILINE)


def parse_dmidecode(text: str) -> dict[str, str]:
    """The strings of a machine from `dmidecode`'s text; of each kind, the first structure counts."""
    strings: dict[str, str] = {}
    names_of_keys: dict[str, str] = {}
    for line in text.splitlines():
        # An unindented line is the heading of a structure, or separates two.
        if line and not line[0].isspace():
            names_of_keys = _DMIDECODE.get(line.strip(), {})
            continue
        key, _, value = line.lstrip().partition(": ")
        if key in names_of_keys:
            strings.setdefault(names_of_keys[key], "" if value in _ABSENT else value)

    release = _RELEASE.search(text)
    if release:
        strings["bios_major"], strings["bios_minor"] = map(_release, release.groups())

    return strings


def _release(number: str) -> str:
    """A BIOS release as it is hashed: these programs print it in decimal."""
    return f"{int(number):02x}"


def parse_fwupdtool(text: str) -> dict[str, str]:
    """The strings of a machine from `fwupdtool hwids`, which prints those that SMBIOS has, without surrounding spaces.

    A string that is present but blank becomes a space here: Microsoft's dialect does not treat it as missing.
    """
    lines = (line.partition(": ") for line in text.splitlines())
    strings = {_FWUPDTOOL[key]: value or " " for key, colon, value in lines if colon and key in _FWUPDTOOL}
    releases = {key: _release(strings[key]) for key in ("bios_major", "bios_minor") if _is_byte(strings.get(key, ""))}
    return {**strings, **releases}


def _is_byte(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3


def parse_analyze(text: str) -> dict[str, str]:
    """The strings of a machine from the legend of `systemd-analyze chid`, which prints some bytes as C escapes."""
    entries = (entry for entry in _ENTRY.findall(text) if entry[0] in _ANALYZE and entry[1] != "n/a")
    return {_ANALYZE[key]: _unescape(value) for key, value in entries}


def _unescape(text: str) -> str:
    def byte(match: re.Match[bytes]) -> bytes:
        code = match[1]
        return bytes([int(code, 8)]) if len(code) > 1 else _ESCAPES.get(code, code)

    plain = re.sub(rb"\\([0-3][0-7]{2}|.)", byte, text.encode("utf-8", "surrogateescape"), flags=re.DOTALL)
    return plain.decode("utf-8", "surrogateescape")


def parse_chid_listing(text: str) -> dict[int, UUID]:
    """CHIDs by type from `systemd-analyze chid`, with or without its legend."""
    rows = (_ROW.match(line) for line in text.splitlines())
    chids = {int(row[2]) + (_EXTRA if row[1] else 0): UUID(row[3]) for row in rows if row}
    return {kind: chid for kind, chid in chids.items() if kind <= _LAST}
