"""The cases of an image: which firmware and devicetree machines may select in each profile, and in what order."""

from uuid import UUID

import pytest

from fuki_build.errors import RecipeError
from fuki_build.formats.uki import efifw, hwids
from fuki_build.formats.uki.hwids import Device, DeviceType
from fuki_build.hardware.chid import stub_chids
from fuki_build.hardware.machine import Machine
from fuki_build.image.layout import Layout
from fuki_build.measure.predict import Case, before_stub, cases, firmware_case, labelled_cases, predict, with_firmware
from tests.measure.test_predictions import LINUX, contents_of, tree
from tests.support.images import Content, layout_of

MACHINES = [Machine(name=name, manufacturer="Acme", product=name) for name in ("one", "two", "three", "none")]


def chid(name: str) -> UUID:
    """By manufacturer and product (fwupd's HardwareID-10, which the stub has as its tenth)."""
    return stub_chids(Machine(name=name, manufacturer="Acme", product=name))[9]


def table(*devices: tuple[DeviceType, str, str], profile: int | None = None) -> Content:
    """Hardware ids: for each device its type, key and machine."""
    entries = [Device(kind, "name", key, frozenset({chid(machine)})) for kind, key, machine in devices]
    return ".hwids", hwids.encode(entries), profile


def firmware(fwid: str, content: bytes, profile: int | None = None) -> Content:
    return ".efifw", efifw.encode_header(fwid, len(content)) + content, profile


def image(stub: str = "stub-x64") -> Layout:
    """Firmware for two machines, one of which a profile has newer firmware for, and a devicetree for a third."""
    return layout_of(
        [
            LINUX,
            firmware("a", b"first"),
            firmware("b", b"second"),
            firmware("unreachable", b"third"),
            (".dtbauto", tree("acme,three"), None),
            table(
                (DeviceType.UEFI_FW, "a", "one"),
                (DeviceType.UEFI_FW, "b", "two"),
                (DeviceType.DEVICETREE, "acme,three", "three"),
            ),
            (".profile", b"ID=main", 0),
            (".profile", b"ID=newer", 1),
            firmware("a", b"newer", 1),
            table((DeviceType.UEFI_FW, "a", "one"), profile=1),
        ],
        stub,
    )


def selected(case: Case) -> tuple[int | None, str | None, str | None, list[bytes]]:
    matched = [section for section in case.measured if section.name in (".efifw", ".dtbauto")]
    return case.profile, case.firmware, case.devicetree, [section.content.read_at(0, 4096)[-6:] for section in matched]


def test_all_that_machines_may_select_starts_with_nothing():
    tail = tree("acme,three")[-6:]
    assert [selected(case) for case in cases(image(), None, [0])] == [
        (0, None, None, []),
        (0, None, "acme,three", [tail]),
        (0, "a", None, [b"\0first"]),
        (0, "a", "acme,three", [tail, b"\0first"]),
        (0, "b", None, [b"second"]),
        (0, "b", "acme,three", [tail, b"second"]),
    ]


def test_a_stub_that_matches_nothing_has_one_case():
    assert [selected(case) for case in cases(image("stub-252-x64"), None, [None])] == [(None, None, None, [])]


def test_machines_that_select_the_same_share_a_case():
    told = cases(image(), [*MACHINES, MACHINES[0], Machine(name="other", manufacturer="Acme", product="one")], [0, 1])
    assert [(case.profile, case.firmware, case.devicetree, case.machines) for case in told] == [
        (0, "a", None, ("one", "other")),
        (0, "b", None, ("two",)),
        (0, None, "acme,three", ("three",)),
        (0, None, None, ("none",)),
        (1, "a", None, ("one", "other")),
        (1, "b", None, ("two",)),
        (1, None, "acme,three", ("three",)),
        (1, None, None, ("none",)),
    ]
    newer = next(case for case in told if case.profile == 1 and case.firmware == "a")
    assert selected(newer)[3] == [b"\0newer"]


def test_every_case_is_labelled_with_its_machines():
    layout = image()
    labelled = {
        (case.profile, case.firmware, case.devicetree): case.machines for case in labelled_cases(layout, MACHINES)
    }
    assert [case.measured for case in labelled_cases(layout, MACHINES)] == [
        case.measured for case in cases(layout, None, [0, 1])
    ]
    assert {key: machines for key, machines in labelled.items() if machines} == {
        (0, None, None): ("none",),
        (0, None, "acme,three"): ("three",),
        (0, "a", None): ("one",),
        (0, "b", None): ("two",),
        (1, None, None): ("none",),
        (1, None, "acme,three"): ("three",),
        (1, "a", None): ("one",),
        (1, "b", None): ("two",),
    }
    assert {case.profile for case in labelled_cases(layout, MACHINES, [1])} == {1}
    (alone,) = labelled_cases(layout_of([LINUX]), MACHINES)
    assert (alone.profile, alone.machines) == (None, ("one", "two", "three", "none"))


def test_patterns_leave_the_cases_of_their_firmware():
    possible = cases(image(), None, [0])
    assert with_firmware(possible, []) == possible
    assert {case.firmware for case in with_firmware(possible, ["a*", "x"])} == {"a"}
    assert {case.firmware for case in with_firmware(possible, ["*"])} == {"a", "b"}
    assert {case.firmware for case in with_firmware(possible, ["", "b"])} == {None, "b"}
    with pytest.raises(RecipeError, match="selects firmware 'x' or 'A'") as raised:
        with_firmware(possible, ["x", "A"])
    assert raised.value.hint == "what is selected: none, a, b"


@pytest.mark.parametrize(
    ("profile", "fwid", "content"),
    [
        (0, "a", [b"\0first"]),
        (1, "a", [b"\0newer"]),
        (1, "b", [b"second"]),
        (0, "unreachable", []),
        (0, "c", []),
    ],
)
def test_the_case_of_firmware_is_of_the_profiles_own_first(profile: int, fwid: str, content: list[bytes]):
    case = firmware_case(image(), profile, fwid)
    assert selected(case) == (profile, fwid if content else None, None, content)
    assert firmware_case(image("stub-257-x64"), profile, fwid).firmware is None


def test_before_the_stub_only_firmware_measures():
    contents = contents_of(image())
    (prediction, *_) = predict(contents, cases(contents.layout, None, [1]))
    before = before_stub(prediction)
    assert (before.case, before.banks) == (prediction.case, prediction.banks)
    assert [event.source for event in before.events] == ["constant", "constant", "the image"]
    assert prediction.events[: len(before.events)] == before.events


def test_a_profile_has_devicetrees_of_its_own():
    own = tree("acme,one")
    layout = layout_of(
        [
            LINUX,
            (".profile", b"ID=main", 0),
            (".profile", b"ID=board", 1),
            (".dtbauto", own, 1),
            table((DeviceType.DEVICETREE, "acme,one", "one"), profile=1),
        ]
    )
    told = cases(layout, MACHINES[:1], [0, 1])
    assert [selected(case) for case in told] == [(0, None, None, []), (1, None, "acme,one", [own[-6:]])]
    assert [(case.profile, case.devicetree) for case in cases(layout, None, [0, 1])] == [
        (0, None),
        (1, None),
        (1, "acme,one"),
    ]
