"""Firmware that lies: refused with a clear error, with little memory and in little time."""

from collections.abc import Sequence
from itertools import product
from struct import pack, pack_into
from typing import Any

import parts
import pytest
from fuki_build.errors import FormatError, RecipeError
from fuki_build.formats.confidential import ovmf
from fuki_build.hooks import DirectBoot, LaunchParameters
from fuki_build.testing import igvm as written
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fuki_coco import snp_digest
from fuki_coco.memory import check_apart, check_firmware, check_parameters, check_range, check_ranges
from fuki_coco.snp import SevSnp
from fuki_coco.tdx import Tdx

BOOT = DirectBoot(name="boot", kernel=bytes(32), initrd=bytes(32), cmdline=bytes(32))
ONE = LaunchParameters(cpu_models=("EPYC",))


def entry(guid: Any, data: bytes) -> bytes:
    return data + pack("<H", len(data) + 18) + guid.bytes_le


def firmware(
    sev: Sequence[tuple[int, int, int]] = (), tdx: Sequence[tuple[int, ...]] = (), *, reset: bool = True, table: int = 0
) -> bytes:
    """64 KiB of firmware with these sections in its metadata."""
    data = bytearray(0x10000)

    pack_into("<4sIII", data, 0x1000, b"ASEV", 16 + 12 * len(sev), 1, len(sev))
    for number, section in enumerate(sev):
        pack_into("<III", data, 0x1010 + 12 * number, *section)

    pack_into("<4sIII", data, 0x8000, b"TDVF", 16 + 32 * len(tdx), 1, len(tdx))
    for number, row in enumerate(tdx):
        pack_into("<IIQQII", data, 0x8010 + 32 * number, *row)

    entries = entry(ovmf.SEV_METADATA, pack("<I", 0xF000)) + entry(ovmf.TDX_METADATA, pack("<I", 0x8000))
    entries += entry(ovmf.SEV_HASH_TABLE, pack("<II", table, 0x400))
    if reset:
        entries += entry(ovmf.SEV_ES_RESET, pack("<I", 0x80B004))

    entries += pack("<H", len(entries) + 18) + ovmf.FOOTER.bytes_le
    data[-32 - len(entries) : -32] = entries
    return bytes(data)


SEV_LIES = {
    "4 GiB in one section": ([(0, 0xFFFFF000, 1)], "more than|overlap"),
    "a thousand sections of 4 MiB": ([(n << 22, 1 << 22, 1) for n in range(1000)], "more than"),
    "two sections in one place": ([(0x1000, 0x2000, 1), (0x2000, 0x1000, 2)], "overlap"),
    "a section over the firmware": ([(0xFFFF8000, 0x1000, 1)], "overlap"),
    "half a page": ([(0x1800, 0x1000, 1)], "whole pages"),
    "a size of half a page": ([(0x1000, 0x800, 1)], "whole pages"),
    "a kind that no one knows": ([(0x1000, 0x1000, 9)], "unknown kind 0x9"),
    "two pages of secrets": ([(0x1000, 0x2000, 2)], "not one page"),
}


@pytest.mark.parametrize("lie", SEV_LIES)
def test_sev_metadata_that_lie_are_refused(lie: str):
    sections, message = SEV_LIES[lie]
    with pytest.raises(FormatError, match=message):
        SevSnp().predict(firmware(sections), ONE)


def test_a_hash_table_outside_its_page_is_refused():
    with pytest.raises(FormatError, match="not in that page"):
        SevSnp().predict(firmware([(0x1000, 0x1000, 0x10)], table=0x5000), LaunchParameters(boots=(BOOT,)))


def test_hashes_over_the_end_of_their_page_are_refused():
    with pytest.raises(FormatError, match="cross"):
        SevSnp().predict(firmware([(0x1000, 0x1000, 0x10)], table=0x1FFF), LaunchParameters(boots=(BOOT,)))


def test_other_vcpus_need_a_reset_block():
    data = firmware([(0x1000, 0x1000, 1)], reset=False)
    assert SevSnp().predict(data, ONE) is not None
    with pytest.raises(FormatError, match="other vCPUs"):
        SevSnp().predict(data, LaunchParameters(vcpus=(2,)))


