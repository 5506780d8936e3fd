"""Rules about devicetrees: `.dtb` and `.dtbauto` sections."""

from collections.abc import Iterator

from fuki_build.checks.places import at, sections
from fuki_build.errors import FormatError
from fuki_build.formats.hardware import fdt
from fuki_build.formats.uki.hwids import DeviceType
from fuki_build.hooks.rules import CheckSubject, Problem, Problems, Rule, Severity
from fuki_build.image.firmware import Slice, read_compatible

_SHOWN = 5


def broken(subject: CheckSubject) -> Problems:
    for section, where in sections(subject, ".dtb", ".dtbauto"):
        try:
            fdt.check(section.content.reader, ordered=section.name == ".dtbauto")
        except FormatError as error:
            yield Problem(error.message, where=where, hint="give a compiled devicetree (.dtb)")
            continue
        if section.name == ".dtbauto" and not read_compatible(section):
            yield Problem(
                "its root has no compatible string, so no machine selects it",
                where=where,
                hint="give a whole devicetree, no overlay",
            )


def _compatibles(part: Slice) -> Iterator[str]:
    yield from filter(None, map(read_compatible, part.devicetrees))


def duplicate(subject: CheckSubject) -> Problems:
    for part in subject.slices:
        names = list(_compatibles(part))
        for name in dict.fromkeys(n for n in names if names.count(n) > 1):
            yield Problem(
                f"{names.count(name)} devicetrees are for {name!r}; only the first can be selected",
                where=at(".dtbauto", part.profile),
                hint="give one for each machine",
            )


def missing(subject: CheckSubject) -> Problems:
    for part in subject.slices:
        present = set(_compatibles(part))
        lost = [key for key in (part.table.keys(DeviceType.DEVICETREE) if part.table else ()) if key not in present]
        if lost:
            shown = ", ".join(map(repr, lost[:_SHOWN])) + (f" and {len(lost) - _SHOWN} more" if lost[_SHOWN:] else "")
            yield Problem(
                f"the table selects devicetrees that are not there: {shown}",
                where=at(".hwids", part.profile),
                hint="add them with dtbauto, or drop their ids",
            )


RULES = (
    Rule(
        id="devicetree-broken",
        severity=Severity.ERROR,
        summary="Every devicetree is one",
        explanation="The stub hands .dtb to the kernel without a look at it, which then finds no hardware. A .dtbauto "
        "whose header or sizes do not fit, or whose root has no compatible string, never matches (devicetree.c, "
        "262.1).",
        check=broken,
    ),
    Rule(
        id="devicetree-duplicate",
        severity=Severity.WARNING,
        summary="No two devicetrees are for one machine",
        explanation="The stub compares the first compatible string of the root, and takes the first .dtbauto that "
        "matches.",
        check=duplicate,
    ),
    Rule(
        id="hwids-missing-devicetree",
        severity=Severity.NOTE,
        summary="The table selects only devicetrees that are there",
        explanation="A machine that matches such a record gets no devicetree from the image, although others further "
        "down might match it. systemd's own collection lists many machines, and images need not have devicetrees for "
        "all of them.",
        check=missing,
    ),
)
