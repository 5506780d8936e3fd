"""Whatever the bytes, a decoder gives a value or a `FormatError`, and nothing else."""

import bz2
import gzip
import lzma
from contextlib import suppress
from struct import pack
from uuid import UUID

import lz4.block
import lz4.frame
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from fuki_build.errors import FormatError
from fuki_build.formats.confidential import ovmf
from fuki_build.formats.hardware import fdt
from fuki_build.formats.pe import authenticode, pe
from fuki_build.formats.reader import Reader
from fuki_build.formats.uefi import authenticated_variable, efi_signature_list, firmware, variable_store
from fuki_build.formats.uefi.efi_time import EfiTime
from fuki_build.formats.uki import bmp, compression, efifw, env_file, hwids, kernel, loader_info, sbat
from fuki_build.formats.uki.hwids import Device, DeviceType

from .strategies import mutated, mutations

ANY = st.binary(max_size=600)
IMAGES = ("stub-x64", "stub-257-x64", "addon-stub-aa64", "kernel-x64", "kernel-aa64")
FIRMWARE = ("ovmf-generic", "ovmf-inteltdx", "ovmf-2025", "ovmf-vars", "aavmf")
FILE_SIZE = 32 << 20
"""Larger than the real files that the headers are from."""


@given(st.one_of(ANY, ANY.map(lambda data: b"MZ" + data), mutations(*IMAGES)))
def test_pe_headers(data: bytes):
    for size in (len(data), FILE_SIZE):
        with suppress(FormatError):
            headers = pe.decode(data, size)
            assert all(s.raw_offset + s.raw_size <= size for s in headers.sections if s.raw_size)
            assert headers.optional.size_of_headers <= size


@given(mutations(*IMAGES))
def test_authenticode_ranges_lie_in_the_file_and_leave_the_checksum_out(data: bytes):
    with suppress(FormatError):
        headers = pe.decode(data, FILE_SIZE)
        ranges = authenticode.digest_ranges(headers, FILE_SIZE)
        hashed = 0
        for start, end in ranges:
            assert hashed <= start < end <= FILE_SIZE
            assert not start <= headers.checksum_offset < end
            hashed = end


@given(st.one_of(ANY, mutated(pack("<IHH", 16, 0x200, 2) + bytes(8) + pack("<IHH", 11, 0x200, 2) + bytes(8))))
def test_certificate_tables(data: bytes):
    with suppress(FormatError):
        assert all(c.offset + c.size <= len(data) for c in authenticode.certificates(data, 0))


FIRMWARE_SECTION = pack("<IIII", efifw.MAGIC, 32, 5, 8) + bytes(16) + b"ovmf\0" + bytes(8)


@given(st.one_of(ANY, mutated(FIRMWARE_SECTION)), st.integers(0, 0xFFFFFFFF))
def test_firmware_sections(data: bytes, more: int):
    for size in (len(data), len(data) + more):
        with suppress(FormatError):
            payload = efifw.decode(data, size)
            assert payload.payload_offset + payload.payload_size <= size
            assert payload.fwid


TABLE = hwids.encode(
    [
        Device(DeviceType.UEFI_FW, "name", "fwid", frozenset({UUID(int=1), UUID(int=2)})),
        Device(DeviceType.DEVICETREE, "name", "acme,board", frozenset({UUID(int=3)})),
    ]
)


@given(st.one_of(ANY, mutated(TABLE)))
def test_hardware_id_tables(data: bytes):
    with suppress(FormatError):
        assert len(hwids.group(hwids.decode(data))) <= len(data) // 28


@given(st.one_of(ANY, mutated(sbat.merge([[sbat.UKI_COMPONENT]]))))
def test_sbat_tables(data: bytes):
    with suppress(FormatError):
        lines = sbat.parse(data)
        assert sbat.parse(sbat.merge([lines])) == tuple(dict.fromkeys(lines))


QUOTES = st.text(st.sampled_from("A=\"'\\$` \n\t\rb\0é"), max_size=60).map(str.encode)


@given(st.one_of(ANY, QUOTES))
def test_assignments(data: bytes):
    with suppress(FormatError):
        values = env_file.decode(data)
        assert env_file.decode(env_file.encode(values.items())) == values


@given(st.one_of(ANY, mutated(b"#### LoaderInfo: systemd-stub 262.1-1 ####")))
def test_loader_information(data: bytes):
    information = loader_info.decode(data)
    assert information is None or min(information.numbers) >= 0


@given(st.one_of(ANY, mutations(*FIRMWARE)))
def test_firmware_is_always_called_something(data: bytes):
    assert str(firmware.recognise(Reader.of(data)))


