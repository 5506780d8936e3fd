import bz2
import gzip
import lzma
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from struct import pack

import lz4.block
import lz4.frame
import pytest
import zstandard

from fuki_build.errors import FormatError
from fuki_build.formats.uki.compression import MAX_CONTENT, decompress, detect

MEMORY = 300 << 20

TEXT = b"Linux version 6.1.0-golden (acme) #1 SMP\n"

# TEXT as gzip 1.12, bzip2 1.0.8, xz 5.4.1, lz4 1.9.4 and zstd 1.5.4 pack it.
GOLDEN = {
    name: bytes.fromhex(data)
    for name, data in {
        "gzip": "1f8b0800000000000003f3c9cc2bad50284b2d2acecccf5330d333d433d04dcfcf4949cd53d0484cce4dd55450365408"
        "f60de00200e5ec9a6329000000",
        "bzip2": "425a68393141592653590a0cc8270000085f80001048636100000648002ea79b402000314000d00001534c1301a4c069"
        "a4158338966ac1318bceb7802254c66e56bf0756f444e8e6c0ba2ee48a70a1201419904e",
        "xz": "fd377a585a000004e6d6b4460200210116000000742fe5a30100284c696e75782076657273696f6e20362e312e302d67"
        "6f6c64656e202861636d652920233120534d500a00000000ed07bf12fae8f909000141290353568b1fb6f37d01000000"
        "0004595a",
        "lzma": "5d00008000ffffffffffffffff00261a49c78955b31f4735d21f2e2d85d0121dd4eebda5acb373d6ee57c14a28fb4c11"
        "dc72ad720e216ec3d061e1c39ffd7cb000",
        "lz4": "04224d186440a7290000804c696e75782076657273696f6e20362e312e302d676f6c64656e202861636d652920233120"
        "534d500a00000000ecc534c4",
        "lz4-legacy": "02214c182b000000f01a4c696e75782076657273696f6e20362e312e302d676f6c64656e202861636d65292023312053"
        "4d500a",
        "zstd": "28b52ffd04584901004c696e75782076657273696f6e20362e312e302d676f6c64656e202861636d652920233120534d"
        "500a3f35c017",
    }.items()
}


def lz4_legacy(data: bytes) -> bytes:
    """As Linux's build packs kernels: blocks of 8 MiB, each behind its size."""
    blocks = (data[at : at + (8 << 20)] for at in range(0, len(data), 8 << 20))
    packed = [lz4.block.compress(block, store_size=False) for block in blocks]
    return b"\x02\x21\x4c\x18" + b"".join(pack("<I", len(block)) + block for block in packed)


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "lz4": lz4.frame.compress,
    "lz4-legacy": lz4_legacy,
    "zstd": zstandard.compress,
}


def unpack(name: str, data: bytes, piece: int = 1 << 20) -> bytes:
    return b"".join(decompress(name, (data[at : at + piece] for at in range(0, len(data), piece))))


@pytest.mark.parametrize("name", GOLDEN)
def test_what_other_programs_packed_is_detected(name: str):
    assert detect(GOLDEN[name][:8]) == name


@pytest.mark.parametrize("data", [b"", b"MZ", b"\x7fELF", b"\x1f", b"BZ", TEXT])
def test_other_data_are_not_compressed(data: bytes):
    assert detect(data) is None


@pytest.mark.parametrize("piece", [1, 3, 1 << 20])
@pytest.mark.parametrize("name", GOLDEN)
def test_what_other_programs_packed_is_unpacked_however_it_is_cut(name: str, piece: int):
    assert unpack(name, GOLDEN[name], piece) == TEXT


@pytest.mark.parametrize("name", [name for name in GOLDEN if name != "gzip"])
def test_the_size_that_linux_appends_is_passed_over(name: str):
    assert unpack(name, GOLDEN[name] + pack("<I", len(TEXT))) == TEXT


@pytest.mark.parametrize("name", PACK)
def test_large_contents_come_in_pieces(name: str):
    content = bytes(20 << 20)
    sizes = [len(piece) for piece in decompress(name, [PACK[name](content)])]
    assert sum(sizes) == len(content)
    assert max(sizes) <= 16 << 20


