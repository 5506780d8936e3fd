import hashlib
from collections.abc import Iterator

from fuki_build.formats import digest_entry

STATE = "ab" * 32


def seeds() -> Iterator[bytes]:
    yield b""
    yield f"{'01' * 32} {'02' * 32}\n{'03' * 32} {'04' * 20}\n".encode()
    yield digest_entry.encode(STATE, {"01" * 32: bytes(64)})


def run(data: bytes) -> None:
    # As it is, and with lines that only a right sum lets through.
    text = f"fuki-digests-1 {STATE}\n".encode() + data
    for entry in (data, text + hashlib.sha256(text).hexdigest().encode()):
        digests = digest_entry.decode(STATE, entry)
        assert not digests or digest_entry.decode(STATE, digest_entry.encode(STATE, digests)) == digests
