from collections.abc import Iterator
from contextlib import suppress

from fuki_build.errors import FormatError
from fuki_build.formats.uki import env_file


def seeds() -> Iterator[bytes]:
    yield b'ID=debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n# comment\nVERSION_ID="12"\n\0\0'
    yield b'A=\'b\'"c\\""d\\ e\nB="$x `y`"\nC=\nD\n'


def run(data: bytes) -> None:
    with suppress(FormatError):
        values = env_file.decode(data)
        assert env_file.decode(env_file.encode(values.items())) == values
