from collections.abc import Iterator
from contextlib import suppress

from fuki_build.errors import FormatError
from fuki_build.formats.uki import sbat


def seeds() -> Iterator[bytes]:
    yield sbat.merge([])
    yield sbat.merge([[sbat.UKI_COMPONENT], [sbat.ADDON_COMPONENT, "systemd,1,The systemd Developers,systemd,262,x"]])
    yield b"sbat,1\r\na,1\r\n\0\0"


def run(data: bytes) -> None:
    with suppress(FormatError):
        rows = sbat.decode(data)
        list(sbat.problems(rows))
        assert not sbat.revoked(rows, ())
        assert all(0 <= row.generation <= 0xFFFF for row in rows)
    with suppress(FormatError):
        sbat.decode_level(data)
    with suppress(FormatError):
        lines = sbat.parse(data)
        assert sbat.parse(sbat.merge([lines])) == tuple(dict.fromkeys(lines))
