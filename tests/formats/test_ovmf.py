"""Facts about the builds: Debian's packages of edk2 2025.02 and 2026.08, as sections of their metadata show them."""

from collections.abc import Callable
from pathlib import Path
from struct import pack, pack_into

import pytest

from fuki_build.errors import FormatError
from fuki_build.formats.confidential import ovmf
from fuki_build.formats.reader import Reader

Part = Callable[[str], Path]

BUILDS = ("ovmf-generic", "ovmf-amdsev", "ovmf-inteltdx", "ovmf-2025")
SECRETS, CPUID, HASHES = 2, 3, 0x10
BFV, CFV, TD_HOB = 0, 1, 2


def decode_file(path: Path) -> ovmf.Ovmf:
    image = ovmf.decode(Reader.of(path.read_bytes()))
    assert image is not None
    return image


@pytest.mark.parametrize("name", BUILDS)
def test_real_builds_have_sev_and_tdx_metadata(part: Part, name: str):
    image = decode_file(part(name))
    assert image.sev
    assert image.tdx


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ovmf-generic", True), ("ovmf-amdsev", True), ("ovmf-inteltdx", False), ("ovmf-2025", False)],
)
def test_only_some_builds_have_a_page_for_kernel_hashes(part: Part, name: str, expected: bool):
    sev = decode_file(part(name)).sev
    assert sev is not None
    assert (HASHES in [section.kind for section in sev]) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ovmf-generic", True), ("ovmf-amdsev", True), ("ovmf-inteltdx", True), ("ovmf-2025", False)],
)
def test_igvm_metadata_came_after_2025(part: Part, name: str, expected: bool):
    assert (ovmf.IGVM_METADATA in decode_file(part(name)).entries) is expected


@pytest.mark.parametrize("name", BUILDS)
def test_an_snp_launch_has_one_secrets_page_and_one_cpuid_page(part: Part, name: str):
    sev = decode_file(part(name)).sev
    assert sev is not None
    for kind in (SECRETS, CPUID):
        assert [section.size for section in sev if section.kind == kind] == [0x1000]


@pytest.mark.parametrize("name", BUILDS)
def test_an_snp_launch_covers_whole_pages(part: Part, name: str):
    sev = decode_file(part(name)).sev
    assert sev is not None
    assert all(section.address % 0x1000 == section.size % 0x1000 == 0 for section in sev)


@pytest.mark.parametrize("name", BUILDS)
def test_the_volumes_of_a_td_are_the_file(part: Part, name: str):
    tdx = decode_file(part(name)).tdx
    assert tdx is not None
    volumes = sorted((s.offset, s.raw_size) for s in tdx if s.kind in (BFV, CFV))
    assert volumes[0][0] == 0
    assert sum(size for _, size in volumes) == part(name).stat().st_size


@pytest.mark.parametrize("name", BUILDS)
def test_the_volumes_of_a_td_end_at_4_gib(part: Part, name: str):
    tdx = decode_file(part(name)).tdx
    assert tdx is not None
    assert max(s.address + s.memory_size for s in tdx if s.kind in (BFV, CFV)) == 1 << 32


@pytest.mark.parametrize("name", BUILDS)
def test_a_td_has_one_hob_page_range(part: Part, name: str):
    tdx = decode_file(part(name)).tdx
    assert tdx is not None
    assert [s.raw_size for s in tdx if s.kind == TD_HOB] == [0]


@pytest.mark.parametrize("name", ["ovmf-vars", "aavmf"])
def test_images_without_the_table_have_none(part: Part, name: str):
    assert ovmf.decode(Reader.of(part(name).read_bytes())) is None


@pytest.mark.parametrize("data", [b"", bytes(49), bytes(50), bytes(4096)])
def test_data_without_the_footer_have_no_table(data: bytes):
    assert ovmf.decode(Reader.of(data)) is None


def entry(guid: object, data: bytes) -> bytes:
    return data + pack("<H", len(data) + 18) + guid.bytes_le  # type: ignore[attr-defined]


def image(*entries: bytes, head: bytes = b"", length: int | None = None) -> Reader:
    table = b"".join(reversed(entries))
    footer = pack("<H", len(table) + 18 if length is None else length) + ovmf.FOOTER.bytes_le
    return Reader.of(head + table + footer + bytes(32))


