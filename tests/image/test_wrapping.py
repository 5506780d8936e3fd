"""Firmware as an IGVM file: what stands in it, by a reader of the format, and what cannot be put into one."""

from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise

import parts
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fuki_build.errors import FormatError
from fuki_build.formats.confidential import igvm, ovmf, vmsa
from fuki_build.formats.confidential.id_block import IdAuth, IdBlock
from fuki_build.formats.confidential.igvm import data_hobs, native_context
from fuki_build.formats.confidential.igvm.data_hobs import DataHob, DataKind
from fuki_build.formats.reader import Reader
from fuki_build.image.blob import Blob
from fuki_build.image.unwrapping import unwrap
from fuki_build.image.wrapping import GuestData, WrapSettings, wrap

BUILDS = ["ovmf-generic", "ovmf-amdsev", "ovmf-inteltdx", "ovmf-2025", "ovmf-2022"]
NATIVE, SNP = 1, 2
BOTH = (igvm.IgvmPlatform.NATIVE, igvm.IgvmPlatform.SEV_SNP)
HOB_AREA, PARAMETER_AREA = 0x813000, 0x812000  # IGVM metadata of Debian's edk2 2026.08
Mistake = tuple[Blob, WrapSettings, Sequence[GuestData], str]
KERNEL = GuestData(DataKind.KERNEL, Blob.of_bytes(b"kernel" * 1000))


def firmware(build: str) -> Blob:
    return Blob.of_file(parts.get(build))


def read(file: Blob) -> igvm.Igvm:
    decoded = igvm.decode(Reader.of(file.read_at(0, file.size)))
    assert decoded is not None
    return decoded


def pages(file: igvm.Igvm, mask: int) -> Sequence[igvm.PageData]:
    return [d for d in file.of(mask) if isinstance(d, igvm.PageData)]


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("mask", [NATIVE, SNP])
def test_the_firmware_is_in_the_guest_s_memory_below_4_gib(build: str, mask: int):
    image = parts.get(build).read_bytes()
    file = read(wrap(firmware(build), WrapSettings()))
    start = (1 << 32) - len(image)
    below = [page for page in pages(file, mask) if page.gpa >= start]
    assert [page.gpa for page in below] == list(range(start, 1 << 32, 4096))
    assert b"".join(file.page(page) for page in below) == image


@pytest.mark.parametrize("build", BUILDS)
def test_each_platform_has_one_context_behind_all_its_pages(build: str):
    file = read(wrap(firmware(build), WrapSettings()))
    assert [(p.platform, p.mask) for p in file.platforms] == [
        (igvm.IgvmPlatform.NATIVE, NATIVE),
        (igvm.IgvmPlatform.SEV_SNP, SNP),
    ]
    for mask, address in ((NATIVE, 0), (SNP, 0xFFFFFFFFF000)):
        own = [d for d in file.of(mask) if isinstance(d, igvm.PageData | igvm.ParameterInsert | igvm.VpContext)]
        contexts = [d for d in own if isinstance(d, igvm.VpContext)]
        assert [(c.gpa, c.vp_index) for c in contexts] == [(address, 0)]
        assert own[-1] is contexts[0]


def test_a_native_guest_starts_at_the_reset_vector_in_flat_protected_mode():
    file = read(wrap(firmware("ovmf-generic"), WrapSettings()))
    (context,) = (d for d in file.of(NATIVE) if isinstance(d, igvm.VpContext))
    registers = native_context.decode(file.context(context))
    assert (registers.rip, registers.cr0, registers.efer) == (0xFFFFFFF0, 0x31, 0)
    assert (registers.code_selector, registers.code_attributes, registers.code_base) == (8, 0xC09B, 0)
    assert (registers.data_selector, registers.data_attributes, registers.data_base) == (16, 0xC093, 0)
    assert registers.code_limit == registers.data_limit == 0xFFFFFFFF


def test_an_snp_guest_has_the_cpu_signature_that_is_asked_for_and_none_by_default():
    for signature in (0, 0xA00F11):
        file = read(wrap(firmware("ovmf-2025"), WrapSettings(cpu_signature=signature)))
        (context,) = (d for d in file.of(SNP) if isinstance(d, igvm.VpContext))
        assert vmsa.decode(file.context(context)).get("rdx", 0) == signature


def test_pages_of_a_native_guest_ascend():
    file = read(wrap(firmware("ovmf-generic"), WrapSettings(), [KERNEL]))
    addresses = [page.gpa for page in pages(file, NATIVE)]
    assert addresses == sorted(addresses)


@pytest.mark.parametrize("build", BUILDS)
def test_an_snp_guest_has_every_page_of_the_sev_metadata_in_their_order(build: str):
    image = firmware(build)
    table = ovmf.decode(image.reader)
    assert table is not None
    file = read(wrap(image, WrapSettings()))
    behind = [page for page in pages(file, SNP) if page.gpa < (1 << 32) - image.size]
    sections = [s for s in table.sev or () if s.size]
    assert [p.gpa for p in behind] == [a for s in sections for a in range(s.address, s.address + s.size, 4096)]
    kinds: dict[int, int] = {ovmf.SevKind.SECRETS: 1, ovmf.SevKind.CPUID: 2}
    assert [p.kind for p in behind] == [kinds.get(s.kind, 0) for s in sections for _ in range(0, s.size, 4096)]
    assert not any(page.file_offset for page in behind), "empty pages have no content in the file"


