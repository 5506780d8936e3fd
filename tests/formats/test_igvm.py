import zlib
from contextlib import suppress
from struct import pack
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuki_build.errors import FormatError
from fuki_build.formats.confidential import id_block, igvm
from fuki_build.formats.confidential.id_block import IdAuth, IdBlock
from fuki_build.formats.confidential.igvm import data_hobs, id_block_header, native_context, partition
from fuki_build.formats.confidential.igvm.data_hobs import DataHob, DataKind
from fuki_build.formats.confidential.igvm.native_context import NativeRegisters
from fuki_build.formats.reader import Reader
from fuki_build.testing import igvm as written

HEADERS = [
    written.platform(1, written.SEV_SNP),
    written.platform(2, written.TDX),
    written.policy(1),
    written.area(0x2000, 7),
    written.parameter(0x30C, 7),
    written.page(0x100000, 0, mask=3),
    written.page(0x200000, 0, mask=2, flags=written.UNMEASURED),
    written.insert(0x300000, 7, mask=3),
    written.context(0xFFFFFFFFF000, 0, mask=1),
    written.snp_id_block(b"\x11" * 48),
    (0x80000999, b"later"),
]


def decode(data: bytes) -> igvm.Igvm:
    decoded = igvm.decode(Reader.of(data))
    assert decoded is not None
    return decoded


@pytest.mark.parametrize("version", [1, 2])
def test_headers_are_read_in_their_order(version: int):
    kinds = [type(directive).__name__ for directive in decode(written.build(HEADERS, version=version)).directives]
    assert kinds == [
        "SupportedPlatform", "SupportedPlatform", "GuestPolicy", "ParameterArea", "Parameter", "PageData", "PageData",
        "ParameterInsert", "VpContext", "SnpIdBlock", "Unknown",
    ]  # fmt: skip


def test_a_platform_sees_its_own_headers_and_those_without_a_mask():
    file = decode(written.build(HEADERS))
    gpas = [d.gpa for d in file.of(1) if isinstance(d, igvm.PageData)]
    assert gpas == [0x100000]
    assert [d.gpa for d in file.of(2) if isinstance(d, igvm.PageData)] == [0x100000, 0x200000]
    assert any(isinstance(d, igvm.ParameterArea) for d in file.of(2))


def test_a_page_is_the_file_s_bytes_and_empty_where_there_are_none():
    headers = [written.page(0, 0), written.page(0x1000, 1)]
    at = written.data_offset(headers)
    headers[1] = written.page(0x1000, at)
    file = decode(written.build(headers, b"\xaa" * 4096))
    empty, full = (d for d in file.directives if isinstance(d, igvm.PageData))
    assert file.page(empty) == b""
    assert file.page(full) == b"\xaa" * 4096


def test_a_page_outside_the_file_is_refused():
    file = decode(written.build([written.page(0, 0x10000)], bytes(4096)))
    (directive,) = file.directives
    assert isinstance(directive, igvm.PageData)
    with pytest.raises(FormatError, match="outside"):
        file.page(directive)


def test_registers_outside_the_file_are_told_with_their_vcpu():
    (directive,) = decode(written.build([written.context(0xFFFFFFFFF000, 0x10000, mask=1)])).directives
    assert isinstance(directive, igvm.VpContext)
    with pytest.raises(FormatError, match=r"^the registers of vCPU 0 lies outside"):
        decode(written.build([])).context(directive)


def test_the_architecture_is_that_of_the_second_version():
    head = igvm.encode([], b"", version=2, architecture=1)
    assert head[24:28] == b"\1\0\0\0"
    assert decode(head).header.architecture == 1
    assert decode(igvm.encode([], b"")).header.architecture == 0


def test_flags_say_how_a_page_is_measured():
    headers = [written.page(0, 0, flags=flags) for flags in (written.LARGE, written.UNMEASURED, written.SHARED)]
    directives = decode(written.build(headers)).directives
    large, unmeasured, shared = (directive for directive in directives if isinstance(directive, igvm.PageData))
    assert (large.size, unmeasured.unmeasured, shared.shared) == (0x200000, True, True)


