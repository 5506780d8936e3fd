"""Images with the hand-over program: what is wrong is found, and the recipe's table is refused where it cannot be."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fuki_hand_over.programs import VM_LAUNCH_UPDATE
from msgspec.structs import replace

from fuki_build.checks import hand_over
from fuki_build.formats.uki import hwids
from fuki_build.formats.uki.hwids import Device, DeviceType
from fuki_build.hardware.chid import stub_chids
from fuki_build.hardware.machine import Machine
from fuki_build.hooks import CheckSubject
from fuki_build.image.layout import Layout
from fuki_build.image.stub import MODELS
from fuki_build.testing import invoke, recipe, refused, succeed
from tests.support.images import layout_of

RECIPE = recipe(
    """
[fuki.hand-over]
interface = "vm-launch-update"

[[fuki.firmware]]
source = "file"
id = "one"
path = "one.igvm"
platforms = ["qemu:q35"]
""",
    plugins=["hand-over"],
    os_release="os-release",
    sbat=["acme,1,Acme,acme,1,https://example.com/"],
)


def igvm_file() -> bytes:
    """The smallest IGVM file: one platform, no page."""
    headers = bytes.fromhex("01000000 10000000 01000000 02 00 0100 0000000000000000".replace(" ", ""))
    return b"IGVM" + b"".join(n.to_bytes(4, "little") for n in (1, 24, len(headers), 24 + len(headers), 0)) + headers


pytestmark = pytest.mark.workshop(files={"one.igvm": igvm_file()}, recipe=RECIPE)


def found(workshop: Path, *target: str) -> dict[str, dict]:
    findings = json.loads(invoke(workshop, "--plugin", "hand-over", "check", "--json", *target).out)["findings"]
    return {finding["rule"]: finding for finding in findings}


def test_the_right_recipe_and_image_have_no_findings_about_it(workshop):
    findings = found(workshop)
    assert not [rule for rule in findings if "hand" in rule or "launch" in rule], findings
    succeed(workshop, "build")
    assert not [rule for rule in found(workshop, "acme.efi") if "hand" in rule or "launch" in rule]


def patched(workshop: Path, change: Callable[[bytearray, int], None]) -> dict[str, dict]:
    """The findings about an image whose bytes were changed; `change` gets the program's offset."""
    succeed(workshop, "build")
    data = bytearray((workshop / "acme.efi").read_bytes())
    change(data, data.index(b"FUKIHAND"))
    (workshop / "wrong.efi").write_bytes(data)
    return found(workshop, "wrong.efi")


def move_entry(data: bytearray, _: int) -> None:
    at = int.from_bytes(data[0x3C:0x40], "little") + 40  # AddressOfEntryPoint
    data[at] ^= 4


def lose_stub(data: bytearray, program: int) -> None:
    data[program + 16 : program + 20] = bytes(4)


def lose_table(data: bytearray, program: int) -> None:
    data[program] = 0


def set_flags(flags: int) -> Callable[[bytearray, int], None]:
    def change(data: bytearray, _: int) -> None:
        at = data.index(b".fuki\0\0\0")
        data[at + 36 : at + 40] = flags.to_bytes(4, "little")

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (move_entry, "not the hand-over program"),
        (lose_stub, "the stub starts at 0x0"),
        (lose_table, "no hand-over program"),
        (set_flags(0x40000020), "not executable"),
        (set_flags(0xE0000020), "writable"),
        (set_flags(0x20000020), "no readable"),
    ],
)
def test_an_image_that_does_not_start_in_the_program_is_found(change, words, workshop):
    assert words in patched(workshop, change)["hand-over-program"]["message"]


def test_an_image_without_firmware_has_nothing_to_hand_over(workshop):
    (workshop / "fuki.toml").write_text(RECIPE.partition("[[fuki.firmware]]")[0])
    assert found(workshop)["hand-over-nothing"]["severity"] == "warning"


def test_payloads_that_the_device_does_not_take_are_found(workshop, part):
    (workshop / "one.igvm").unlink()
    (workshop / "one.igvm").symlink_to(part("ovmf-generic"))
    assert found(workshop)["vm-launch-update-payload"]["where"] == ".efifw one"


