"""Images whose large files begin at whole blocks, so that file systems can share these."""

import errno
import os
import struct
from itertools import pairwise

import pytest

from fuki_build.image import file_copy
from fuki_build.testing import refused, succeed
from tests.conftest import RECIPE
from tests.support.rich import authenticode, sections

SHARING = RECIPE.replace("[fuki.image]\n", "[fuki.image]\nshare-blocks = true\n")
BLOCK = 4096
LARGE = (".linux", ".initrd")


@pytest.fixture
def images(workshop):
    """The same image without and with shared blocks; the initrd is no whole number of blocks."""
    (workshop / "initrd.img").write_bytes(b"initrd." * 300_001)
    for name, recipe in (("plain", RECIPE), ("sharing", SHARING)):
        (workshop / "fuki.toml").write_text(recipe)
        succeed(workshop, "build", "-o", f"{name}.efi")
    return workshop / "plain.efi", workshop / "sharing.efi"


def test_large_files_begin_at_whole_blocks(images):
    _, sharing = images
    offsets = {name: offset for name, _, offset, *_ in sections(sharing)}
    assert [offsets[name] % BLOCK for name in LARGE] == [0, 0]


def test_everything_but_the_places_in_the_file_is_the_same(images):
    plain, sharing = ([(name, address, content) for name, address, _, _, _, content in sections(p)] for p in images)
    assert plain == sharing


def test_no_byte_is_between_sections_so_that_firmware_hashes_each_once(images):
    for path in images:
        rows = [(offset, raw) for _, _, offset, _, raw, _ in sections(path) if raw]
        assert all(offset + raw == following for (offset, raw), (following, _) in pairwise(rows))
        assert sum(rows[-1]) == path.stat().st_size
        assert authenticode(path) in succeed(path.parent, "digests", path.name).out


def test_the_kernel_is_asked_to_share_and_nothing_of_it_is_copied(workshop, images, monkeypatch):
    shared, copied, reserved = [], [], []
    read_into = os.preadv

    def clone(target: int, request: int, argument: bytes) -> int:
        source, offset, count, at = struct.unpack("=qQQQ", argument)
        assert request == file_copy._CLONE_RANGE
        assert not {offset % BLOCK, count % BLOCK, at % BLOCK} - {0}
        os.pwrite(target, os.pread(source, count, offset), at)
        shared.append(count)
        return 0

    def read(source: int, buffers: list[memoryview], offset: int) -> int:
        copied.append(read_into(source, buffers, offset))
        return copied[-1]

    monkeypatch.setattr(file_copy, "ioctl", clone)
    monkeypatch.setattr(os, "preadv", read)
    monkeypatch.setattr(os, "posix_fallocate", lambda *call: reserved.append(call))
    succeed(workshop, "build", "-o", "again.efi")

    assert (workshop / "again.efi").read_bytes() == images[1].read_bytes()
    files = sum((workshop / name).stat().st_size for name in ("vmlinuz", "initrd.img"))
    assert files - 3 * BLOCK < sum(shared) <= files
    assert all(count < BLOCK for count in copied)
    assert not reserved


def test_files_of_another_file_system_are_copied(workshop, images, monkeypatch):
    def elsewhere(*_: object) -> int:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(file_copy, "ioctl", elsewhere)
    succeed(workshop, "build", "-o", "again.efi")
    assert (workshop / "again.efi").read_bytes() == images[1].read_bytes()


def test_an_edited_image_keeps_to_it(workshop, images):
    _, sharing = images
    succeed(workshop, "edit", "sharing.efi", "-o", "edited.efi")
    assert (workshop / "edited.efi").read_bytes() == sharing.read_bytes()

    line = "quiet " * 200
    succeed(workshop, "edit", "sharing.efi", "--set", f".cmdline={line}", "-o", "edited.efi")
    (workshop / "fuki.toml").write_text(SHARING.replace("root=LABEL=root ro", line))
    succeed(workshop, "build", "-o", "built.efi")
    assert (workshop / "edited.efi").read_bytes() == (workshop / "built.efi").read_bytes()


def test_an_addon_has_no_such_key(workshop):
    (workshop / "fuki.toml").write_text(f'{RECIPE}[[fuki.addon]]\nname = "a"\ncmdline = "x"\nshare-blocks = true\n')
    assert "share-blocks" in refused(workshop, "plan")