def test_parameters_stand_where_the_firmware_looks_for_them():
    file = read(wrap(firmware("ovmf-generic"), WrapSettings()))
    directives = [
        d for d in file.directives if isinstance(d, igvm.ParameterArea | igvm.Parameter | igvm.ParameterInsert)
    ]
    assert directives == [
        igvm.ParameterArea(4096, 0, 0),
        igvm.Parameter(igvm.MEMORY_MAP, 0, 0),
        igvm.Parameter(igvm.VP_COUNT, 0, 0xC0),
        igvm.ParameterInsert(PARAMETER_AREA, NATIVE, 0),
    ]


def test_parameters_of_snp_guests_take_the_place_of_an_empty_page():
    file = read(wrap(firmware("ovmf-generic"), WrapSettings(snp_parameters=True)))
    assert [d.mask for d in file.directives if isinstance(d, igvm.ParameterInsert)] == [NATIVE | SNP]
    assert PARAMETER_AREA not in {page.gpa for page in pages(file, SNP)}


def test_firmware_without_igvm_metadata_has_no_parameters():
    file = read(wrap(firmware("ovmf-2022"), WrapSettings()))
    assert not [d for d in file.directives if isinstance(d, igvm.ParameterArea | igvm.ParameterInsert)]


@pytest.mark.parametrize("mask", [NATIVE, SNP])
def test_data_are_in_memory_and_told_to_the_firmware(mask: int):
    shim = GuestData(DataKind.SHIM, Blob.of_bytes(b"shim"))
    file = read(wrap(firmware("ovmf-generic"), WrapSettings(), [KERNEL, shim]))
    by_address = {page.gpa: page for page in pages(file, mask)}
    hobs = data_hobs.decode(file.page(by_address[HOB_AREA]))
    assert hobs == (DataHob(0x4000000, 6000, DataKind.KERNEL), DataHob(0x4002000, 4, DataKind.SHIM))
    content = b"".join(file.page(by_address[address]) for address in (0x4000000, 0x4001000))
    assert content == (b"kernel" * 1000).ljust(8192, b"\0")
    assert file.page(by_address[0x4002000]) == b"shim".ljust(4096, b"\0")


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("platforms", [(igvm.IgvmPlatform.NATIVE,), (igvm.IgvmPlatform.SEV_SNP,), BOTH])
def test_no_page_is_there_twice_and_all_are_aligned(build: str, platforms: tuple[igvm.IgvmPlatform, ...]):
    data = [KERNEL] if build in ("ovmf-generic", "ovmf-amdsev") else []
    file = read(wrap(firmware(build), WrapSettings(platforms=platforms, snp_parameters=True), data))
    for platform in file.platforms:
        areas = [(page.gpa, page.size) for page in pages(file, platform.mask)]
        areas += [(d.gpa, 4096) for d in file.of(platform.mask) if isinstance(d, igvm.ParameterInsert)]
        assert all(gpa % 4096 == 0 for gpa, _ in areas)
        assert all(one + size <= other for (one, size), (other, _) in pairwise(sorted(areas)))


def test_policy_and_id_block_are_for_snp_guests_only():
    block, auth = (
        IdBlock(launch_digest=b"\x11" * 48, policy=0xB0000, svn=7),
        IdAuth(b"\x22" * 512, b"\x02" + b"\x33" * 1027),
    )

    file = read(wrap(firmware("ovmf-generic"), WrapSettings(policy=0xB0000, id_block=(block, auth))))
    assert [d for d in file.directives if isinstance(d, igvm.GuestPolicy)] == [igvm.GuestPolicy(0xB0000, SNP)]
    (found,) = (d for d in file.directives if isinstance(d, igvm.SnpIdBlock))
    assert (found.mask, found.launch_digest, found.svn, found.author_key_enabled) == (SNP, b"\x11" * 48, 7, 0)

    native = read(
        wrap(
            firmware("ovmf-generic"),
            WrapSettings(platforms=(igvm.IgvmPlatform.NATIVE,), policy=0xB0000, id_block=(block, auth)),
        )
    )

    assert not [d for d in native.directives if isinstance(d, igvm.GuestPolicy | igvm.SnpIdBlock)]


