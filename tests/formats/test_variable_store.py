"""Stores of Debian's edk2 packages, and built ones as MdeModulePkg/Include/Guid/VariableFormat.h lays them out."""

from struct import pack
from uuid import UUID

import pytest

from fuki_build.errors import FormatError
from fuki_build.formats.reader import Reader
from fuki_build.formats.uefi import efi_time, variable_store
from fuki_build.formats.uefi.efi_time import EfiTime
from fuki_build.formats.uefi.variable_store import StoredVariable

VENDOR = UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
VOLUME = UUID("fff12b8d-7696-4c8b-a985-2747075b4f50").bytes_le
AUTHENTICATED = UUID("aaf32c78-947b-439a-a180-2e144ec37792").bytes_le
PLAIN = UUID("ddcf3616-3275-4164-98b6-fe85707ffe7d").bytes_le
TIME_BYTES = bytes.fromhex("ea07 0b 19 12 28 09 00 00000000 0000 00 00")
ADDED, REPLACING, DELETED, HALF = 0x3F, 0x3E, 0x3D, 0x7F


def variable(name: str, data: bytes, state: int = ADDED, time: bytes = bytes(16), raw: bytes | None = None) -> bytes:
    encoded = name.encode("utf-16-le") + b"\0\0" if raw is None else raw
    head = pack("<HBxIQ16sIII", 0x55AA, state, 7, 0, time, 0, len(encoded), len(data))
    found = head + VENDOR.bytes_le + encoded + data
    return found + b"\xff" * (-len(found) % 4)


def store(*variables: bytes, kind: bytes = AUTHENTICATED, size: int = 4000, state: int = 0xFE) -> bytes:
    head = kind + pack("<IBBxx4x", size, 0x5A, state)
    return (head + b"".join(variables)).ljust(4000, b"\xff")


def volume(content: bytes, size: int | None = None) -> bytes:
    total = 72 + len(content) if size is None else size
    return pack("<16x16sQ4sIHHHBB", VOLUME, total, b"_FVH", 0x4FEFF, 72, 0, 0, 0, 2) + bytes(16) + content


def names(data: bytes) -> list[str]:
    return [found.name for found in variable_store.decode(Reader.of(data)) or ()]


@pytest.mark.parametrize("name", ["ovmf-vars", "ovmf-generic", "ovmf-amdsev", "ovmf-2025"])
def test_a_store_as_built_is_empty_alone_and_with_the_code(part, name: str):
    assert variable_store.decode(Reader.of(part(name).read_bytes())) == ()


@pytest.mark.parametrize("name", ["ovmf-code", "stub-x64"])
def test_other_files_have_no_store(part, name: str):
    assert variable_store.decode(Reader.of(part(name).read_bytes())) is None


def test_debians_enrolled_store_has_secure_boots_variables(part):
    variables = {v.name: v for v in variable_store.decode(Reader.of(part("ovmf-vars-ms").read_bytes())) or ()}
    assert {"PK", "KEK", "db", "dbx"} <= set(variables)
    assert variables["PK"].vendor == VENDOR
    assert variables["db"].vendor == UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
    assert all(variables[name].attributes == 0x27 for name in ("PK", "KEK", "db", "dbx"))
    assert all(variables[name].timestamp > efi_time.NONE for name in ("PK", "KEK", "db", "dbx"))


def test_a_variable_is_read_whole():
    data = volume(store(variable("Lang", b"en\0", time=TIME_BYTES), variable("Next", b"")))
    time = EfiTime(year=2026, month=11, day=25, hour=18, minute=40, second=9)
    assert variable_store.decode(Reader.of(data)) == (
        StoredVariable(name="Lang", vendor=VENDOR, attributes=7, timestamp=time, data=b"en\0"),
        StoredVariable(name="Next", vendor=VENDOR, attributes=7, timestamp=efi_time.NONE, data=b""),
    )


