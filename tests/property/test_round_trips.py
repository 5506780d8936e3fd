"""What is encoded decodes to the same value, whatever the value."""

import bz2
import gzip
import lzma
import shlex
import subprocess
from collections.abc import Callable
from struct import pack
from typing import Any

import lz4.block
import lz4.frame
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from fuki_build.formats.pe import pe
from fuki_build.formats.pe.minimal_image import minimal_image
from fuki_build.formats.reader import Reader
from fuki_build.formats.uefi import authenticated_variable as auth
from fuki_build.formats.uefi import efi_signature_list
from fuki_build.formats.uefi.efi_signature_list import Signature, SignatureList
from fuki_build.formats.uefi.efi_time import EfiTime
from fuki_build.formats.uki import compression, efifw, env_file, hwids, kernel, sbat
from fuki_build.formats.uki.hwids import Device, DeviceType, Record
from fuki_build.hardware.chid import FIELDS, Dialect, chid
from fuki_build.hardware.machine import Machine

from .strategies import cuts

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=100)
U16, U32 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)


@given(NAMES.filter(bool), st.integers(1, 1 << 20), st.integers(0, 100))
def test_a_firmware_header_is_decoded_as_it_was_encoded(fwid: str, size: int, padding: int):
    head = efifw.encode_header(fwid, size)
    assert efifw.decode(head, len(head) + size + padding) == efifw.EfiFw(fwid, len(head), size)


devices = st.lists(
    st.builds(
        Device,
        type=st.sampled_from(DeviceType),
        name=NAMES,
        key=NAMES,
        chids=st.frozensets(st.uuids(allow_nil=False), max_size=4),
    ),
    max_size=6,
)


@given(devices)
def test_hardware_ids_are_decoded_as_they_were_encoded(wanted: list[Device]):
    records = hwids.decode(hwids.encode(wanted))
    assert set(records) == {Record(d.type, c, d.name, d.key) for d in wanted for c in d.chids}


@given(devices)
def test_hardware_ids_that_were_grouped_encode_to_the_same_records(wanted: list[Device]):
    records = hwids.decode(hwids.encode(wanted))
    assert hwids.decode(hwids.encode(hwids.group(records))) == records


signature_lists = st.integers(1, 60).flatmap(
    lambda size: st.builds(
        SignatureList,
        type=st.uuids().filter(lambda guid: guid not in efi_signature_list.DATA_SIZES),
        signatures=st.lists(
            st.builds(Signature, owner=st.uuids(), data=st.binary(min_size=size, max_size=size)), min_size=1, max_size=4
        ).map(tuple),
        header=st.binary(max_size=8),
    )
)


@given(st.lists(signature_lists, max_size=4).map(tuple))
def test_signature_lists_are_decoded_as_they_were_encoded(lists: tuple[SignatureList, ...]):
    assert efi_signature_list.decode(efi_signature_list.encode(lists)) == lists


TIMES = st.builds(EfiTime, U16, *[st.integers(0, 0xFF)] * 5)


@given(st.builds(auth.AuthenticatedPayload, TIMES, st.binary(min_size=1, max_size=60), st.binary(max_size=60)))
def test_authenticated_variables_are_decoded_as_they_were_encoded(value: auth.AuthenticatedPayload):
    assert auth.decode(auth.encode(value)) == value


VALUES = st.text(st.characters(exclude_characters="\0\n", exclude_categories=["Cs"]), max_size=60)
KEYS = st.from_regex(r"[A-Z_][A-Z0-9_]{0,12}", fullmatch=True)


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_assignments_are_decoded_as_they_were_encoded(values: dict[str, str]):
    assert env_file.decode(env_file.encode(values.items())) == values


@settings(max_examples=40)
@given(st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30), max_size=20))
def test_a_shell_reads_assignments_as_they_were_encoded(values: list[str]):
    names = [f"V{number}" for number in range(len(values))]
    script = env_file.encode(zip(names, values, strict=True)).decode()
    script += "".join(f'printf "%s\\n" "${name}"\n' for name in names)
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:-1] == values


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="\\$`")))
def test_a_quoted_value_is_what_a_shell_splits_off(value: str):
    assert env_file.decode(f"A={shlex.quote(value)}\n".encode()) == {"A": value}


