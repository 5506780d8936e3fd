from collections.abc import Iterator
from contextlib import suppress
from struct import pack

import parts

from fuki_build.errors import FormatError
from fuki_build.formats.hardware import fdt
from fuki_build.formats.reader import Reader

_NAMES = ("sc8280xp-lenovo-thinkpad-x13s.dtb", "x1e80100-crd.dtb")


def seeds() -> Iterator[bytes]:
    structure = pack(">I4xIII", 1, 3, 8, 0) + b"acme,b1\0" + pack(">II", 2, 9)
    header = pack(">10I", 0xD00DFEED, 0, 40, 40 + len(structure), 40, 17, 16, 0, 11, len(structure))
    yield header + structure + b"compatible\0"
    for name in _NAMES:
        yield next(parts.get("dtbs-aa64").rglob(name)).read_bytes()


def run(data: bytes) -> None:
    with suppress(FormatError):
        fdt.compatible(Reader.of(data))
    with suppress(FormatError):
        fdt.check(Reader.of(data), ordered=True)