def test_a_store_without_authentication_is_read():
    head = pack("<HBxIII", 0x55AA, ADDED, 7, 6, 2) + VENDOR.bytes_le
    data = volume(store(head + "ab".encode("utf-16-le") + b"\0\0" + b"hi", kind=PLAIN))
    assert variable_store.decode(Reader.of(data)) == (
        StoredVariable(name="ab", vendor=VENDOR, attributes=7, timestamp=efi_time.NONE, data=b"hi"),
    )


def test_a_store_is_found_behind_other_volumes():
    assert names(bytes(8192) + volume(store(variable("a", b"1")))) == ["a"]


@pytest.mark.parametrize("offset", [64 * 1024, 3 * 64 * 1024 + 4096])
def test_a_store_is_found_wherever_a_page_begins(offset: int):
    data = volume(store(variable("a", b"1")))
    assert names(bytes(offset) + data) == ["a"]
    assert variable_store.decode(Reader.of(bytes(offset + 8) + data)) is None


def test_a_store_may_have_no_room_at_all():
    assert variable_store.decode(Reader.of(volume(store(size=28)))) == ()


def test_of_two_that_were_written_firmware_finds_the_first():
    """FindVariableEx() of VariableParsing.c ends at the first one in the state VAR_ADDED."""
    data = volume(store(variable("a", b"1"), variable("b", b""), variable("a", b"2")))
    assert [(v.name, v.data) for v in variable_store.decode(Reader.of(data)) or ()] == [("a", b"1"), ("b", b"")]


def test_a_replaced_variable_stands_where_the_new_one_does():
    assert names(volume(store(variable("a", b"1", REPLACING), variable("b", b""), variable("a", b"2")))) == ["b", "a"]


def test_deleted_and_half_written_variables_do_not_count():
    content = [variable(name, b"", state) for name, state in (("a", DELETED), ("b", HALF), ("c", 0x3C), ("d", ADDED))]
    assert names(volume(store(*content))) == ["d"]


def test_a_variable_that_was_being_replaced_counts_until_it_is():
    old, new = variable("a", b"old", REPLACING), variable("a", b"new")
    for content, value in (((old,), b"old"), ((old, new), b"new"), ((new, old), b"new")):
        variables = variable_store.decode(Reader.of(volume(store(*content))))
        assert [v.data for v in variables or ()] == [value]


def test_variables_end_where_flash_is_erased():
    assert names(volume(store(variable("a", b""), b"\xff" * 64, variable("b", b"")))) == ["a"]


def test_a_variable_may_end_with_the_store():
    one = variable("a", b"1234")
    content = AUTHENTICATED + pack("<IBBxx4x", 28 + len(one), 0x5A, 0xFE) + one
    assert names(volume(content)) == ["a"]


def test_a_disk_image_is_refused_with_the_remedy():
    with pytest.raises(FormatError) as caught:
        variable_store.decode(Reader.of(b"QFI\xfb" + bytes(4096)))
    assert "qemu-img convert" in (caught.value.hint or "")


