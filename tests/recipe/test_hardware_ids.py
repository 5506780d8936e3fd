"""Hardware ids of a recipe, and files of them, that cannot be used are refused where they stand."""

import json

import pytest

from fuki_build.testing import refused
from tests.support.recipe_mistakes.changes import FIRMWARE, more

CHID = "01e09b32-de05-56ca-b9d1-9486ad5f381d"

HWIDS = {
    "damaged JSON": ("{", "not systemd's hwids JSON"),
    "a list": ([], "not systemd's hwids JSON"),
    "no hwids": ({"type": "uefi-fw", "name": "n", "fwid": "fw"}, "hwids"),
    "a number for an id": ({"type": "uefi-fw", "name": "n", "fwid": "fw", "hwids": [1]}, "not systemd's hwids JSON"),
    "an unknown type": ({"type": "acpi", "name": "n", "fwid": "fw", "hwids": [CHID]}, "unknown type 'acpi'"),
    "no fwid": ({"type": "uefi-fw", "name": "n", "hwids": [CHID]}, "'fwid'"),
    "a fwid and a compatible": (
        {"type": "uefi-fw", "name": "n", "fwid": "fw", "compatible": "c", "hwids": [CHID]},
        "'compatible'",
    ),
    "another fwid": ({"type": "uefi-fw", "name": "n", "fwid": "other", "hwids": [CHID]}, "'other'"),
    "a devicetree's": ({"type": "devicetree", "name": "n", "compatible": "fw", "hwids": [CHID]}, "devicetree"),
    "no ids": ({"type": "uefi-fw", "name": "n", "fwid": "fw", "hwids": []}, "list of hardware ids is empty"),
    "an id that is no UUID": ({"type": "uefi-fw", "name": "n", "fwid": "fw", "hwids": ["x"]}, "'x' is not a hardware"),
}


@pytest.mark.parametrize(("content", "problem"), HWIDS.values(), ids=HWIDS)
def test_a_hardware_id_file_is_refused_for(traps, content, problem):
    (traps / "hw.json").write_text(content if isinstance(content, str) else json.dumps(content))
    (traps / "fuki.toml").write_text(more(FIRMWARE + 'hwids = "hw.json"\n'))
    error = refused(traps, "build")
    assert error.startswith("fuki: error: fuki.firmware[0].hwids")
    assert problem in error


def test_a_hardware_id_directory_without_json_is_refused(traps):
    (traps / "fuki.toml").write_text(more('hwids = "dir"\n'))
    assert "fuki.image.hwids: dir holds no *.json" in refused(traps, "build")


def test_a_hardware_id_directory_that_is_not_there_is_refused(traps):
    (traps / "fuki.toml").write_text(more('hwids = "nope"\n'))
    assert "fuki.image.hwids: cannot open nope" in refused(traps, "build")


def test_a_hardware_id_in_the_recipe_that_is_no_uuid_is_refused(traps):
    (traps / "fuki.toml").write_text(more(FIRMWARE + f'chids = ["{CHID}", "x"]\n'))
    assert "fuki.firmware[0].chids[1]: 'x' is not a hardware id" in refused(traps, "build")
