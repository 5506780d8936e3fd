"""Machines, however they are told, and what the stub does on them: for all inputs."""

from collections.abc import Mapping
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuki_build.errors import FormatError
from fuki_build.formats.hardware import dmi_text, fdt, smbios
from fuki_build.formats.reader import Reader
from fuki_build.formats.uki import hwids
from fuki_build.formats.uki.hwids import Device, DeviceType
from fuki_build.hardware import capture
from fuki_build.hardware.chid import STUB_ORDER, WIDE_TO_NARROW, Dialect, chid, stub_chids
from fuki_build.hardware.machine import STRINGS, Machine, decode_file, encode_file, from_table
from fuki_build.image.blob import Blob
from fuki_build.image.firmware import slices
from fuki_build.image.section import Section
from fuki_build.image.selection import find
from fuki_build.recipe.machines import Declared, choose_devices
from tests.support.smbios import dump, table

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
SMBIOS_STRING = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60)
TABLE_FIELDS = (
    "bios_vendor",
    "bios_version",
    "manufacturer",
    "product",
    "sku",
    "family",
    "baseboard_manufacturer",
    "baseboard_product",
)
TABLES = st.dictionaries(st.sampled_from(TABLE_FIELDS), SMBIOS_STRING)
MACHINES = st.builds(Machine, name=TEXT, **dict.fromkeys(STRINGS, TEXT))
FEW = st.sampled_from(["", "a", "b", " a", "0a"])
SIMILAR = st.builds(Machine, name=st.just("m"), **dict.fromkeys(STRINGS[:4] + STRINGS[8:10], FEW))


@given(TABLES, st.tuples(st.integers(0, 255), st.integers(0, 255)), st.integers(0, 255))
def test_a_table_tells_what_was_put_into_it(values: Mapping[str, str], release: tuple[int, int], enclosure: int):
    machine = smbios.identity(smbios.split_dump(dump(table(values, release, enclosure))))
    assert {field: machine[field] for field in TABLE_FIELDS if machine[field]} == values
    assert (machine["bios_major"], machine["bios_minor"]) == (f"{release[0]:02x}", f"{release[1]:02x}")
    assert machine["enclosure_type"] == f"{enclosure:x}"


@given(TABLES, st.data())
def test_a_table_that_is_cut_or_changed_is_refused_or_read(values: Mapping[str, str], data: st.DataObject):
    damaged = bytearray(dump(table(values)))
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=4)):
        damaged[at] = data.draw(st.integers(0, 255))
    try:
        machine = capture.decode(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]), "x")
    except FormatError:
        return
    assert machine.name == "x"
    assert stub_chids(machine).keys() <= set(STUB_ORDER)


@given(st.binary(max_size=400) | TEXT.map(str.encode))
def test_anything_is_a_machine_or_refused(data: bytes):
    try:
        machine = capture.decode(data, "x")
    except FormatError:
        return
    assert any(getattr(machine, field) for field in STRINGS) or machine.chids or b"\1" in data


LINES = st.lists(
    st.tuples(
        st.sampled_from(
            ["Manufacturer: ", "\tManufacturer: ", "System Information", "BiosMajorRelease: ", "LEGEND: M → family (",
             "\tBIOS Revision: ", "9 x 0cf8618d-9eff-537c-9f35-46861406eb9c", "ext0 x ", "[machine]\nname = ", "\\"],
        ),
        TEXT,
    )
)  # fmt: skip


@given(LINES)
def test_any_text_of_a_tool_is_read_or_refused(lines: list[tuple[str, str]]):
    text = "\n".join(head + tail for head, tail in lines)
    for parse in (dmi_text.parse_dmidecode, dmi_text.parse_fwupdtool, dmi_text.parse_analyze):
        assert set(parse(text)) <= set(STRINGS)
    assert set(dmi_text.parse_chid_listing(text)) <= set(range(18))
    try:
        capture.decode(text.encode(), "x")
    except FormatError:
        return