def test_entries_are_found_by_their_guids():
    metadata = ovmf.decode(image(entry(ovmf.SEV_ES_RESET, b"\x04\xb0\x80\0"), entry(ovmf.SVSM_INFO, b"12345678")))
    assert metadata is not None
    assert metadata.entries == {ovmf.SEV_ES_RESET: b"\x04\xb0\x80\0", ovmf.SVSM_INFO: b"12345678"}
    assert (metadata.sev, metadata.tdx) == (None, None)


def test_an_entry_may_have_no_data():
    table = ovmf.decode(image(entry(ovmf.SVSM_INFO, b""), entry(ovmf.SEV_ES_RESET, b"1234")))
    assert table is not None
    assert table.entries == {ovmf.SVSM_INFO: b"", ovmf.SEV_ES_RESET: b"1234"}


def test_an_empty_table_has_no_entries():
    metadata = ovmf.decode(image())
    assert metadata is not None
    assert metadata.entries == {}


def test_entries_are_named():
    metadata = ovmf.decode(image(entry(ovmf.SEV_HASH_TABLE, bytes(8))))
    assert metadata is not None
    assert metadata.entry_names == ("SEV kernel hash table",)


def metadata(guid: object, content: bytes, distance: int | None = None) -> Reader:
    """An image whose one entry points at `content`, which stands first in it."""
    size = len(content) + 22 + 18 + 32
    return image(entry(guid, pack("<I", size if distance is None else distance)), head=content)


@pytest.mark.parametrize("count", [0, 1, 1024])
def test_metadata_are_read_row_by_row_from_the_start_of_the_file(count: int):
    """OvmfSevMetadata.asm and IntelTdxMetadata.asm: the rows; more bytes may be claimed than they need."""
    rows = b"".join(pack("<III", 0x1000 * number, 0x1000, 3) for number in range(count))
    sev = ovmf.decode(metadata(ovmf.SEV_METADATA, pack("<4sIII", b"ASEV", 16 + len(rows), 1, count) + rows))
    assert sev is not None
    assert sev.sev == tuple(ovmf.SevSection(0x1000 * number, 0x1000, 3) for number in range(count))

    igvm = ovmf.decode(metadata(ovmf.IGVM_METADATA, pack("<4sIII", b"IGVM", 17 + len(rows), 1, count) + rows))
    assert igvm is not None
    assert igvm.igvm == tuple(ovmf.IgvmSection(0x1000 * number, 0x1000, 3) for number in range(count))

    rows = b"".join(pack("<IIQQII", number, 1, 2, 3, 4, 5) for number in range(count))
    tdx = ovmf.decode(metadata(ovmf.TDX_METADATA, pack("<4sIII", b"TDVF", 16 + len(rows), 1, count) + rows))
    assert tdx is not None
    assert tdx.tdx == tuple(ovmf.TdxSection(number, 1, 2, 3, 4, 5) for number in range(count))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (metadata(ovmf.SEV_METADATA, b"", 95), r"^the SEV metadata would start 95 bytes before the end"),
        (image(entry(ovmf.SEV_METADATA, b"123")), r"^the SEV metadata entry is cut short"),
        (metadata(ovmf.TDX_METADATA, b"", 4), r"^the TDX metadata lies outside the data"),
        (
            metadata(ovmf.TDX_METADATA, pack("<4sIII", b"AAAA", 16, 1, 0)),
            r"TDX metadata are not understood \(magic b'AAAA'",
        ),
        (metadata(ovmf.IGVM_METADATA, pack("<4sIII", b"IGVM", 27, 1, 1) + bytes(12)), "IGVM metadata claim 27 bytes"),
        (image(length=17), "claims 17 bytes, which do not fit"),
        (image(bytes(16 + 2)), "claims 0 bytes, 18 are left"),
    ],
)
def test_a_table_that_lies_is_told_by_its_name(image: Reader, message: str):
    with pytest.raises(FormatError, match=message):
        ovmf.decode(image)


def test_of_two_entries_of_one_name_the_one_nearer_to_the_end_counts():
    table = ovmf.decode(image(entry(ovmf.SEV_ES_RESET, b"near"), entry(ovmf.SEV_ES_RESET, b"away")))
    assert table is not None
    assert table.entries == {ovmf.SEV_ES_RESET: b"near"}


