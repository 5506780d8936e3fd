"""Which machines a firmware is for: platforms, machine files, dumps, strings; and the ids that come of them.

Expected ids are those that were collected with the platforms' SMBIOS strings.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from fuki_build.hardware.chid import WIDE_TO_NARROW
from fuki_build.hardware.machine import Machine, encode_file
from fuki_build.recipe.machines import Declared, choose_devices
from fuki_build.testing import invoke, recipe, refused, succeed
from tests.support.smbios import T440S, dump, table

Q35, I440FX = "817fca52-ae83-52f5-8642-9497f79d49d0", "a141acf9-eb8a-52b7-b7c8-e94b402a1590"
ANY_QEMU = "7f5dbe14-cfc8-595a-95fd-0fda870d7b52"
AWS_11, AWS_10 = "c7352a90-6932-5bb7-b916-d272f6e71955", "12ad5008-312e-5fd0-b525-b8889480c115"
T440S_5, T440S_7 = "8dc9b7c5-f5d5-5850-9ab3-bd6f0549d814", "da1da9b6-62f5-5f22-8aaa-14db7eeda2a4"
T440S_9, T440S_11 = "0cf8618d-9eff-537c-9f35-46861406eb9c", "db73af4c-4612-50f7-b8a7-787cf4871847"

BASE = recipe(os_release="os-release", uname="")


pytestmark = pytest.mark.workshop(
    real={"one.fd": "ovmf-generic", "two.fd": "ovmf-generic"},
    files={
        "t440s.dump": dump(table()),
        "t440s.toml": encode_file(Machine(name="t440s", **T440S)),
        "sibling.toml": encode_file(Machine(name="sibling", **{**T440S, "product": "20ARS19C0D"})),
        "q35.toml": '[machine]\nname = "lab"\nmanufacturer = "QEMU"\nproduct = "Standard PC (Q35 + ICH9, 2009)"\n',
        "prose.txt": "Dear Sir or Madam\n",
        "broken.toml": "[machine]\nmanufacurer = 'x'\n",
        "cut.dump": dump(table())[:90],
    },
)


def firmware(id_: str, text: str) -> str:
    return f'[[fuki.firmware]]\nsource = "file"\npath = "{id_}.fd"\nid = "{id_}"\n{text}\n'


def plan(workshop: Path, text: str) -> dict[str, Any]:
    (workshop / "fuki.toml").write_text(BASE + text)
    return json.loads(succeed(workshop, "plan", "--json").out)


def devices(workshop: Path, text: str) -> list[tuple[str, str, set[str]]]:
    """Each entry of the table: key, name, ids."""
    (image,) = plan(workshop, text)["images"]
    return [(device["fwid"], device["name"], set(device["chids"])) for device in image["devices"]]


def test_a_platform_is_listed_under_the_ids_of_its_machines(workshop: Path):
    assert devices(workshop, firmware("one", 'platforms = ["qemu"]')) == [
        ("one", "QEMU q35", {Q35}),
        ("one", "QEMU i440fx", {I440FX}),
    ]


def test_a_selector_chooses_machines_of_a_platform(workshop: Path):
    assert devices(workshop, firmware("one", 'platforms = ["qemu:q35"]')) == [("one", "QEMU q35", {Q35})]


@pytest.mark.parametrize("file", ["t440s.dump", "t440s.toml"])
def test_a_machine_file_or_dump_is_listed_under_the_widest_type(workshop: Path, file: str):
    assert devices(workshop, firmware("one", f'machines = ["{file}"]')) == [("one", "t440s", {T440S_11})]


def test_machines_that_share_the_widest_id_are_listed_once(workshop: Path):
    (device,) = devices(workshop, firmware("one", 'machines = ["t440s.toml", "sibling.toml"]'))
    assert device[2] == {T440S_11}


def test_a_narrower_type_is_taken_where_another_firmwares_machine_shares_the_widest(workshop: Path):
    text = firmware("one", 'machines = ["t440s.toml"]') + firmware("two", 'machines = ["sibling.toml"]')
    ids_by_key = {key: ids for key, _, ids in devices(workshop, text)}
    # The two differ in their product alone, so 11 and 7 do not tell them apart.
    assert ids_by_key["one"] == {T440S_9}
    assert not ids_by_key["two"] & {T440S_11, T440S_7, T440S_9}


def test_a_narrower_type_is_taken_where_a_machine_of_a_loaded_platform_shares_the_widest(workshop: Path):
    # Nothing is said of i440fx, which shares the type that every QEMU has.
    assert devices(workshop, firmware("one", 'machines = ["q35.toml"]')) == [("one", "lab", {Q35})]


def test_the_types_can_be_forced_and_all_are_listed(workshop: Path):
    text = firmware("one", 'machines = ["t440s.toml"]\nchid-types = [9, 5]')
    ((key, name, ids),) = devices(workshop, text)
    assert (key, name, ids) == ("one", "t440s", {T440S_9, T440S_5})


def test_a_platform_that_is_forced_to_a_wide_type_is_listed_once_under_its_title(workshop: Path):
    listed = devices(workshop, firmware("one", 'platforms = ["qemu"]\nchid-types = [11]'))
    assert listed == [("one", "QEMU", {ANY_QEMU})]


def test_strings_to_match_give_the_id_of_just_those_strings(workshop: Path):
    text = firmware("one", 'match = { manufacturer = "LENOVO", product = "20ARS19C0C" }')
    assert devices(workshop, text) == [("one", "one", {T440S_9})]


def test_an_empty_string_to_match_is_one_that_smbios_leaves_out(workshop: Path):
    text = firmware("one", 'name = "EC2"\nmatch = { manufacturer = "Amazon EC2", family = "" }')
    assert devices(workshop, text) == [("one", "EC2", {AWS_11})]


def test_strings_to_match_can_be_forced_to_a_type(workshop: Path):
    system = 'manufacturer = "Amazon EC2", family = ""'
    board = 'baseboard-manufacturer = "Amazon EC2", baseboard-product = ""'
    text = firmware("one", f"match = {{ {system}, {board} }}\nchid-types = [10]")
    assert devices(workshop, text) == [("one", "one", {AWS_10})]


def test_strings_are_matched_as_the_stub_strips_them(workshop: Path):
    text = firmware("one", 'match = { manufacturer = " 0LENOVO ", product = "20ARS19C0C" }')
    assert devices(workshop, text) == [("one", "one", {T440S_9})]


def test_all_ways_to_declare_come_together_for_one_firmware(workshop: Path):
    (workshop / "ec2.json").write_text(json.dumps({"type": "uefi-fw", "name": "EC2", "fwid": "one", "hwids": [AWS_11]}))
    text = firmware(
        "one",
        f'platforms = ["qemu:q35"]\nmachines = ["t440s.dump"]\nhwids = "ec2.json"\nchids = ["{I440FX}"]\n'
        'match = { manufacturer = "Google", product = "Google Compute Engine" }',
    )

    listed = devices(workshop, text)
    assert {key for key, _, _ in listed} == {"one"}

    assert set().union(*(ids for _, _, ids in listed)) == {
        Q35,
        T440S_11,
        AWS_11,
        I440FX,
        "fa23da35-436a-5d5d-add2-bd549606b553",
    }


def test_the_bytes_of_a_table_do_not_depend_on_how_a_machine_was_told(workshop: Path):
    (workshop / "t440s.txt").write_text(
        "Manufacturer: LENOVO\nFamily: ThinkPad T440s\nProductName: 20ARS19C0C\n"
        "ProductSku: LENOVO_MT_20AR_BU_Think_FM_ThinkPad T440s\n"
    )
    tables = [devices(workshop, firmware("one", f'machines = ["t440s.{form}"]')) for form in ("dump", "toml", "txt")]
    assert tables[0] == tables[1] == tables[2]


def test_a_machine_file_is_among_the_inputs_of_the_image(workshop: Path):
    (workshop / "fuki.toml").write_text(BASE + firmware("one", 'machines = ["t440s.toml"]'))
    succeed(workshop, "build", "--depfile", "deps")
    assert "t440s.toml" in (workshop / "deps").read_text()


MISTAKES = {
    "an unknown platform": ('platforms = ["qmeu"]', "platforms[0]", "there is no platform 'qmeu'", "'qemu'"),
    "an unknown selector": ('platforms = ["qemu", "qemu:q36"]', "platforms[1]", "qemu has no machine 'q36'", "q35"),
    "a machine file that is not there": ('machines = ["x"]', "machines[0]", "x", "relative to the recipe"),
    "a directory": ('machines = ["."]', "machines[0]", "", "hint"),
    "an empty path": ('machines = [""]', "machines[0]", "the path is empty", ""),
    "a text that tells of no machine": ('machines = ["prose.txt"]', "machines[0]", "tells nothing", "dmidecode"),
    "a machine file with a mistake": (
        'machines = ["t440s.toml", "broken.toml"]',
        "machines[1]",
        "unknown key 'manufacurer'",
        "'manufacturer'",
    ),
    "a dump cut short": ('machines = ["cut.dump"]', "machines[0]", "cut.dump: the", ""),
    "a type that the stub does not try": (
        'platforms = ["qemu"]\nchid-types = [9, 14]',
        "chid-types[1]",
        "never tries CHID type 14",
        "3, 4, 5",
    ),
    "a type that does not exist": ('platforms = ["qemu"]\nchid-types = [99]', "chid-types[0]", "type 99", ""),
    "a type that is no number": ('platforms = ["qemu"]\nchid-types = ["9"]', "chid-types[0]", "int", "fuki schema"),
    "strings that make no id": (
        'match = { product = "x" }',
        "match",
        "no hardware id is made of these strings alone",
        "manufacturer + family",
    ),
    "an unknown string": (
        'match = { manufacurer = "x" }',
        "match",
        "unknown key 'manufacurer'",
        "'manufacturer'",
    ),
    "a forced type that the strings do not make": (
        'match = { manufacturer = "x", product = "y" }\nchid-types = [11]',
        "match",
        "no hardware id of the types 11",
        "",
    ),
    "an unknown key": ('machine = ["t440s.toml"]', "machine", "unknown key", "'machines'"),
}


@pytest.mark.parametrize(("text", "place", "problem", "remedy"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_with_place_and_remedy(workshop: Path, text: str, place: str, problem: str, remedy: str):
    (workshop / "fuki.toml").write_text(BASE + firmware("one", text))
    error = refused(workshop, "plan")
    assert f"fuki.firmware[0].{place}" in error
    assert problem in error
    assert remedy in error


class TestExpectations:
    def test_one_that_names_a_platform_a_selector_or_a_file_holds(self, workshop: Path):
        text = firmware("one", 'platforms = ["qemu"]\nmachines = ["t440s.toml"]')
        for machine in ("qemu", "qemu:q35", "t440s.toml", "./t440s.dump", str(workshop / "t440s.dump")):
            text += f'[[fuki.expect]]\nmachine = "{machine}"\nfirmware = "one"\n'
        assert not [f for f in plan(workshop, text)["findings"] if f["rule"] == "match-expectation"]

    MISTAKES = (
        ("machine = 'nowhere'", "machine", "there is no platform 'nowhere'"),
        ("machine = 'qemu:q36'", "machine", "qemu has no machine 'q36'"),
        ("machine = './nowhere'", "machine", "nowhere"),
        ("machine = 'prose.txt'", "machine", "tells nothing"),
        ("machine = 'qemu'\nprofile = 'debgu'", "profile", "there is no profile 'debgu'"),
        ("firmware = 'one'", "", "'machine' is missing"),
        ("machine = 'qemu'\nfirmwre = 'one'", "firmwre", "unknown key"),
    )

    @pytest.mark.parametrize(("text", "key", "problem"), MISTAKES)
    def test_a_mistake_is_told_with_its_place(self, workshop: Path, text: str, key: str, problem: str):
        profile = '[[fuki.profile]]\nid = "debug"\n'
        (workshop / "fuki.toml").write_text(
            f"{BASE}{profile}[[fuki.expect]]\nmachine = 'qemu'\n[[fuki.expect]]\n{text}\n"
        )
        error = refused(workshop, "plan")
        assert f"fuki.expect[1]{'.' * bool(key)}{key}" in error
        assert problem in error

    def test_a_profile_that_is_nearly_named_is_offered(self, workshop: Path):
        profile = '[[fuki.profile]]\nid = "debug"\n'
        (workshop / "fuki.toml").write_text(f"{BASE}{profile}[[fuki.expect]]\nmachine = 'qemu'\nprofile = 'debgu'\n")
        assert "did you mean 'debug'?" in refused(workshop, "plan")


CONF = """\
[Fuki]
Name=acme
Stub=stub
Linux=vmlinuz
OsRelease=os-release
Firmware=source=file id=one path=one.fd platforms=qemu:q35
    source=file id=two path=two.fd machines=t440s.toml,sibling.toml chid-types=[11]
