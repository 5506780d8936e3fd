"""The kernel formats that ukify 262.1 reads: the same `.linux` and the same release.

The kernel is systemd-boot for riscv64, an EFI program that is no x86 kernel, with Linux's banner behind it.
"""

import bz2
import filecmp
import gzip
import lzma
from collections.abc import Callable
from struct import pack_into

import lz4.frame
import parts
import pytest
import zstandard

from fuki_build.testing import recipe

RECIPE = recipe(silence=["kernel-is-image"], linux="kernel", os_release="os-release")
BANNER = b"Linux version 6.12.107+deb13-riscv64 (debian-kernel@example.org) (gcc-14) #1 SMP\n\0"


def zboot(kind: bytes, compress: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Linux's EFI zboot header (zboot-header.S) over an EFI program's DOS header, the packed kernel behind it."""

    def pack(kernel: bytes) -> bytes:
        loader = bytearray(parts.get("boot-riscv64").read_bytes())
        payload = compress(kernel)
        pack_into("<4sII8x8s", loader, 4, b"zimg", len(loader), len(payload), kind)
        return bytes(loader) + payload

    return pack


def alone(kernel: bytes) -> bytes:
    return lzma.compress(kernel, lzma.FORMAT_ALONE)


FORMATS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": zstandard.compress,
    "lz4": lz4.frame.compress,
    "bzip2": bz2.compress,
    "lzma": alone,
    "zboot gzip": zboot(b"gzip", gzip.compress),
    "zboot zstd": zboot(b"zstd", zstandard.compress),
    "zboot lzma": zboot(b"lzma", alone),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_kernel_of_each_format_makes_ukify_s_image_byte_for_byte(directory, build, ukify, pe, name):
    (directory / "stub").unlink()
    (directory / "stub").symlink_to(parts.get("stub-riscv64"))
    (directory / "kernel").write_bytes(FORMATS[name](parts.get("boot-riscv64").read_bytes() + BANNER))
    (directory / "fuki.toml").write_text(RECIPE)
    arguments = ["--stub=stub", "--linux=kernel", "--os-release=@os-release", "--hwids=", "--output=ukify.efi"]
    ukify("build", *arguments, cwd=directory)
    image = build(directory)
    assert pe(image).content(".uname") == b"6.12.107+deb13-riscv64"
    assert pe(image).sections == pe(directory / "ukify.efi").sections
    assert filecmp.cmp(image, directory / "ukify.efi", shallow=False)
