"""What dmidecode, fwupdtool and systemd-analyze print about a machine."""

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
"""The type that `systemd-analyze chid` calls ext0."""
_LAST = 17
# Values hold anything; what ends one is the next entry or the line.
_ENTRY = re.compile(r"\w (?:→|->) ([a-z-]+) \((.{0,1024}?)\)(?= \S+ \w (?:→|->) [a-z-]+ \(|\s*$)", re.MULTILINE)


def parse_dmidecode(text: str) -> dict[str, str]:
    """The strings of a machine from `dmidecode`'s text, the first structure of each kind counting."""
    found: dict[str, str] = {}
    names: dict[str, str] = {}
    for line in text.splitlines():
        if line and not line[0].isspace():
            names = _DMIDECODE.get(line.strip(), {})
            continue
        key, _, value = line.lstrip().partition(": ")
        if key in names:
            found.setdefault(names[key], "" if value in _ABSENT else value)
    release = _RELEASE.search(text)
    if release:
        found["bios_major"], found["bios_minor"] = map(_release, release.groups())
    return found


def _release(number: str) -> str:
    """A BIOS release as it is hashed: these programs print it in decimal."""
    return f"{int(number):02x}"


def parse_fwupdtool(text: str) -> dict[str, str]:
    """The strings of a machine from `fwupdtool hwids`, which prints those that SMBIOS has, stripped.

    One that is there and blank is a space here: Microsoft's dialect does not take it for missing.
    """
    lines = (line.partition(": ") for line in text.splitlines())
    found = {_FWUPDTOOL[key]: value or " " for key, colon, value in lines if colon and key in _FWUPDTOOL}
    releases = {key: _release(found[key]) for key in ("bios_major", "bios_minor") if _is_byte(found.get(key, ""))}
    return {**found, **releases}


def _is_byte(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3


def parse_analyze(text: str) -> dict[str, str]:
    """The strings of a machine from the legend of `systemd-analyze chid`, where C escapes stand for some bytes."""
    found = (entry for entry in _ENTRY.findall(text) if entry[0] in _ANALYZE and entry[1] != "n/a")
    return {_ANALYZE[key]: _unescape(value) for key, value in found}


def _unescape(text: str) -> str:
    def byte(match: re.Match[bytes]) -> bytes:
        code = match[1]
        return bytes([int(code, 8)]) if len(code) > 1 else _ESCAPES.get(code, code)

    plain = re.sub(rb"\\([0-3][0-7]{2}|.)", byte, text.encode("utf-8", "surrogateescape"), flags=re.DOTALL)
    return plain.decode("utf-8", "surrogateescape")


def parse_chid_listing(text: str) -> dict[int, UUID]:
    """CHIDs by type from `systemd-analyze chid`, whose legend may be missing."""
    rows = (_ROW.match(line) for line in text.splitlines())
    found = {int(row[2]) + (_EXTRA if row[1] else 0): UUID(row[3]) for row in rows if row}
    return {kind: chid for kind, chid in found.items() if kind <= _LAST}