@given(MACHINES, st.dictionaries(st.integers(0, 17), st.uuids()))
def test_a_machine_file_tells_what_was_written(machine: Machine, chids: Mapping[int, UUID]):
    known = Machine(**{f: getattr(machine, f) for f in ("name", *STRINGS)}, chids=tuple(sorted(chids.items())))
    if chids or any(getattr(machine, field) for field in STRINGS):
        assert decode_file(encode_file(known), "other") == known
    else:
        with pytest.raises(FormatError):
            decode_file(encode_file(known), "other")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["name", "manufacturer", "bios-major", "chids", "chid"]) | TEXT, VALUES))
def test_any_table_is_a_machine_or_refused(values: dict[str, object]):
    try:
        machine = from_table(values)
    except FormatError:
        return
    assert set(values) <= {"name", "chids", *(field.replace("_", "-") for field in STRINGS)}
    assert all(isinstance(value, UUID) and 0 <= kind <= 17 for kind, value in machine.chids)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_devicetree_is_read_or_refused(structure: bytes, strings: bytes):
    head = b"".join(n.to_bytes(4, "big") for n in (0xD00DFEED, 0, 40, 40 + len(structure), 40, 17, 16, 0, 0, 0))
    compatible = fdt.compatible(Reader.of(head + structure + strings))
    assert compatible is None or isinstance(compatible, str)


@given(MACHINES, st.integers(0, 17))
def test_blanks_around_and_zeros_before_a_string_do_not_count(machine: Machine, kind: int):
    strings = {f: getattr(machine, f).strip(" ").lstrip("0").lstrip(" 0") for f in STRINGS[:6] + STRINGS[8:10]}
    plain = Machine(name="x", **strings, panel_id=machine.panel_id)
    fillers: dict[str, Any] = {f: f"  00{text}  " for f, text in strings.items()}
    padded = Machine(name="x", **fillers, panel_id=machine.panel_id)
    if kind not in (0, 1, 2, 12):
        assert chid(padded, kind, Dialect.STUB) == chid(plain, kind, Dialect.STUB)


ROWS = st.lists(st.tuples(st.sampled_from(DeviceType), SIMILAR, st.sampled_from(STUB_ORDER), st.sampled_from("abc")))


@given(ROWS, SIMILAR)
def test_what_is_found_is_what_the_stubs_nested_loops_find(
    rows: list[tuple[DeviceType, Machine, int, str]], machine: Machine
):
    listed = [(kind, value, key) for kind, other, type_, key in rows if (value := stub_chids(other).get(type_))]
    devices = [Device(kind, f"{n}", key, frozenset({value})) for n, (kind, value, key) in enumerate(listed)]
    (part,) = slices([Section(name=".hwids", content=Blob.of_bytes(hwids.encode(devices)), source="")])
    for device_type in DeviceType:
        expected = next(
            (
                (type_, str(n))
                for type_, (n, (kind, value, _)) in product(STUB_ORDER, enumerate(listed))
                if kind is device_type and value == stub_chids(machine).get(type_)
            ),
            None,
        )
        hit = find(part, machine, device_type)
        assert (hit and (hit.kind, hit.record.name)) == expected


@given(st.lists(st.tuples(SIMILAR, st.sampled_from(["one", "two", "three"])), min_size=1, max_size=6))
def test_machines_that_some_id_tells_apart_select_the_firmware_that_is_meant(pairs: list[tuple[Machine, str]]):
    declared = [
        Declared(machine=machine, group="group", fwid=fwid, profile=None, types=WIDE_TO_NARROW, forced=False, where="")
        for machine, fwid in pairs
    ]
    devices = list(choose_devices(declared, []))
    (part,) = slices([Section(name=".hwids", content=Blob.of_bytes(hwids.encode(devices)), source="")])
    ids = {(fwid, value) for machine, fwid in pairs for value in stub_chids(machine).values()}

    def alone(machine: Machine, fwid: str) -> bool:
        own = [stub_chids(machine)[kind] for kind in WIDE_TO_NARROW]
        return any(all((other, value) not in ids for other in {"one", "two", "three"} - {fwid}) for value in own)

    if all(alone(machine, fwid) for machine, fwid in pairs):
        for machine, fwid in pairs:
            hit = find(part, machine, DeviceType.UEFI_FW)
            assert hit is not None
            assert hit.record.key == fwid