def test_an_unknown_header_says_whether_it_may_be_skipped():
    directives = decode(written.build([(0x80000999, b""), (0x999, b"")])).directives
    one, other = (directive for directive in directives if isinstance(directive, igvm.Unknown))
    assert (one.optional, other.optional) == (True, False)


@pytest.mark.parametrize(("version", "size"), [(1, 24), (2, 32)])
def test_the_fixed_header_is_read_field_by_field(version: int, size: int):
    head = pack("<4sIIIII", b"IGVM", version, size, 8, size + 8, 7) + pack("<II", 1, 4096)
    header = igvm.decode_header(head)
    assert header is not None
    assert (header.version, header.headers_offset, header.headers_size, header.file_size) == (
        version,
        size,
        8,
        size + 8,
    )
    assert (header.checksum, header.size, header.page_size) == (7, size, 4096)
    assert header.architecture == version - 1


@pytest.mark.parametrize(
    ("version", "offset", "size", "total"),
    [(1, 16, 8, 99), (1, 28, 8, 99), (1, 24, 9, 32), (2, 24, 8, 99), (2, 32, 9, 40)],
)
def test_headers_that_do_not_fit_are_refused(version: int, offset: int, size: int, total: int):
    head = pack("<4sIIIIIII", b"IGVM", version, offset, size, total, 0, 0, 4096)
    with pytest.raises(FormatError, match=f"claims {size} bytes of headers at {offset}, the file has {total}"):
        igvm.decode_header(head)


@pytest.mark.parametrize("data", [b"", b"IGV", b"MZ" + bytes(100), bytes(64)])
def test_other_files_are_none(data: bytes):
    assert igvm.decode(Reader.of(data)) is None