LIES = {
    "a volume larger than the file": volume(store(), size=1 << 40),
    "a volume without room for a store": volume(b""),
    "a store larger than its volume": volume(store(size=4001)),
    "a store smaller than its head": volume(store(size=27)),
    "a store that was never formatted": volume(store(state=0xFF)),
    "a store of another kind": volume(store(kind=bytes(16))),
    "a variable larger than the store": volume(store(variable("a", bytes(4000)))),
    "a name that does not end": volume(store(variable("", b"", raw=b"a\0b\0"))),
    "a name that ends early": volume(store(variable("", b"", raw=b"a\0\0\0b\0\0\0"))),
    "a name of nothing": volume(store(variable("", b"", raw=b"\0\0"))),
    "a name of three bytes": volume(store(variable("", b"", raw=b"a\0\0"))),
    "half a surrogate pair": volume(store(variable("", b"", raw=b"\0\xd8\0\0"))),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_store_that_lies_is_refused(lie: str):
    with pytest.raises(FormatError):
        variable_store.decode(Reader.of(LIES[lie]))


def test_a_variable_that_is_assigned_is_found_and_replaces_the_old_one():
    time = EfiTime(year=2026, month=11, day=25, hour=18, minute=40, second=9)
    before = volume(store(variable("Lang", b"en\0"), variable("Next", b"1")))
    after = variable_store.assign(
        before, StoredVariable(name="Lang", vendor=VENDOR, attributes=7, timestamp=time, data=b"longer than it was")
    )
    assert len(after) == len(before)
    assert variable_store.decode(Reader.of(after)) == (
        StoredVariable(name="Next", vendor=VENDOR, attributes=7, timestamp=efi_time.NONE, data=b"1"),
        StoredVariable(name="Lang", vendor=VENDOR, attributes=7, timestamp=time, data=b"longer than it was"),
    )


def test_a_variable_is_written_as_the_format_lays_it_out():
    before = volume(store(variable("Lang", b"en\0")))
    after = variable_store.assign(
        before,
        StoredVariable(
            name="Next",
            vendor=VENDOR,
            attributes=7,
            timestamp=EfiTime(year=2026, month=11, day=25, hour=18, minute=40, second=9),
            data=b"123",
        ),
    )
    expected = volume(store(variable("Lang", b"en\0"), variable("Next", b"123", time=TIME_BYTES)))
    assert after == expected


def test_a_replaced_variable_is_marked_as_deleted():
    before = volume(store(variable("Lang", b"en\0")))
    after = variable_store.assign(
        before, StoredVariable(name="Lang", vendor=VENDOR, attributes=7, timestamp=efi_time.NONE, data=b"de\0")
    )
    assert after == volume(store(variable("Lang", b"en\0", DELETED), variable("Lang", b"de\0")))


def test_a_store_without_authentication_has_no_times():
    written = StoredVariable(name="ab", vendor=VENDOR, attributes=7, timestamp=efi_time.NONE, data=b"hi")
    head = pack("<HBxIII", 0x55AA, ADDED, 7, 6, 2) + VENDOR.bytes_le
    expected = volume(store(head + "ab".encode("utf-16-le") + b"\0\0" + b"hi", kind=PLAIN))
    assert variable_store.assign(volume(store(kind=PLAIN)), written) == expected


def test_a_variable_may_fill_its_store_to_the_end():
    written = StoredVariable(name="a", vendor=VENDOR, attributes=7, timestamp=efi_time.NONE, data=b"1234")
    size = len(variable("a", b"1234"))
    for room, fits in ((size, True), (size - 4, False)):
        content = AUTHENTICATED + pack("<IBBxx4x", 28 + room, 0x5A, 0xFE) + b"\xff" * room
        if fits:
            assert variable_store.assign(volume(content), written) == volume(content[:28] + variable("a", b"1234"))
        else:
            with pytest.raises(FormatError, match="no room for a"):
                variable_store.assign(volume(content), written)


def test_a_variable_that_has_no_room_and_an_image_without_a_store_are_errors():
    large = StoredVariable(name="Large", vendor=VENDOR, attributes=7, timestamp=efi_time.NONE, data=bytes(5000))
    with pytest.raises(FormatError, match="no room for Large"):
        variable_store.assign(volume(store()), large)
    with pytest.raises(FormatError, match="no UEFI variable store"):
        variable_store.assign(bytes(8192), large)


def test_a_program_that_takes_the_last_of_a_name_is_told_all_that_were_written():
    written = (
        variable("a", b"1"),
        variable("a", b"2"),
        variable("b", b"3", REPLACING),
        variable("c", b"4", DELETED),
        variable("d", b"5", HALF),
        variable("b", b"6"),
    )
    stored = variable_store.decode_written(Reader.of(volume(store(*written))))
    assert [(v.name, v.data) for v in stored] == [("a", b"1"), ("a", b"2"), ("b", b"6")]
    assert variable_store.decode_written(Reader.of(bytes(8192))) == ()
