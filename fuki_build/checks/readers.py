"""Rules about what a second reader of PE headers says of a finished image and its kernels."""

from collections.abc import Iterable, Iterator

from fuki_build.checks.places import sections
from fuki_build.errors import FormatError
from fuki_build.formats.pe import pe
from fuki_build.formats.pe.second_reader import SecondReader, SecondReading
from fuki_build.hooks.rules import CheckSubject, Problem, Problems, Rule, Severity

_SHOWN = 16


def _readings(subject: CheckSubject) -> Iterator[tuple[SecondReading, str]]:
    """What pefile says of the image, and of the kernels that are EFI images, each with a name."""
    file = subject.layout.file
    if file is None:
        # Nobody else reads what is only planned.
        return

    second_reader = SecondReader()
    yield second_reader.read(subject.layout.headers, file.reader), "headers"

    for section, where in sections(subject, ".linux"):
        kernel = section.content
        try:
            headers = pe.decode(kernel.read_at(0, pe.HEAD_SIZE), kernel.size)
        except FormatError:
            continue
        yield second_reader.read(headers, kernel.reader), where


def disputed(subject: CheckSubject) -> Problems:
    for reading, name in _readings(subject):
        if reading.refusal is not None:
            yield Problem(f"pefile has not read the headers: {reading.refusal}", where=name)
        problems = (
            Problem(str(difference), where=f"{name}: {difference.where}" if difference.where else name)
            for difference in reading.differences
        )
        yield from _limited(problems, len(reading.differences), name)


def suspicious(subject: CheckSubject) -> Problems:
    for reading, name in _readings(subject):
        problems = (Problem(f"pefile says: {warning}", where=name) for warning in reading.warnings)
        yield from _limited(problems, len(reading.warnings), name)


def _limited(problems: Iterable[Problem], count: int, where: str) -> Problems:
    for index, problem in enumerate(problems):
        if index == _SHOWN:
            yield Problem(f"there are {count - _SHOWN} more of these", where=where)
            return
        yield problem


RULES = (
    Rule(
        id="headers-disputed",
        severity=Severity.ERROR,
        summary="Two readers of PE headers read the same",
        explanation="Where programs read an image's headers differently, one may verify what another does not load. "
        "fuki holds its own reading of a finished image, and of the kernels in it, against pefile's: sections, entry "
        "point, image base, sizes, data directories, machine and subsystem. pefile reads as Windows loads: it rounds "
        "the offsets of sections down to 512 bytes, and ends at 16 data directories and at a section header of zeros. "
        "EFI firmware does neither.",
        check=disputed,
    ),
    Rule(
        id="headers-suspicious",
        severity=Severity.NOTE,
        summary="A second reader of PE headers finds them ordinary",
        explanation="pefile warns of structures that linkers do not make and malware has been seen with. What it says "
        "of large images and of Windows 8 is left out, which means nothing here, and what entry-point and "
        "writable-code tell.",
        check=suspicious,
    ),
)
