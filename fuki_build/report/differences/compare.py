"""Two images held against each other."""

from collections.abc import Sequence

from fuki_build.hardware.machine import Machine
from fuki_build.hooks.host import PluginHost
from fuki_build.image.assemble import Progress
from fuki_build.image.firmware import slices
from fuki_build.image.layout import Layout
from fuki_build.image.sbat_table import read_sbat
from fuki_build.report.differences.boots import case_pairs, register_differences, selection_differences
from fuki_build.report.differences.compared import Compared, ProfilePairs
from fuki_build.report.differences.content import (
    firmware_differences,
    profile_differences,
    section_differences,
    text_differences,
)
from fuki_build.report.differences.launches import ComparedLaunches, launch_differences
from fuki_build.report.differences.trust import (
    component_differences,
    policy_differences,
    signature_differences,
)
from fuki_build.report.differences.views import ComparedImage, ImageDifferences
from fuki_build.report.gather import ReportOptions, gather


def read_compared(
    layout: Layout, host: PluginHost, options: ReportOptions, progress: Progress | None = None
) -> Compared:
    """Read an image once, with all that a report tells of it. Raises `FukiError` as `gather` does."""
    return Compared(layout, slices(layout.plain_sections), gather(layout, host, options, progress))


def compare(
    old: Compared,
    new: Compared,
    machines: Sequence[Machine],
    launches: ComparedLaunches | None = None,
    *,
    only_machines: bool,
) -> ImageDifferences:
    """All differences. Selections are those of `machines`, and with `only_machines` so are registers and policies.

    Launches are compared where `launches` asks. Raises `FukiError` where these cannot be predicted.
    """
    pairs = ProfilePairs.of(old.layout, new.layout)
    cases = case_pairs(old, new, pairs, machines, only_machines=only_machines)
    rows, (new_rows, flaw) = read_sbat(old.layout)[0], read_sbat(new.layout)
    one, other = _image(old), _image(new)

    return ImageDifferences(
        old=one,
        new=other,
        identical=(one.sha256, one.file_size) == (other.sha256, other.file_size),
        sections=tuple(section_differences(old, new, pairs)),
        texts=tuple(text_differences(old, new, pairs)),
        profiles=tuple(profile_differences(old, new, pairs)),
        firmware=tuple(firmware_differences(old, new, pairs)),
        selections=tuple(selection_differences(cases)),
        registers=tuple(register_differences(old, new, pairs, cases)),
        sbat=tuple(component_differences(rows, new_rows)),
        signatures=tuple(signature_differences(old, new)),
        policies=tuple(policy_differences(old, new, cases)),
        launches=tuple(launch_differences(old, new, pairs, launches)) if launches else None,
        unpredicted=old.report.predictions.unknown or new.report.predictions.unknown,
        uncovered=old.report.policies.untold or new.report.policies.untold,
        sbat_flaw=flaw,
    )


def _image(side: Compared) -> ComparedImage:
    report = side.report
    return ComparedImage(
        image=report.image.name,
        kind=report.image.kind,
        arch=report.image.arch,
        stub=report.image.stub,
        file_size=report.image.file_size,
        sha256=report.digests.file,
        authenticode=report.image.authenticode,
        signature=report.signature.verdict.value,
    )
