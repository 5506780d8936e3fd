"""Archives as the stub makes them for the initrd, read by cpio and held against the format of newc."""

import subprocess
from pathlib import Path

import pytest

from fuki_build.formats.uki import cpio


def fields(archive: bytes, at: int) -> list[int]:
    """The numbers of the header at an offset: thirteen of eight hexadecimal digits behind the magic."""
    assert archive[at : at + 6] == b"070701"
    return [int(archive[at + 6 + 8 * number : at + 14 + 8 * number], 16) for number in range(13)]


@pytest.mark.parametrize("content", [b"", b"a", b"ab", b"abc", b"abcd", bytes(4097)])
def test_cpio_unpacks_the_folder_and_the_file(tmp_path: Path, content: bytes):
    archive = cpio.pack_literal("extra", "os-release", content, 0o555, 0o444)
    subprocess.run(["cpio", "-id", "--quiet"], cwd=tmp_path, input=archive, check=True)

    assert (tmp_path / "extra/os-release").read_bytes() == content
    assert oct((tmp_path / "extra").stat().st_mode) == oct(0o040555)
    assert oct((tmp_path / "extra/os-release").stat().st_mode) == oct(0o100444)


def test_each_entry_has_the_numbers_of_the_format():
    # inode, mode, uid, gid, links, time, size, four of devices, size of the name, checksum
    archive = cpio.pack_literal(".extra", "a.cred", b"12345", 0o500, 0o400)

    assert fields(archive, 0) == [1, 0o040500, 0, 0, 1, 0, 0, 0, 0, 0, 0, len(".extra") + 1, 0]
    second = 110 + 7 + 3  # the header and the name, padded to a multiple of four
    assert archive[110:second] == b".extra\0\0\0\0"
    assert fields(archive, second) == [2, 0o100400, 0, 0, 1, 0, 5, 0, 0, 0, 0, len(".extra/a.cred") + 1, 0]
    third = second + 110 + 14 + 0 + 5 + 3
    assert archive[second + 110 : third] == b".extra/a.cred\x0012345\0\0\0"
    assert fields(archive, third) == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, len("TRAILER!!!") + 1, 0]
    assert archive[third + 110 :] == b"TRAILER!!!\0\0\0\0"


def test_the_size_of_the_trailer_s_name_is_in_upper_case_as_the_stub_writes_it():
    archive = cpio.pack_literal(".extra", "elevenbytes", b"", 0o500, 0o400)
    assert archive[-124:].startswith(b"070701" + b"00000000" * 4 + b"00000001" + b"00000000" * 6 + b"0000000B00000000")
    assert b"0000000B" not in archive[:-124]