BFV = (0, 0x1000, 0xFFFFF000, 0x1000, 0, 1)
TDX_LIES = {
    "a terabyte of memory": ([BFV, (0, 0, 0, 1 << 30, 3, 0)], "more than"),
    "measured memory by the gigabyte": ([(0, 0x1000, 0, 1 << 27, 0, 1)], "would measure"),
    "the same bytes a thousand times": ([(0, 0x10000, n << 16, 0x10000, 0, 1) for n in range(900)], None),
    "content beyond the file": ([(0xF000, 0x2000, 0, 0x2000, 0, 1)], "outside the firmware"),
    "more content than memory": ([(0, 0x2000, 0, 0x1000, 0, 1)], "room for"),
    "sections in one place": ([BFV, *[(0, 0, 0x1000, 0x1000, 3, 0)] * 2], "overlap"),
    "half a page": ([BFV, (0, 0, 0x800, 0x1000, 3, 0)], "whole pages"),
    "an end beyond 64 bits": ([BFV, (0, 0, (1 << 64) - 0x1000, 0x1000, 3, 0)], "beyond"),
    "no sections": ([], "no BFV section"),
    "no firmware": ([(0, 0, 0x1000, 0x1000, 3, 0)], "no BFV section"),
    "a kind that no one knows": ([BFV, (0, 0, 0x1000, 0x1000, 9, 0)], "unknown kind 0x9"),
    "a kind that no one knows, of no memory": ([BFV, (0, 0, 0x1000, 0, 9, 0)], "unknown kind 0x9"),
    "firmware of no memory": ([(0, 0x1000, 0xFFFFF000, 0, 0, 1)], "BFV section is empty"),
    "firmware of no content": ([(0, 0, 0xFFFFF000, 0x1000, 0, 1)], "BFV section is empty"),
    "attributes that no one knows": ([BFV, (0, 0, 0x1000, 0x1000, 3, 4)], "unknown attributes 0x4"),
    "variables beyond the file": ([BFV, (0xF000, 0x2000, 0, 0x2000, 1, 0)], "outside the firmware"),
    "variables that are more than their memory": ([BFV, (0, 0x2000, 0, 0x1000, 1, 0)], "room for"),
    "temporary memory with content": ([BFV, (0, 0x1000, 0, 0x1000, 3, 0)], "nobody loads"),
    "firmware over firmware": ([BFV, BFV], "overlap"),
    "memory of later over firmware": ([BFV, (0, 0, 0xFFFFE000, 0x2000, 4, 2)], "overlap"),
    "firmware that comes later": ([(0, 0x1000, 0xFFFFF000, 0x1000, 0, 2)], "only PERM_MEM"),
    "memory of later that is measured": ([BFV, (0, 0, 0, 0x1000, 4, 3)], "only when the guest runs"),
    "two lists of hand-off blocks": ([BFV, (0, 0, 0, 0x1000, 2, 0), (0, 0, 0x1000, 0x1000, 2, 0)], "more than one"),
}


@pytest.mark.parametrize("lie", TDX_LIES)
def test_tdx_metadata_that_lie_are_refused_or_small(lie: str):
    sections, message = TDX_LIES[lie]
    data = firmware(tdx=sections)
    if message is None:
        assert Tdx().predict(data, ONE) is not None
        return
    with pytest.raises(FormatError, match=message):
        Tdx().predict(data, ONE)


def test_memory_that_is_added_later_is_no_part_of_the_launch():
    late = firmware(tdx=[BFV, (0, 0, 0x100000000, 1 << 40, 4, 2)])
    assert Tdx().predict(late, ONE) == Tdx().predict(firmware(tdx=[BFV]), ONE)


def test_sections_of_no_memory_are_passed_over_as_builds_leave_them_in():
    empty = firmware(tdx=[BFV, (0, 0, 0x1000, 0, 3, 0)])
    assert Tdx().predict(empty, ONE) == Tdx().predict(firmware(tdx=[BFV]), ONE)


def test_an_igvm_file_that_adds_nothing_or_a_page_twice_is_refused_for_tdx():
    platform = written.platform(1, written.TDX)
    with pytest.raises(FormatError, match="adds no memory"):
        Tdx().predict(written.build([platform]), ONE)
    with pytest.raises(FormatError, match="overlap"):
        Tdx().predict(written.build([platform, written.page(0x1000, 0), written.page(0x1000, 0)]), ONE)


def test_page_data_of_an_unknown_kind_in_an_igvm_file_is_refused():
    headers = [written.platform(1, written.SEV_SNP), written.page(0x1000, 0, kind=9)]
    with pytest.raises(FormatError, match="unknown kind 0x9"):
        SevSnp().predict(written.build(headers), LaunchParameters(vmms=("hyperv",)))


def test_firmware_larger_than_any_is_refused():
    data = bytes(64 * 1024 * 1024) + parts.get("ovmf-generic").read_bytes()
    for model in (SevSnp(), Tdx()):
        with pytest.raises(FormatError, match="more than"):
            model.predict(data, ONE)