Expect=machine=qemu:q35 firmware={q35}
    machine=t440s.dump firmware=two
Expect=machine=qemu:i440fx
"""


class TestMkosi:
    def run(self, workshop: Path, conf: str) -> list[dict[str, Any]]:
        (workshop / "fuki.toml").unlink()
        (workshop / "mkosi.conf").write_text(conf)
        return json.loads(succeed(workshop, "plan", "--json").out)["findings"]

    def test_expectations_are_lines_of_words(self, workshop: Path):
        findings = self.run(workshop, CONF.format(q35="one"))
        assert not [f for f in findings if f["rule"].startswith("match-")]

    def test_one_that_does_not_hold_is_found(self, workshop: Path):
        (workshop / "fuki.toml").unlink()
        (workshop / "mkosi.conf").write_text(CONF.format(q35="ovmf"))
        outcome = invoke(workshop, "plan", "--json")
        (finding,) = [f for f in json.loads(outcome.out)["findings"] if f["rule"] == "match-expectation"]
        assert finding["where"] == "fuki.expect[0]"
        assert finding["message"] == "QEMU q35 selects one, expected is ovmf"
        assert outcome.code == 1


class TestChoice:
    """Of the ids of a machine, beside the machines of loaded platforms."""

    LAPTOP = Machine(name="laptop", **T440S)
    SIBLING = Machine(name="sibling", **{**T440S, "product": "20ARS19C0D"})

    def chosen(self, *loaded: Machine) -> list[str]:
        declared = Declared(
            machine=self.LAPTOP, group="laptop", fwid="one", profile=None, types=WIDE_TO_NARROW, forced=False, where=""
        )
        return [str(value) for device in choose_devices([declared], loaded) for value in device.chids]

    def test_the_widest_is_chosen_where_no_other_machine_has_it(self):
        assert self.chosen(Machine(name="other", manufacturer="Other")) == [T440S_11]

    def test_one_that_a_loaded_platforms_machine_has_is_not_chosen(self):
        assert self.chosen(self.SIBLING) == [T440S_9]

    def test_a_loaded_machine_that_is_the_same_does_not_count(self):
        assert self.chosen(Machine(name="same", **T440S)) == [T440S_11]
