"""Many machines, profiles and firmware images take work in proportion: lines and calls are counted at two sizes."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest

from fuki_build import pipeline
from fuki_build.checks import firmware as firmware_rules
from fuki_build.checks import hwids as hwids_rules
from fuki_build.checks import matching
from fuki_build.cli.render.table import TextTable
from fuki_build.emit.shared import shared_inputs
from fuki_build.formats.pe.pe import CoffMachine
from fuki_build.formats.uki import efifw, hwids
from fuki_build.formats.uki.hwids import Device, DeviceType
from fuki_build.hardware.chid import Dialect, chid, stub_chids
from fuki_build.hardware.machine import Machine
from fuki_build.hooks.rules import CheckSubject, Expectation
from fuki_build.image import selection
from fuki_build.image.assemble import assemble
from fuki_build.image.blob import Blob
from fuki_build.image.describe import describe
from fuki_build.image.digest_plan import measured_in
from fuki_build.image.firmware import Slice
from fuki_build.image.image import Image, ImageKind
from fuki_build.image.layout import Layout
from fuki_build.image.plan import plan
from fuki_build.image.section import Section
from fuki_build.measure.boot import Boot
from fuki_build.measure.predict import cases, predict
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.measure.views import predictions_view
from fuki_build.recipe.load import load_cells
from fuki_build.recipe.machines import Declared, choose_devices
from tests.conftest import RECIPE
from tests.support.images import Content, layout_of
from tests.support.work import lines_of


def machines(count: int, maker: str = "Acme") -> list[Machine]:
    """Machines that differ in their products, as the instance types of a cloud."""
    numbers = range(count)
    fleet = [Machine(name=f"{maker} {n}", manufacturer=maker, product=f"{maker} p{n}") for n in numbers]
    for machine in fleet:
        stub_chids(machine)
    return fleet


def narrowest(machine: Machine) -> UUID:
    """The id of manufacturer and product."""
    hardware_id = chid(machine, 9, Dialect.STUB)
    assert hardware_id is not None
    return hardware_id


def image(profiles: int, fleet: Sequence[Machine], *, own_tables: bool = False, uname: bytes = b"7.0") -> Layout:
    """An image that has firmware `f` for all machines, in its base or in each of its profiles."""
    table = hwids.encode([Device(DeviceType.UEFI_FW, m.name, "f", frozenset({narrowest(m)})) for m in fleet])
    firmware = efifw.encode_header("f", 7) + b"payload"
    sections: list[Content] = [(".linux", b"kernel", None), (".uname", uname, None)]
    if not own_tables:
        sections += [(".hwids", table, None), (".efifw", firmware, None)]
    for number in range(profiles):
        sections.append((".profile", b"ID=p%d\n" % number, number))
        if own_tables:
            sections += [(".hwids", table, number), (".efifw", firmware, number)]
    return layout_of(sections)


def subject(profiles: int, fleet: Sequence[Machine], *, own_tables: bool = False) -> CheckSubject:
    numbers: Sequence[int | None] = range(profiles) if own_tables else [None]
    expected = [
        Expectation(machine=machine, fwid="f", profile=number, where="recipe")
        for number in numbers
        for machine in fleet
    ]
    expected += [Expectation(machine=fleet[0], fwid="f", profile=None, where="expect", explicit=True)]
    return CheckSubject(image(profiles, fleet, own_tables=own_tables), fleet, expected)


def run_rules(asked: CheckSubject) -> None:
    for rule in (*matching.RULES, *hwids_rules.RULES):
        assert rule.findings(asked) == []


class TestRules:
    def test_profiles_without_firmware_of_their_own_cost_nearly_nothing(self):
        fleet = machines(60)
        work = [lines_of(partial(run_rules, subject(profiles, fleet))) for profiles in (10, 40)]
        assert work[1] < 1.5 * work[0]

    def test_profiles_with_tables_of_their_own_cost_in_proportion(self):
        fleet = machines(30)
        work = [lines_of(partial(run_rules, subject(n, fleet, own_tables=True))) for n in (5, 20)]
        assert work[1] < 5 * work[0]

    def test_machines_cost_in_proportion(self):
        work = [lines_of(partial(run_rules, subject(4, machines(count)))) for count in (60, 240)]
        assert work[1] < 5 * work[0]

    def test_one_table_is_searched_once_for_each_machine_by_all_rules(self, monkeypatch: pytest.MonkeyPatch):
        searches: list[str] = []
        find = selection.find

        def counted(part: Slice, machine: Machine, kind: DeviceType) -> selection.Hit | None:
            searches.append(machine.name)
            return find(part, machine, kind)

        monkeypatch.setattr(selection, "find", counted)
        for profiles in (2, 20):
            searches.clear()
            run_rules(subject(profiles, machines(15)))
            assert sorted(searches) == sorted(machine.name for machine in machines(15))


class TestIdsThatAreNeverTried:
    @pytest.fixture
    def hashed(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        calls: list[str] = []

        def counted(machine: Machine, kind: int, dialect: Dialect) -> UUID | None:
            calls.append(machine.name)
            return chid(machine, kind, dialect)

        monkeypatch.setattr(hwids_rules, "chid", counted)
        return calls

    @pytest.mark.parametrize("count", [10, 40])
    def test_where_all_ids_are_tried_none_is_hashed(self, hashed: list[str], count: int):
        assert list(hwids_rules.never_tried(subject(1, machines(count)))) == []
        assert hashed == []

    @pytest.mark.parametrize("count", [10, 40])
    def test_an_unknown_id_costs_those_of_types_that_are_not_tried(self, hashed: list[str], count: int):
        stranger = machines(1, "Other")
        asked = CheckSubject(image(1, stranger), machines(count))
        assert list(hwids_rules.never_tried(asked)) == []
        # Types 0, 1, 2, 12, 13 and 14, in two dialects.
        assert len(hashed) == 12 * count

    def test_one_that_is_another_machines_useful_one_in_microsofts_dialect_is_not_reported(self):
        tried = Machine(name="tried", manufacturer="A", product="0B")
        hardware_id = chid(tried, 9, Dialect.MICROSOFT)
        assert hardware_id is not None
        useless = Machine(name="useless", chids=((13, hardware_id),))
        table = hwids.encode([Device(DeviceType.UEFI_FW, "x", "f", frozenset({hardware_id}))])
        layout = layout_of([(".linux", b"kernel", None), (".hwids", table, None)])
        (problem,) = hwids_rules.never_tried(CheckSubject(layout, [useless]))
        assert f"{hardware_id} (type 13 of useless)" in problem.message
        assert list(hwids_rules.never_tried(CheckSubject(layout, [useless, tried]))) == []


class TestIdsOfFirmware:
    @staticmethod
    def listed(count: int) -> list[Device]:
        loaded = machines(300, f"Maker {count}")
        declared = [
            Declared(machine=m, group="x", fwid=m.name, profile=None, types=(11, 9), forced=False, where="x")
            for m in loaded[:count]
        ]
        return list(choose_devices(declared, loaded))

    def test_each_is_listed_by_the_id_that_no_other_has(self):
        assert [device.chids for device in self.listed(3)] == [
            {narrowest(machine)} for machine in machines(3, "Maker 3")
        ]

    def test_the_machines_of_platforms_are_counted_once_for_all_firmware(self):
        work = [lines_of(partial(self.listed, count)) for count in (20, 80)]
        assert work[1] < 2 * work[0]


class TestManyFirmwareImages:
    @staticmethod
    def image(count: int) -> Image:
        devices = [Device(DeviceType.UEFI_FW, "x", f"f{n}", frozenset({UUID(int=n + 1)})) for n in range(count)]
        contents = [(".linux", b"kernel"), (".hwids", hwids.encode(devices))]
        contents += [(".efifw", efifw.encode_header(f"f{n}", 7) + b"payload") for n in range(count)]
        sections = tuple(Section(name=name, content=Blob.of_bytes(data), source="") for name, data in contents)
        return Image(kind=ImageKind.UKI, name="x", machine=CoffMachine.x64, stub=None, sections=sections)

    def test_each_is_placed_without_a_look_at_all_others(self):
        work = [lines_of(partial(plan, self.image(count))) for count in (50, 200)]
        assert work[1] < 5 * work[0]

    def test_ids_are_told_and_held_in_proportion(self):
        work = []
        for count in (50, 200):
            layout = plan(self.image(count))
            held = CheckSubject(layout)
            assert list(firmware_rules.duplicate_id(held)) == list(firmware_rules.never_selected(held)) == []
            assert [view.chids for view in describe(layout).firmware] == [(str(UUID(int=n + 1)),) for n in range(count)]
            work.append(lines_of(partial(list, firmware_rules.never_selected(CheckSubject(layout)))))
        assert work[1] < 5 * work[0]


class TestCells:
    @pytest.fixture
    def planned(self, workshop: Path) -> Callable[[int], int]:
        """The lines of planning so many cells, and of telling what they share."""

        def plan_of(count: int) -> int:
            axis = f"[fuki.matrix]\nn = {list(range(count))}\n"
            (workshop / "fuki.toml").write_text(RECIPE.replace("root ro", "root ro n={{ matrix.n }}") + axis)

            def work() -> None:
                with pipeline.plan_cells(load_cells(workshop), previewed=True) as plans:
                    assert {len(shared.cells) for shared in shared_inputs(plans)} == {count}

            return lines_of(work)

        return plan_of

    def test_each_is_planned_without_a_look_at_all_others(self, planned: Callable[[int], int]):
        planned(1)
        work = [planned(count) for count in (5, 20)]
        assert work[1] < 4.5 * work[0]


class TestTables:
    def test_a_row_in_a_pipe_costs_the_same_however_many_there_are(self):
        work = []
        for count in (100, 400):
            table = TextTable("Machine", "Size", "Id", right=("Size",))
            for number in range(count):
                table.add_row(f"machine {number}", str(number), "817fca52-ae83-52f5-8642-9497f79d49d0")
            work.append(lines_of(partial(list, table.lines())))
        assert work[1] < 4.5 * work[0]
        # In 0.03 ms, which is what a row may take, Python runs some hundreds of lines.
        assert work[1] < 150 * 400


class TestMeasure:
    def test_machines_are_matched_once_for_profiles_that_select_alike(self):
        fleet = machines(100)
        work = []
        for profiles in (10, 40):
            layout = image(profiles, fleet)
            work.append(lines_of(partial(cases, layout, fleet, layout.profiles)))
            assert len(cases(layout, fleet, layout.profiles)) == profiles
        assert work[1] < 2 * work[0]

    def test_predicting_for_confidential_guests_costs_in_proportion(self):
        work = []
        for firmware in (30, 120):
            devices = [Device(DeviceType.UEFI_FW, "x", f"f{n}", frozenset({UUID(int=n + 1)})) for n in range(firmware)]
            sections: list[Content] = [(".linux", b"kernel", None), (".hwids", hwids.encode(devices), None)]
            sections += [(".efifw", efifw.encode_header(f"f{n}", 7) + b"payload", None) for n in range(firmware)]
            sections += [(".uname", b"5.0", None)]
            layout = layout_of(sections)
            contents = SectionDigests(layout, assemble(layout, digests=measured_in(("sha384",))), ("sha384",))
            predictions = predict(contents, cases(layout, None, [None]), Boot())
            work.append(lines_of(partial(predictions_view, layout, predictions, [], Boot(), rtmrs=True)))
        assert work[1] < 5 * work[0]