LIES = {
    "a table of less than its footer": image(length=17),
    "a table longer than the file": image(length=0xFFFF),
    "an entry smaller than its own tail": image(bytes(16 + 2)),
    "an entry longer than the table": image(pack("<H", 19) + ovmf.SEV_ES_RESET.bytes_le),
    "an entry cut short": image(b"abc"),
    "a distance cut short": image(entry(ovmf.SEV_METADATA, b"\1\2\3")),
    "SEV metadata before the file": metadata(ovmf.SEV_METADATA, b"", 0xFFFFFFFF),
    "SEV metadata at the end": metadata(ovmf.SEV_METADATA, b"", 4),
    "SEV metadata without magic": metadata(ovmf.SEV_METADATA, pack("<4sIII", b"AAAA", 16, 1, 0)),
    "SEV metadata of an unknown version": metadata(ovmf.SEV_METADATA, pack("<4sIII", b"ASEV", 16, 2, 0)),
    "a million SEV sections": metadata(ovmf.SEV_METADATA, pack("<4sIII", b"ASEV", 16, 1, 1_000_000)),
    "a thousand SEV sections": metadata(ovmf.SEV_METADATA, pack("<4sIII", b"ASEV", 16, 1, 1025) + bytes(1025 * 12)),
    "a thousand TDX sections": metadata(ovmf.TDX_METADATA, pack("<4sIII", b"TDVF", 16, 1, 1025) + bytes(1025 * 32)),
    "more SEV sections than bytes": metadata(ovmf.SEV_METADATA, pack("<4sIII", b"ASEV", 16, 1, 20)),
    "TDX metadata at the end": metadata(ovmf.TDX_METADATA, b"", 4),
    "TDX metadata without magic": metadata(ovmf.TDX_METADATA, pack("<4sIII", b"AAAA", 16, 1, 0)),
    "a million TDX sections": metadata(ovmf.TDX_METADATA, pack("<4sIII", b"TDVF", 16, 1, 1_000_000)),
    "TDX metadata that claim fewer bytes than they have": metadata(
        ovmf.TDX_METADATA, pack("<4sIII", b"TDVF", 16, 1, 1) + bytes(32)
    ),
    "SEV metadata that claim fewer bytes than they have": metadata(
        ovmf.SEV_METADATA, pack("<4sIII", b"ASEV", 27, 1, 1) + bytes(12)
    ),
    "more TDX sections than bytes": metadata(ovmf.TDX_METADATA, pack("<4sIII", b"TDVF", 16, 1, 20)),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_table_that_lies_is_refused(lie: str):
    with pytest.raises(FormatError):
        ovmf.decode(LIES[lie])


def test_a_real_table_with_a_wrong_length_is_refused(part: Part):
    data = bytearray(part("ovmf-generic").read_bytes())
    pack_into("<H", data, len(data) - 50, 19)
    with pytest.raises(FormatError):
        ovmf.decode(Reader.of(bytes(data)))


@pytest.mark.parametrize("name", BUILDS)
def test_other_vcpus_start_where_the_reset_block_says(part: Part, name: str):
    """PcdSevEsWorkAreaBase + 4 in OvmfPkg, the same in all these builds."""
    assert decode_file(part(name)).reset_address == 0x80B004


@pytest.mark.parametrize(
    ("name", "expected"), [("ovmf-generic", 0x810C00), ("ovmf-amdsev", 0x810C00), ("ovmf-inteltdx", None)]
)
def test_the_hash_table_has_a_place_or_none(part: Part, name: str, expected: int | None):
    assert decode_file(part(name)).hash_table_address == expected


def test_igvm_metadata_name_the_pages_that_a_loader_fills(part: Part):
    sections = decode_file(part("ovmf-generic")).igvm
    assert sections is not None
    kinds = [ovmf.kind_name(ovmf.IgvmKind, section.kind) for section in sections]
    assert kinds == ["PARAMETER_AREA", "MEMORY_MAP", "VP_COUNT", "HOB_AREA"]


def test_the_igvm_metadata_of_the_tdx_build_are_empty(part: Part):
    assert decode_file(part("ovmf-inteltdx")).igvm == ()


def test_builds_of_2022_with_variables_apart_have_no_metadata(part: Part):
    image = decode_file(part("ovmf-2022-code"))
    assert (image.sev, image.tdx) == (None, None)


def test_an_unknown_kind_is_a_number():
    assert ovmf.kind_name(ovmf.SevKind, 0x77) == "0x77"


def test_an_address_that_is_cut_short_is_refused():
    metadata = ovmf.decode(image(entry(ovmf.SEV_ES_RESET, b"\1\2")))
    assert metadata is not None
    with pytest.raises(FormatError, match="reset block"):
        _ = metadata.reset_address
