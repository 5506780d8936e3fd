"""Predicting takes work in proportion to profiles and to firmware: lines of code that run are counted, not seconds."""

from functools import partial
from uuid import UUID

import pytest

from fuki_build.formats.uki import efifw, hwids
from fuki_build.formats.uki.hwids import Device, DeviceType
from fuki_build.hardware.machine import Machine
from fuki_build.image.assemble import assemble
from fuki_build.image.digest_plan import measured_in
from fuki_build.image.firmware import slices
from fuki_build.image.layout import Layout
from fuki_build.image.selection import select
from fuki_build.measure.boot import Boot
from fuki_build.measure.predict import cases, predict
from fuki_build.measure.registers import PHASES
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.measure.views import predictions_view
from tests.support.images import Content, layout_of
from tests.support.work import lines_of


def image(profiles: int, firmware: int) -> Layout:
    devices = [Device(DeviceType.UEFI_FW, "x", f"f{n}", frozenset({UUID(int=n + 1)})) for n in range(firmware)]
    sections: list[Content] = [(".linux", b"kernel", None), (".cmdline", b"console=tty0", None)]
    sections += [(".hwids", hwids.encode(devices), None)]
    sections += [(".efifw", efifw.encode_header(f"f{n}", 7) + b"payload", None) for n in range(firmware)]
    sections += [(".profile", b"ID=p%d\n" % number, number) for number in range(profiles)]
    return layout_of(sections)


def measure(layout: Layout, contents: SectionDigests) -> None:
    predictions = predict(contents, cases(layout, None, layout.profiles), Boot())
    predictions_view(layout, predictions, [path.split(":") for path in PHASES], Boot())


def contents_of(layout: Layout) -> SectionDigests:
    return SectionDigests(layout, assemble(layout, digests=measured_in(("sha256",))), ("sha256",))


@pytest.mark.parametrize(("small", "large"), [((40, 1), (160, 1)), ((2, 30), (2, 120))], ids=["profiles", "firmware"])
def test_predicting_four_times_as_much_takes_four_times_the_work(small, large):
    work = []
    for profiles, firmware in (small, large):
        layout = image(profiles, firmware)
        contents = contents_of(layout)
        assert len(cases(layout, None, layout.profiles)) == profiles * (1 + firmware)
        work.append(lines_of(partial(measure, layout, contents)))
    assert work[1] < 5 * work[0]


def test_a_machine_is_matched_with_a_profile_without_a_look_at_the_others():
    machine = Machine(name="x", manufacturer="Acme")
    work = []
    for profiles in (10, 400):
        layout = image(profiles, 1)
        parts = slices(layout.plain_sections)
        select(parts, layout.model, machine, 5)
        work.append(lines_of(partial(select, parts, layout.model, machine, 5)))
    assert work[1] < 1.5 * work[0]