def layout_with(table: bytes) -> Layout:
    return layout_of(
        [(".linux", b"kernel", None), (".hwids", table, None), (".fuki", VM_LAUNCH_UPDATE.read_bytes(), None)]
    )


def test_hardware_ids_that_depend_on_the_panel_are_found():
    machine = Machine(name="laptop", manufacturer="Acme", panel_id="ABC1234")
    for chid in (stub_chids(machine)[17], stub_chids(machine)[7], next(iter(hwids.decode(nil_table()))).chid):
        table = hwids.encode([Device(DeviceType.UEFI_FW, "n", "fw", frozenset({chid}))])
        problems = list(hand_over.panel_ids(CheckSubject(layout_with(table), machines=[machine])))
        assert len(problems) == (0 if chid == stub_chids(machine)[7] else 1)


def nil_table() -> bytes:
    return (2 << 28 | 28).to_bytes(4, "little") + bytes(24) + bytes(28)


def test_a_stub_that_hands_over_itself_is_found(monkeypatch):
    layout = layout_with(nil_table())
    assert not list(hand_over.handed_over_twice(CheckSubject(layout)))
    later = (*MODELS, replace(MODELS[-1], since=(262, 1), hands_firmware_over=True))
    monkeypatch.setattr("fuki_build.image.stub.MODELS", later)
    (problem,) = hand_over.handed_over_twice(CheckSubject(layout))
    assert "itself" in problem.message


# Recipes


def test_without_the_table_an_image_has_nothing_of_it(workshop):
    (workshop / "fuki.toml").write_text(RECIPE.replace('[fuki.hand-over]\ninterface = "vm-launch-update"\n', ""))
    succeed(workshop, "build")
    assert b"FUKIHAND" not in (workshop / "acme.efi").read_bytes()


MISTAKES = {
    'interface = "vm-launch-updat"': ("fuki.hand-over.interface", "vm-launch-update"),
    "lasting = true": ("fuki.hand-over", "interface"),
    'interface = "vm-launch-update"\nlastin = true': ("fuki.hand-over.lastin", "lasting"),
    'interface = "vm-launch-update"\non-failure = "stop"': ("fuki.hand-over.on-failure", "stop"),
    'interface = "vm-launch-update"\nlock = 1': ("fuki.hand-over.lock", "bool"),
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_in_the_table_is_named(text, workshop):
    (workshop / "fuki.toml").write_text(RECIPE.replace('interface = "vm-launch-update"', text))
    error = refused(workshop, "plan")
    for words in MISTAKES[text]:
        assert words in error


def test_a_stub_of_another_architecture_is_refused(workshop, part):
    (workshop / "stub").unlink()
    (workshop / "stub").symlink_to(part("stub-aa64"))
    (workshop / "vmlinuz").unlink()
    (workshop / "vmlinuz").symlink_to(part("kernel-aa64"))
    assert "fuki.hand-over.interface" in refused(workshop, "plan")


def test_the_section_cannot_be_named_by_hand(workshop):
    (workshop / "fuki.toml").write_text(RECIPE + '\n[fuki.image.sections]\n".fuki" = "os-release"\n')
    assert "fuki.image.sections" in refused(workshop, "plan")


def test_mkosi_has_it_in_one_line(workshop):
    (workshop / "fuki.toml").rename(workshop / "base.toml")
    text = (workshop / "base.toml").read_text().replace('[fuki.hand-over]\ninterface = "vm-launch-update"\n', "")
    (workshop / "base.toml").write_text(text)
    line = "HandOver=interface=vm-launch-update lasting=true lock=yes on-failure=power-off"
    (workshop / "mkosi.conf").write_text(f"[Fuki]\nRecipe=base.toml\n{line}\n")
    succeed(workshop, "build", "mkosi.conf")
    image = (workshop / "acme.efi").read_bytes()
    assert image[image.index(b"FUKIHAND") + 20] == 7