def test_limits_are_of_the_last_that_may_be():
    assert check_firmware(bytes(64 << 20)) == (1 << 32) - (64 << 20)
    check_parameters(LaunchParameters(vcpus=(1, 4096), guest_features=(0, (1 << 64) - 1)))
    for odd in (LaunchParameters(vcpus=(4097,)), LaunchParameters(guest_features=(-1,))):
        with pytest.raises(RecipeError):
            check_parameters(odd)

    # Addresses have 52 bits at most (AMD, APM 2, 5.3), ranges may touch, and an empty one is nowhere.
    check_range("x", (1 << 52) - 0x1000, 0x1000)
    check_ranges([("one", 0, 64 << 20), ("none", 0x800, 0), ("two", 64 << 20, 64 << 20)])
    with pytest.raises(FormatError, match=r"x \(0x1000 bytes at 0x10000000000000\) lies beyond"):
        check_range("x", 1 << 52, 0x1000)
    with pytest.raises(FormatError, match="add 0x8001000 bytes"):
        check_ranges([("one", 0, 64 << 20), ("two", 64 << 20, (64 << 20) + 0x1000)])
    with pytest.raises(FormatError, match="one and two overlap at 0x1000"):
        check_apart([("two", 0x1000, 0x1000), ("one", 0, 0x2000)])


def test_firmware_of_no_whole_pages_is_refused():
    with pytest.raises(FormatError, match="whole pages"):
        SevSnp().predict(b"\0" + parts.get("ovmf-generic").read_bytes(), ONE)


@pytest.mark.parametrize(
    ("headers", "model"),
    list(
        product(
            [
                [written.area(1 << 50), written.insert(0)],
                [written.page(n << 21, 0, flags=written.LARGE) for n in range(100)],
            ],
            [(SevSnp(), written.SEV_SNP), (Tdx(), written.TDX)],
        )
    ),
)
def test_an_igvm_file_that_adds_gigabytes_is_refused(headers: list[written.Header], model: Any):
    with pytest.raises(FormatError, match="more than"):
        model[0].predict(written.build([written.platform(1, model[1]), *headers]), LaunchParameters(vmms=("hyperv",)))


@pytest.mark.parametrize("platform", [written.SEV_SNP, written.TDX])
@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ([written.page((1 << 64) - 0x1000, 0)], "beyond"),
        ([written.page(0x1800, 0)], "whole pages"),
        ([written.area(0x2000), written.insert((1 << 64) - 0x1000)], "beyond"),
    ],
)
def test_pages_of_an_igvm_file_where_no_memory_can_be_are_refused(
    platform: int, headers: list[written.Header], message: str
):
    model = {written.SEV_SNP: SevSnp(), written.TDX: Tdx()}[platform]
    with pytest.raises(FormatError, match=message):
        model.predict(written.build([written.platform(1, platform), *headers]), LaunchParameters(vmms=("hyperv",)))


@given(st.lists(st.tuples(*[st.integers(0, 0xFFFFFFFF)] * 3), max_size=4))
def test_any_sev_metadata_are_launched_or_refused(sections: list[tuple[int, int, int]]):
    try:
        prediction = SevSnp().predict(firmware(sections), ONE)
    except FormatError:
        return
    assert prediction is not None
    assert len(prediction.digests) == 1


words, longs = st.integers(0, 0xFFFFFFFF), st.integers(0, (1 << 64) - 1)


@given(st.lists(st.tuples(words, words, longs, longs, words, words), max_size=4))
def test_any_tdx_metadata_are_launched_or_refused(sections: list[tuple[int, ...]]):
    try:
        prediction = Tdx().predict(firmware(tdx=sections), ONE)
    except FormatError:
        return
    assert prediction is not None
    assert len(prediction.digests) == 2


def test_a_search_over_much_memory_leaves_boots_out(monkeypatch: pytest.MonkeyPatch):
    """120 MiB of empty pages before the page of hashes would be hashed once for each boot and hypervisor."""
    calls = 0
    real = snp_digest.sha384

    def counted(data: bytes):  # noqa: ANN202 - hashlib's own type has no name
        nonlocal calls
        calls += 1
        return real(data)

    monkeypatch.setattr(snp_digest, "sha384", counted)
    data = firmware([(0x1000000, 120 << 20, 1), (0x1000, 0x1000, 0x10)], table=0x1000)
    boots = (None, *(replace(BOOT, cmdline=bytes([number]) * 32) for number in range(90)))
    parameters = LaunchParameters(vmms=("qemu", "ec2", "gce"), cpu_models=("EPYC",), vcpus=(1, 2), boots=boots)
    search = SevSnp().search(data, parameters, b"\1" * 48)
    assert search is not None
    assert [note.message for note in search.notes if "so much metadata" in note.message]
    assert calls < 2_000_000


def test_a_hash_table_outside_of_its_page_leaves_boots_out():
    data = firmware([(0x1000, 0x1000, 0x10)], table=0x5000)
    search = SevSnp().search(data, LaunchParameters(boots=(None, BOOT)), b"\1" * 48)
    assert search is not None
    assert search.tried == 5
    assert [note.message for note in search.notes if "kernel hashes" in note.message]