@given(mutations("ovmf-generic", "ovmf-inteltdx", "ovmf-2025"))
def test_ovmf_tables(data: bytes):
    with suppress(FormatError):
        entries = ovmf.decode(Reader.of(data))
        assert entries is None or sum(map(len, entries.entries.values())) < len(data)


LISTS = efi_signature_list.encode(
    [
        efi_signature_list.certificate_list(b"\x30\x82\0\0", UUID(int=1)),
        efi_signature_list.hash_list(efi_signature_list.SignatureType.SHA1, [bytes(20), b"\1" * 20], UUID(int=2)),
    ]
)


@given(st.one_of(ANY, mutated(LISTS)))
def test_signature_lists(data: bytes):
    with suppress(FormatError):
        lists = efi_signature_list.decode(data)
        assert sum(len(s.data) for one in lists for s in one.signatures) <= len(data)
        assert not all(one.signatures for one in lists) or efi_signature_list.encode(lists) == data


AUTHENTICATED = authenticated_variable.encode(
    authenticated_variable.AuthenticatedPayload(
        EfiTime(year=2026, month=11, day=25, hour=0, minute=0, second=0), b"\x30\x82\0\0", LISTS
    )
)


@given(st.one_of(ANY, mutated(AUTHENTICATED)))
def test_authenticated_variables(data: bytes):
    with suppress(FormatError):
        assert authenticated_variable.encode(authenticated_variable.decode(data)) == data


@settings(max_examples=100)
@given(st.one_of(ANY, mutations("ovmf-vars-ms")), st.booleans())
def test_variable_stores(data: bytes, whole: bool):
    """As it stands the volume claims more than is there; made to fit, its variables are reached."""
    fitted = data[:32] + pack("<Q", len(data)) + data[40:88] + pack("<I", max(0, len(data) - 72)) + data[92:]
    with suppress(FormatError):
        variables = variable_store.decode(Reader.of(data if whole else fitted))
        assert variables is None or sum(len(v.data) for v in variables) <= len(data)


CONTENT = b"Linux version 6.12.1 (a@b)\n" * 20
BLOCK = lz4.block.compress(CONTENT, store_size=False)
PACKED = {
    "gzip": gzip.compress(CONTENT, mtime=0),
    "bzip2": bz2.compress(CONTENT),
    "xz": lzma.compress(CONTENT),
    "lzma": lzma.compress(CONTENT, lzma.FORMAT_ALONE),
    "lz4": lz4.frame.compress(CONTENT, content_checksum=True),
    "lz4-legacy": b"\x02\x21\x4c\x18" + pack("<I", len(BLOCK)) + BLOCK,
    "zstd": zstandard.compress(CONTENT),
}


@pytest.mark.parametrize("name", PACKED)
@settings(max_examples=100)
@given(st.data())
def test_compressed_data(name: str, data: st.DataObject):
    packed = data.draw(st.one_of(ANY, mutated(PACKED[name])))
    with suppress(FormatError):
        assert sum(map(len, compression.decompress(name, [packed]))) <= compression.MAX_CONTENT


def zboot(name: str) -> bytes:
    return pack("<2sxx4sII8x32s", b"MZ", b"zimg", 56, len(PACKED[name]), name.encode()) + PACKED[name]


def elf() -> bytes:
    """A header, one section header and one note."""
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    note = pack("<III8s12s", 6, 10, 0x100, b"Linux", b"6.12-acme")
    header = pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, 64, 0, 64, 0, 0, 64, 1, 0)
    return ident + header + pack("<IIQQQQIIQQ", 0, 7, 0, 0, 128, len(note), 0, 0, 4, 0) + note


KERNELS = st.one_of(
    ANY,
    mutations("kernel-x64", "kernel-aa64"),
    mutated(elf()),
    st.sampled_from(sorted(PACKED)).flatmap(lambda name: mutated(PACKED[name])),
    st.sampled_from(sorted(PACKED)).flatmap(lambda name: mutated(zboot(name))),
)


@given(KERNELS)
def test_releases_are_short_and_printable(data: bytes):
    with suppress(FormatError):
        release = kernel.release(Reader.of(data))
        assert release is None or (release.isascii() and release.isprintable() and len(release) < 128)


@given(st.one_of(ANY, ANY.map(lambda data: b"BM" + data)), st.integers(0, 1 << 32))
def test_bitmaps(data: bytes, size: int):
    for claimed in (len(data), size):
        with suppress(FormatError):
            picture = bmp.decode(data[: bmp.HEAD_SIZE], claimed)
            assert picture.width * picture.height * picture.depth <= 8 * claimed


@given(ANY.map(lambda data: b"\xd0\x0d\xfe\xed" + data))
def test_whole_devicetrees(data: bytes):
    with suppress(FormatError):
        fdt.check(Reader.of(data))
        fdt.compatible(Reader.of(data))
