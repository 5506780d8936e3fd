"""A machine: the SMBIOS strings by which firmware, fwupd and systemd-stub identify hardware."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from fuki_build.errors import FormatError, did_you_mean, raised_as
from fuki_build.formats import documents
from fuki_build.formats.hardware.smbios import readable


class Machine(Struct, frozen=True, kw_only=True):
    """One hardware identity. A string that is missing or empty in SMBIOS is empty here.

    Bytes of a string that are not UTF-8 become lone surrogates (PEP 383), so that no byte is lost; `smbios.readable`
    shows them.

    `chids` are pairs of type and id, for machines whose strings are unknown; they replace computed ids.
    """

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
    chids: tuple[tuple[int, UUID], ...] = ()

    def renamed(self, name: str) -> "Machine":
        return msgspec.structs.replace(self, name=name)


STRINGS = tuple(name for name in Machine.__struct_fields__ if name not in ("name", "chids"))
"""The fields that hold SMBIOS strings; files write them with hyphens."""


LAST_TYPE = 17
"""The highest type of CHID; 0 is the lowest."""


def from_table(table: Mapping[str, Any], name: str = "") -> Machine:
    """A machine from a TOML table with `name` and strings. Raises `FormatError`, also for an unknown key."""
    known = ["name", *(field.replace("_", "-") for field in STRINGS), "chids"]
    for key in table:
        if key not in known:
            raise FormatError(
                f"unknown key {key!r} in a machine", hint=did_you_mean(key, known) or f"known: {', '.join(known)}"
            )

    values = {key.replace("-", "_"): _string(key, value) for key, value in table.items() if key != "chids"}
    values.setdefault("name", name)

    try:
        chids = tuple((int(kind), UUID(text)) for kind, text in table.get("chids", {}).items())
    except (ValueError, AttributeError, TypeError):
        raise FormatError("the machine's 'chids' are not a table of UUIDs by type") from None

    wrong = [kind for kind, _ in chids if not 0 <= kind <= LAST_TYPE]
    if wrong:
        raise FormatError(f"there is no CHID type {wrong[0]}", hint=f"the types are 0 to {LAST_TYPE}")

    return Machine(**values, chids=chids)


def _string(key: str, value: object) -> str:
    """A string, or `{ hex = "…" }` with the bytes of a string that is not UTF-8. Raises `FormatError`."""
    if isinstance(value, str):
        return value
    if key != "name" and isinstance(value, dict) and set(value) == {"hex"}:
        try:
            data = bytes.fromhex(value["hex"])
        except (ValueError, TypeError):
            raise FormatError(f"the machine's {key!r} is not in hexadecimal") from None
        if b"\0" in data:
            raise FormatError(f"the machine's {key!r} has a NUL, which ends a string of SMBIOS")
        return data.decode("utf-8", "surrogateescape")

    raise FormatError(f"the machine's {key!r} is not a string")


def decode_file(data: bytes, name: str) -> Machine:
    """A machine file: TOML with one table `[machine]`. Raises `FormatError`."""
    with raised_as(FormatError, of=FormatError, about="this is not a machine file"):
        document = documents.decode_toml(data)

    table = document.get("machine")
    if set(document) != {"machine"} or not isinstance(table, dict):
        raise FormatError("a machine file has exactly one table, [machine]")

    machine = from_table(table, name)
    if not machine.chids and not any(getattr(machine, field) for field in STRINGS):
        raise FormatError("the machine has no strings", hint="give its manufacturer and product, or its chids")
    return machine


def encode_file(machine: Machine) -> bytes:
    """The machine file of a machine, in TOML."""
    strings = {field.replace("_", "-"): getattr(machine, field) for field in STRINGS}
    lines = ["[machine]", f"name = {_quote(readable(machine.name))}"]
    lines += [f"{key} = {_value(value)}" for key, value in strings.items() if value]
    if machine.chids:
        pairs = ", ".join(f'{kind} = "{chid}"' for kind, chid in sorted(machine.chids))
        lines.append(f"chids = {{ {pairs} }}")
    return ("\n".join(lines) + "\n").encode()


def _value(text: str) -> str:
    if text.isascii() or readable(text) == text:
        return _quote(text)
    return f'{{ hex = "{text.encode("utf-8", "surrogateescape").hex()}" }}'


def _quote(text: str) -> str:
    """A TOML basic string; JSON's escapes are valid in TOML, which also requires DEL to be escaped.

    A name that was taken from a file's may contain bytes that are not UTF-8.
    """
    return msgspec.json.encode(text.encode(errors="replace").decode()).decode().replace("\x7f", "\\u007f")


def from_strings(name: str, strings: Mapping[str, str]) -> Machine:
    """A machine from strings by field name."""
    return msgspec.structs.replace(Machine(name=name), **strings)