@pytest.fixture(scope="module")
def mistakes() -> dict[str, Mistake]:
    generic, default = firmware("ovmf-generic"), WrapSettings()
    block = IdBlock(launch_digest=bytes(48), policy=0x30000), IdAuth(bytes(512), bytes(1028))
    return {
        "no platform": (generic, WrapSettings(platforms=()), (), "at least one platform"),
        "no firmware": (Blob(), default, (), "GUID table"),
        "a variable store": (firmware("ovmf-vars"), default, (), "GUID table"),
        "half a page": (generic.slice(100, generic.size - 100), default, (), "whole pages"),
        "too large": (Blob(generic.parts * 5), default, (), "16 MiB"),
        "an IGVM file": (wrap(generic, default), default, (), "GUID table"),
        "no place for data": (firmware("ovmf-2022"), default, [KERNEL], "no place"),
        "empty data": (generic, default, [GuestData(DataKind.SHIM, Blob())], "SHIM are empty"),
        "data between pages": (generic, WrapSettings(data_address=0x4000800), [KERNEL], "page of 4 KiB"),
        "data that are overwritten": (generic, WrapSettings(data_address=24 << 20), [KERNEL], "overwrite"),
        "data over the firmware": (generic, WrapSettings(data_address=0xFFF00000), [KERNEL], "twice"),
        "an ID block for another policy": (generic, WrapSettings(policy=1, id_block=block), (), "policy 0x30000"),
    }


@pytest.mark.parametrize(
    "name",
    [
        *("no platform", "no firmware", "a variable store", "half a page", "too large", "an IGVM file"),
        *("no place for data", "empty data", "data between pages", "data that are overwritten"),
        *("data over the firmware", "an ID block for another policy"),
    ],
)
def test_what_cannot_become_a_file_is_refused(mistakes: dict[str, Mistake], name: str):
    image, settings, data, words = mistakes[name]
    with pytest.raises(FormatError, match=words):
        wrap(image, settings, data)


@given(
    platforms=st.sampled_from([(igvm.IgvmPlatform.NATIVE,), (igvm.IgvmPlatform.SEV_SNP,), BOTH]),
    policy=st.integers(0, (1 << 64) - 1),
    signature=st.integers(0, (1 << 32) - 1),
    parameters=st.booleans(),
    address=st.integers(0x2000, 0x8000).map(lambda page: page << 12),
    data=st.lists(st.tuples(st.sampled_from(DataKind), st.binary(min_size=1, max_size=9000)), max_size=4),
)
def test_a_file_can_be_taken_apart_again(platforms, policy, signature, parameters, address, data):
    settings = WrapSettings(
        platforms=platforms, policy=policy, cpu_signature=signature, snp_parameters=parameters, data_address=address
    )
    image = firmware("ovmf-generic")
    pieces = tuple(GuestData(kind, Blob.of_bytes(content)) for kind, content in data)
    unwrapped = unwrap(wrap(image, settings, pieces))
    assert unwrapped is not None
    assert unwrapped.firmware.read_at(0, unwrapped.firmware.size) == image.read_at(0, image.size)
    assert [(d.kind, d.content.read_at(0, d.content.size)) for d in unwrapped.data] == data
    snp = igvm.IgvmPlatform.SEV_SNP in platforms
    assert unwrapped.settings.platforms == platforms
    assert not snp or unwrapped.settings.policy == policy

    assert not snp or (unwrapped.settings.cpu_signature, unwrapped.settings.snp_parameters) == (signature, parameters)


def test_an_id_block_is_taken_out_again():
    auth = IdAuth(b"\x22" * 144 + bytes(368), b"\x33" * 148 + bytes(880))
    settings = WrapSettings(policy=0xB0000, id_block=(IdBlock(launch_digest=b"\x11" * 48, policy=0xB0000, svn=7), auth))
    unwrapped = unwrap(wrap(firmware("ovmf-2025"), settings))
    assert unwrapped is not None
    assert unwrapped.settings == settings


def test_a_file_of_another_s_making_is_not_taken_for_ours():
    file = wrap(firmware("ovmf-2025"), WrapSettings())
    data = file.read_at(0, file.size)
    decoded = read(file)
    more = [*decoded.directives, igvm.RequiredMemory(0x10000000, 3, 0x1000, 0)]
    other = igvm.encode(more, bytes(1 << 20))
    assert unwrap(Blob.of_bytes(other)) is None
    assert unwrap(Blob.of_bytes(data + b"\0")) is None
    assert unwrap(firmware("ovmf-2025")) is None


@given(st.integers(0, 40000), st.binary(min_size=1, max_size=64))
def test_damage_is_told_from_a_file_of_ours(at: int, noise: bytes):
    file = wrap(firmware("ovmf-2022"), WrapSettings())
    data = bytearray(file.read_at(0, file.size))
    data[at : at + len(noise)] = noise
    with suppress(FormatError):
        unwrapped = unwrap(Blob.of_bytes(bytes(data)))
        assert unwrapped is None or wrap(unwrapped.firmware, unwrapped.settings).size == file.size


def test_nothing_of_the_firmware_is_read_but_its_tables(monkeypatch: pytest.MonkeyPatch):
    image = Blob.of_bytes(parts.get("ovmf-generic").read_bytes())
    count = 0
    read_at = Blob.read_at

    def counting(blob: Blob, offset: int, length: int) -> bytes:
        nonlocal count
        count += length
        return read_at(blob, offset, length)

    monkeypatch.setattr(Blob, "read_at", counting)
    wrap(image, replace(WrapSettings(), cpu_signature=1))
    assert count < 4096