@pytest.mark.parametrize("cut", [1, 6, 12])
@pytest.mark.parametrize("name", GOLDEN)
def test_a_stream_cut_short_is_refused(name: str, cut: int):
    with pytest.raises(FormatError, match="damaged"):
        unpack(name, GOLDEN[name][:-cut])


@pytest.mark.parametrize("name", GOLDEN)
def test_garbage_behind_the_magic_is_refused(name: str):
    with pytest.raises(FormatError, match="damaged"):
        unpack(name, GOLDEN[name][:6] + b"\xff\xfe\xfd\xfc" * 64)


@pytest.mark.parametrize("name", GOLDEN)
def test_nothing_is_refused(name: str):
    with pytest.raises(FormatError):
        unpack(name, b"")


def test_lzo_is_refused_with_a_remedy():
    with pytest.raises(FormatError, match="lzo") as error:
        unpack("lzo", b"\x89LZO")
    assert error.value.hint


UNPACK = f"""
import resource, sys
from fuki_build.errors import FormatError
from fuki_build.formats.uki.compression import decompress
resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))
try:
    for piece in decompress(sys.argv[1], [open(sys.argv[2], "rb").read()]):
        pass
except FormatError as error:
    print(error)
"""


def unpack_apart(name: str, file: Path) -> str:
    """The error of unpacking a file in a process that may not have more than `MEMORY`."""
    command = [sys.executable, "-c", UNPACK, name, str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def bomb(name: str) -> bytes:
    """Something small that unpacks to more than a kernel may have."""
    if name == "lz4-legacy":
        block = lz4.block.compress(bytes(8 << 20), store_size=False)
        return b"\x02\x21\x4c\x18" + (pack("<I", len(block)) + block) * (MAX_CONTENT // (8 << 20) + 1)
    if name == "zstd":
        # A frame with a window of 8 MiB and run-length blocks of 128 KiB: 4 bytes each (RFC 8878, 3.1.1).
        block = pack("<I", (128 << 10) << 3 | 1 << 1)[:3] + b"\0"
        return b"\x28\xb5\x2f\xfd\x00\x68" + block * (MAX_CONTENT // (128 << 10) + 1)
    if name == "gzip":
        return gzip.compress(bytes(MAX_CONTENT + 1), 1)
    if name == "lz4":
        return lz4.frame.compress(bytes(MAX_CONTENT + 1), block_size=lz4.frame.BLOCKSIZE_MAX4MB)

    raise AssertionError(name)


@pytest.mark.parametrize("name", ["gzip", "lz4", "lz4-legacy", "zstd"])
def test_a_bomb_is_refused_without_filling_memory(tmp_path: Path, name: str):
    file = tmp_path / name
    file.write_bytes(bomb(name))
    assert "larger than any kernel" in unpack_apart(name, file)


def test_a_damaged_legacy_block_is_refused():
    with pytest.raises(FormatError, match="damaged"):
        unpack("lz4-legacy", b"\x02\x21\x4c\x18" + pack("<I", 6) + b"\x10a\xff\xff\xff\xff")


def test_legacy_blocks_behind_a_short_one_are_refused():
    short = pack("<I", 2) + b"\x10a"
    with pytest.raises(FormatError, match="last block"):
        unpack("lz4-legacy", b"\x02\x21\x4c\x18" + short + short)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        # A dictionary of 4 GiB - 1 (LZMA_Alone header) and a window of 3.75 TiB (RFC 8878, 3.1.1.1.2).
        pytest.param("lzma", b"\x5d\xff\xff\xff\xff" + b"\xff" * 8 + GOLDEN["lzma"][13:], id="lzma"),
        pytest.param("zstd", b"\x28\xb5\x2f\xfd\x00\xff" + GOLDEN["zstd"][6:], id="zstd"),
    ],
)
def test_a_stream_that_asks_for_a_giant_dictionary_is_refused(tmp_path: Path, name: str, data: bytes):
    file = tmp_path / name
    file.write_bytes(data)
    assert "damaged" in unpack_apart(name, file)