_SBAT_FIELDS = st.from_regex(r"[ -+.-~]{0,20}[!-+.-~]", fullmatch=True)
COMPONENTS = st.tuples(
    st.from_regex(r"[a-z0-9.-]{1,20}", fullmatch=True),
    st.integers(0, 999).map(str),
    *[_SBAT_FIELDS] * 4,
).map(",".join)


@given(st.lists(st.lists(COMPONENTS, max_size=4), max_size=4))
def test_merged_tables_have_each_line_once_and_in_order(tables: list[list[str]]):
    lines = [line for table in tables for line in table]
    assert sbat.parse(sbat.merge(tables)) == tuple(dict.fromkeys(lines))


section_headers = st.builds(
    pe.SectionHeader,
    raw_name=st.binary(min_size=8, max_size=8),
    virtual_size=U32,
    virtual_address=U32,
    raw_size=st.integers(0, 0xFFFF),
    raw_offset=st.integers(0, 0xFFFF),
    relocations=U32,
    line_numbers=U32,
    number_of_relocations=U16,
    number_of_line_numbers=U16,
    flags=U32,
)


@given(st.sampled_from(pe.CoffMachine), st.lists(section_headers, max_size=12), st.integers(0, 5))
def test_pe_headers_are_decoded_as_they_were_encoded(
    machine: pe.CoffMachine, sections: list[pe.SectionHeader], spare: int
):
    headers = minimal_image(machine, len(sections) + spare).with_sections(tuple(sections))
    data = pe.encode(headers)
    assert len(data) == headers.optional.size_of_headers
    assert pe.decode(data, 0x20000) == headers
    assert headers.free_slots >= 0


def lz4_legacy(data: bytes) -> bytes:
    block = lz4.block.compress(data, store_size=False)
    return b"\x02\x21\x4c\x18" + pack("<I", len(block)) + block


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "lz4": lz4.frame.compress,
    "lz4-legacy": lz4_legacy,
    "zstd": zstandard.compress,
}


@pytest.mark.parametrize("name", PACK)
@settings(max_examples=60)
@given(st.binary(min_size=1, max_size=2000), st.integers(1, 2000), st.lists(st.integers(0), max_size=20))
def test_what_was_packed_is_unpacked_however_it_is_cut(name: str, block: bytes, times: int, places: list[int]):
    content = block * times
    packed = PACK[name](content)
    assert compression.detect(packed) == name
    assert b"".join(compression.decompress(name, cuts(packed, places))) == content


RELEASES = st.from_regex(r"[0-9]\.[0-9a-z.+~_-]{1,60}", fullmatch=True)


@settings(max_examples=50)
@given(RELEASES, st.integers(-300, 300), st.binary(max_size=300))
def test_a_release_is_found_wherever_it_stands(release: str, distance: int, behind: bytes):
    text = f"Linux version {release} (a@b)".encode()
    data = bytes((1 << 20) + distance) + text + behind
    assert kernel.release(Reader.of(data)) == release


FIELD_NAMES = sorted({name for names in FIELDS.values() for name in names})
field_texts: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {name: st.text(max_size=12) for name in FIELD_NAMES}
)
machines = field_texts.map(lambda fields: Machine(name="machine", **fields))


@given(machines, st.sampled_from(sorted(FIELDS)))
def test_the_dialects_agree_on_fields_that_are_there_and_need_no_stripping(machine: Machine, kind: int):
    fields = [getattr(machine, name) for name in FIELDS[kind]]
    # The stub drops characters beyond the Basic Multilingual Plane, and a NUL ends its strings.
    plain = all(fields) and not any(
        field.startswith((" ", "0")) or field.endswith(" ") or min(field) == "\0" or max(field) > "\uffff"
        for field in fields
    )
    microsoft, stub = chid(machine, kind, Dialect.MICROSOFT), chid(machine, kind, Dialect.STUB)
    assert (microsoft is None) == (not all(fields))
    assert (stub is None) == ("panel_id" in FIELDS[kind] and not machine.panel_id)
    if plain:
        assert microsoft == stub
