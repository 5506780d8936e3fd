"""Two readers of PE headers on one input: pefile and ours differ only where the way that each reads says so.

A difference of any other kind is a fault of one of them.
"""

from collections.abc import Iterator
from contextlib import suppress

from fuki_build.errors import FormatError
from fuki_build.formats.pe import pe
from fuki_build.formats.pe.second_reader import read_again

from .helper import head, image

_KNOWN_DIRECTORIES = 16
_MANY_PROBLEMS = "Too many warnings parsing section"
_ROUNDED = 0x200


def seeds() -> Iterator[bytes]:
    for stub in ("stub-x64", "stub-aa64", "stub-ia32", "addon-stub-x64", "addon-stub-arm", "shim"):
        yield head(stub, 2048)
    yield head("kernel-x64", 4096)
    yield image([(".cmdline", b"quiet", None)])


def run(data: bytes) -> None:
    for size in (len(data), 1 << 20, 1 << 32):
        with suppress(FormatError):
            headers = pe.decode(data[: pe.HEAD_SIZE], size)
            _hold(headers, data[: pe.HEAD_SIZE], size)


def _hold(headers: pe.PeHeaders, first: bytes, size: int) -> None:
    reading = read_again(headers, first, size)
    assert reading.refusal is None, reading.refusal

    expected: set[str] = set()
    if len(headers.directories) > _KNOWN_DIRECTORIES:
        expected.add("the number of data directories")
    if any(not any(section.raw_name) and not any(section[1:]) for section in headers.sections):
        # A header of zeros ends the table for pefile.
        expected.add("the number of sections")
    if any(_MANY_PROBLEMS in warning for warning in reading.warnings):
        expected.add("the number of sections")
    if headers.optional.file_alignment >= _ROUNDED and any(s.raw_offset % _ROUNDED for s in headers.sections):
        expected.add("PointerToRawData")
    assert {difference.field for difference in reading.differences} <= expected
