from collections.abc import Iterator
from contextlib import suppress

from fuki_build.errors import FormatError
from fuki_build.formats.pe import authenticode, pe

from .helper import head, image, tail


def seeds() -> Iterator[bytes]:
    for stub in ("stub-x64", "stub-257-x64", "addon-stub-x64", "addon-stub-aa64"):
        yield head(stub, 2048)
    yield head("kernel-x64", 4096)
    yield tail("kernel-x64", 1472)  # its certificate table
    yield image([(".cmdline", b"quiet", None)])


def run(data: bytes) -> None:
    for size in (len(data), 1 << 20):
        with suppress(FormatError):
            _use(pe.decode(data[: pe.HEAD_SIZE], size), size)
    with suppress(FormatError):
        authenticode.certificates(data, 0)


def _use(headers: pe.PeHeaders, size: int) -> None:
    assert headers.free_slots >= 0
    assert all(isinstance(section.name, str) for section in headers.sections)

    with suppress(FormatError):
        again = pe.decode(pe.encode(headers), size)
        assert again.sections == headers.sections

    ranges = authenticode.digest_ranges(headers, size)
    at = 0
    for start, end in ranges[:-1]:
        assert at <= start < end <= size
        at = end

    last, end = ranges[-1]
    assert at - authenticode.uncovered(headers) <= last < end <= size