LIES = {
    "a wrong checksum": written.build(HEADERS, checksum=1),
    "a later version": pack("<4sIIIII", b"IGVM", 3, 24, 0, 24, 0),
    "headers beyond the file": pack("<4sIIIII", b"IGVM", 1, 24, 100, 50, 0),
    "headers that start in the fixed header": pack("<4sIIIII", b"IGVM", 1, 16, 8, 64, 0) + bytes(40),
    "headers that are not aligned": pack("<4sIIIII", b"IGVM", 1, 28, 4, 64, 0) + bytes(40),
    "a file that is cut short": written.build(HEADERS, bytes(4096))[:-1],
    "gigabytes of headers": pack("<4sIIIII", b"IGVM", 1, 24, 0xFFFFFF00, 0xFFFFFFFF, 0),
    "pages of another size": pack("<4sIIIIIII", b"IGVM", 2, 32, 0, 32, 0, 0, 65536),
    "a header that is longer than the headers": written.build([(0x302, b"")])[:-4] + pack("<I", 0xFFFF),
    "a page header that is too short": written.build([(0x302, bytes(8))]),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_file_that_lies_is_refused(lie: str):
    with pytest.raises(FormatError):
        igvm.decode(Reader.of(LIES[lie]))


def test_a_header_that_is_longer_than_all_of_them_is_refused_by_itself():
    headers = pack("<II", 0x80000999, 8)
    fixed = pack("<4sIIIII", b"IGVM", 1, 24, len(headers), 24 + len(headers), 0)
    checksum = pack("<I", zlib.crc32(fixed + headers))
    with pytest.raises(FormatError, match="type 0x80000999 claims 8 bytes"):
        igvm.decode(Reader.of(fixed[:20] + checksum + headers))


def test_more_headers_than_a_guest_needs_are_refused():
    with pytest.raises(FormatError, match="headers"):
        igvm.decode(Reader.of(written.build([(0x80000999, b"")] * (igvm.MAX_HEADERS + 1))))


@given(st.binary(max_size=400), st.integers(0, 24))
def test_whatever_stands_in_the_headers_is_read_or_refused(noise: bytes, at: int):
    data = bytearray(written.build(HEADERS))
    data[at : at + len(noise)] = noise
    with suppress(FormatError):
        decoded = igvm.decode(Reader.of(bytes(data)))
        assert decoded is None or len(decoded.directives) <= igvm.MAX_HEADERS


@pytest.mark.parametrize("version", [1, 2])
def test_what_another_writer_wrote_is_written_again_byte_for_byte(version: int):
    data = written.build(HEADERS, bytes(4096), version)
    file = decode(data)
    start = igvm.data_offset(file.directives, version)
    assert igvm.encode(file.directives, data[start:], version) == data


U16, U32, U64 = (st.integers(0, (1 << bits) - 1) for bits in (16, 32, 64))
DIRECTIVES = st.one_of(
    st.builds(igvm.SupportedPlatform, U32, st.integers(0, 255), st.integers(0, 255), U16, U64),
    st.builds(igvm.GuestPolicy, U64, U32),
    st.builds(igvm.ParameterArea, U64, U32, U32),
    st.builds(igvm.PageData, U64, U32, U32, U32, U16),
    st.builds(igvm.ParameterInsert, U64, U32, U32),
    st.builds(igvm.VpContext, U64, U32, U32, U16),
    st.builds(igvm.RequiredMemory, U64, U32, U32, U32),
    st.builds(igvm.Parameter, st.sampled_from(sorted(igvm.PARAMETER_NAMES)), U32, U32),
    st.builds(igvm.Unknown, st.integers(0x400, 0xFFFFFFFF), st.binary(max_size=40)),
    st.builds(
        igvm.SnpIdBlock,
        *(U32, st.integers(0, 255), *(st.binary(min_size=n, max_size=n) for n in (48, 16, 16)), U32, U32, U32, U32),
        *(st.binary(min_size=n, max_size=n) for n in (144, 152, 144, 152)),
    ),
)


@given(st.lists(DIRECTIVES, max_size=20), st.binary(max_size=100), st.sampled_from([1, 2]))
def test_headers_are_decoded_as_they_were_encoded(directives: list[igvm.Directive], data: bytes, version: int):
    file = igvm.encode(directives, data, version)
    decoded = decode(file)
    assert decoded.directives == tuple(directives)
    assert file[igvm.data_offset(directives, version) :] == data
    assert decoded.header.file_size == len(file)


@pytest.mark.parametrize(
    "directive",
    [
        igvm.PageData(gpa=1 << 64, mask=1, file_offset=0, flags=0, kind=0),
        igvm.GuestPolicy(-1, 1),
        igvm.Parameter(igvm.VP_COUNT, 0, 1 << 32),
    ],
)
def test_a_value_that_does_not_fit_is_refused(directive: igvm.Directive):
    with pytest.raises(FormatError, match="does not fit"):
        igvm.encode([directive], b"")


def test_a_file_that_nobody_could_read_is_not_written():
    with pytest.raises(FormatError, match="4 GiB"):
        igvm.encode_head([], (1 << 32) - 24)
    assert igvm.encode_head([], (1 << 32) - 25)[16:20] == b"\xff" * 4
    with pytest.raises(FormatError, match="4 GiB"):
        igvm.encode_head([], 1 << 32)
    with pytest.raises(FormatError, match="headers"):
        igvm.encode_head([igvm.GuestPolicy(0, 1)] * (igvm.MAX_HEADERS + 1), 0)
    with pytest.raises(FormatError, match="version 3"):
        igvm.encode_head([], 0, version=3)


def test_native_registers_stand_where_the_format_has_them():
    # igvm_defs, IgvmNativeVpContextX64: 16 general registers, rip, rflags, idtr, gdtr, code, data, gs base, cr0 …
    data = native_context.encode(
        NativeRegisters(rax=1, r15=2, rip=3, idtr_limit=4, gdtr_limit=5, code_selector=6, data_limit=7, cr0=8, efer=9)
    )
    assert len(data) == 232
    at = {0: 1, 120: 2, 128: 3, 152: 4, 158: 5, 168: 6, 188: 7, 200: 8, 224: 9}
    assert {i: int.from_bytes(data[i : i + 2], "little") for i in at} == at
    assert native_context.decode(data + b"more").efer == 9


@given(st.lists(U16, min_size=35, max_size=35))
def test_native_registers_are_decoded_as_they_were_encoded(values: list[int]):
    registers = NativeRegisters._make(values)
    assert native_context.decode(native_context.encode(registers)) == registers


def test_a_register_that_does_not_fit_is_refused():
    with pytest.raises(FormatError, match="fit"):
        native_context.encode(NativeRegisters(code_limit=1 << 32))
    with pytest.raises(FormatError, match="cut short"):
        native_context.decode(bytes(231))


def test_a_hob_is_what_edk2_looks_for():
    # PI 1.8: type 4 (GUID extension), length, reserved, GUID; edk2's IgvmData.h: address, length, type, flags.
    page = data_hobs.encode([DataHob(0x4000000, 0x1234, DataKind.KERNEL)], 4096)
    guid = UUID("3dd177ff-b632-4e25-bef3-065063d55fc4").bytes_le
    assert page.startswith(pack("<HHI16sQQII", 4, 48, 0, guid, 0x4000000, 0x1234, 0x201, 0))
    assert page[48:56] == pack("<HHI", 0xFFFF, 8, 0)
    assert len(page) == 4096


@given(st.lists(st.builds(DataHob, U64, U64, U32, U32), max_size=84))
def test_hobs_are_decoded_as_they_were_encoded(hobs: list[DataHob]):
    assert data_hobs.decode(data_hobs.encode(hobs, 4096)) == tuple(hobs)


@given(st.binary(max_size=200))
def test_any_page_is_read_as_hobs_or_none(noise: bytes):
    assert len(data_hobs.decode(noise)) <= 4


def test_hobs_may_fill_all_the_space_that_there_is():
    hob = DataHob(0x4000000, 0x1234, DataKind.DB)
    assert data_hobs.decode(data_hobs.encode([hob], 48 + 8)) == (hob,)
    with pytest.raises(FormatError, match="has 55 bytes for HOBs, 56 are needed"):
        data_hobs.encode([hob], 55)


HOB_GUID = UUID("3dd177ff-b632-4e25-bef3-065063d55fc4").bytes_le
HOB = pack("<HHI16sQQII", 4, 48, 0, HOB_GUID, 1, 2, 3, 4)
LONG_HOB = pack("<HHI16sQQII8s", 4, 56, 0, HOB_GUID, 5, 6, 7, 8, b"more")


@pytest.mark.parametrize(
    ("page", "hobs"),
    [
        (HOB, [DataHob(1, 2, 3, 4)]),
        (LONG_HOB + HOB, [DataHob(5, 6, 7, 8), DataHob(1, 2, 3, 4)]),
        (HOB + b"\5" + HOB[1:] + HOB, [DataHob(1, 2, 3, 4)]),
        (HOB + HOB[:2] + b"\x2f" + HOB[3:] + HOB, [DataHob(1, 2, 3, 4)]),
        (HOB + HOB[:2] + b"\x31" + HOB[3:], [DataHob(1, 2, 3, 4)]),
        (HOB + HOB[:8] + bytes(16) + HOB[24:] + HOB, [DataHob(1, 2, 3, 4)]),
        (HOB[:-1], []),
    ],
)
def test_hobs_are_read_up_to_the_first_that_is_none(page: bytes, hobs: list[DataHob]):
    assert data_hobs.decode(page) == tuple(hobs)


def test_more_hobs_than_there_is_space_for_are_refused():
    with pytest.raises(FormatError, match="4096 bytes for HOBs"):
        data_hobs.encode([DataHob(0, 1, 1)] * 86, 4096)


KEYS = st.binary(min_size=148, max_size=148).map(lambda key: key.ljust(id_block.KEY_SIZE, b"\0"))
SIGNATURES = st.binary(min_size=144, max_size=144).map(lambda s: s.ljust(id_block.SIGNATURE_SIZE, b"\0"))
IDS = st.binary(min_size=16, max_size=16)


@given(
    st.builds(
        IdBlock,
        launch_digest=st.binary(min_size=48, max_size=48),
        policy=U64,
        family_id=IDS,
        image_id=IDS,
        svn=U32,
    ),
    st.builds(IdAuth, SIGNATURES, KEYS, SIGNATURES, KEYS),
)
def test_an_id_block_is_the_same_from_an_igvm_file(block: IdBlock, auth: IdAuth):
    header = id_block_header.encode(2, block, auth)
    assert id_block_header.decode(header, block.policy) == (block, auth)
    assert len(igvm.encode([header], b"")) == 24 + 8 + 48 + 56 + 2 * (144 + 152)


@pytest.mark.parametrize("author", [True, False])
def test_an_id_block_has_the_form_that_qemu_puts_back(author: bool):
    """igvm_defs, IGVM_VHS_SNP_ID_BLOCK: a key is its curve, four reserved bytes, x and y; a signature is r and s."""
    key = id_block.encode_key(1 << 568, 1 << 569)
    signature = id_block.encode_signature(1 << 570, 1 << 571)
    auth = IdAuth(signature, key, signature, key) if author else IdAuth(signature, key)
    header = id_block_header.encode(2, IdBlock(launch_digest=bytes(48), version=1), auth)

    short_key = b"\2\0\0\0" + bytes(4) + bytes(71) + b"\x01" + bytes(71) + b"\x02"
    assert header.id_key == short_key
    assert header.author_key == (short_key if author else bytes(152))
    assert header.id_signature == bytes(71) + b"\x04" + bytes(71) + b"\x08"
    assert (header.id_algorithm, header.author_algorithm, header.author_key_enabled) == (1, int(author), int(author))
    assert id_block_header.decode(header._replace(version=3), 0)[0].version == 3


def test_an_id_block_of_another_algorithm_is_refused():
    (header,) = decode(written.build([written.snp_id_block(bytes(48))])).directives
    assert isinstance(header, igvm.SnpIdBlock)
    with pytest.raises(FormatError, match="algorithm 7"):
        id_block_header.decode(header._replace(id_algorithm=7), 0)


@given(st.binary(min_size=1, max_size=9000))
def test_a_partition_holds_the_file_behind_its_size(data: bytes):
    image = partition.encode_prefix(len(data)) + data + bytes(partition.padding(len(data)))
    assert image[:4] == len(data).to_bytes(4, "little")
    assert len(image) % 4096 == 0
    decoded = partition.decode(Reader.of(image))
    assert decoded.read_at(0, decoded.size) == data


def test_a_partition_may_end_with_its_file():
    assert partition.decode(Reader.of(b"\4\0\0\0file")).read_at(0, 9) == b"file"


@pytest.mark.parametrize("size", [0, 1 << 32, -1])
def test_a_file_whose_size_does_not_fit_has_no_partition(size: int):
    with pytest.raises(FormatError, match=f"has {size} bytes"):
        partition.encode_prefix(size)
    assert partition.encode_prefix((1 << 32) - 1) == b"\xff" * 4


@pytest.mark.parametrize(
    "image",
    [b"", b"\1\0\0", bytes(4096), b"\xff\xff\0\0" + bytes(4092), b"\x05\0\0\0file", b"\x0c\0\0\0file"],
)
def test_a_partition_that_lies_is_refused(image: bytes):
    with pytest.raises(FormatError):
        partition.decode(Reader.of(image))
