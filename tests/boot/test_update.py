"""After an update, guests measure what is predicted from the event log of their boot before it, in every register."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import parts
import pytest
from fuki_qemu import session
from fuki_qemu.boot_request import BootRequest
from fuki_qemu.guest import Screen
from fuki_qemu.report import GuestReport

from fuki_build import new_host
from fuki_build.recipe.machines import platform_machines
from fuki_build.testing import invoke, succeed
from fuki_build.testing.documents import printed
from tests.support.bootable import CLOUD_PLUGINS, CMDLINE, build, clouds

ENROLLER = ("--plugin", "virt-firmware")
UPDATE: Mapping[str, Any] = {"cmdline": f"{CMDLINE} updated", "initrd": {"init": b"#!/bin/sh\nexec true\n"}}
PROFILES = ("rescue", "debug")


def boot(directory: Path, image: Path, **choices: Any) -> GuestReport:  # noqa: ANN401 - fields of the request
    """Boot an image, and ask the guest's TPM."""
    request = BootRequest(
        image=image,
        **{"firmware": parts.get("ovmf-code"), **choices},
        kvm=False,
        timeout=150,
        verify=True,
        screen=Screen.NONE,
    )
    booted = session.boot(request, new_host(("virt-firmware",)), directory / f"boot-{image.parent.name}")
    assert booted.report is not None, booted.console[-2000:]
    return booted.report


def hold(
    directory: Path,
    before: GuestReport,
    new: Path,
    after: GuestReport,
    *options: object,
    apart: Sequence[int] = (),
) -> Mapping[int, bool]:
    """All registers but some are as they were predicted from the log of the first boot; which of them changed."""
    log = directory / "old.log"
    assert before.log is not None
    log.write_bytes(before.log)
    view = printed(directory, "measure", new, "--log", log, "--bank", "all", "--json", *options, plugins=CLOUD_PLUGINS)

    told = {view["register"]: view for view in view["registers"] if view["phase"] is None}
    assert list(told) == list(range(16))
    told = {number: view for number, view in told.items() if number not in apart}
    assert {number: row["unknown"] for number, row in told.items() if row["unknown"]} == {}
    for bank in ("sha1", "sha256", "sha384", "sha512"):
        for number, row in told.items():
            assert row["before"][bank] == before.registers[bank][number].hex(), (bank, number)
            assert row["values"][bank] == after.registers[bank][number].hex(), (bank, number)
    return {number: row["changes"] for number, row in told.items()}


def changed(registers: Mapping[int, bool]) -> list[int]:
    return [number for number, changes in registers.items() if changes]


@pytest.mark.parametrize("is_there", [True, False], ids=["with the old image", "without"])
def test_a_new_command_line_and_initrd_on_a_machine_that_selects_firmware(is_there: bool, tmp_path: Path) -> None:
    old = build(tmp_path / "old", clouds(tmp_path / "old"))
    new = build(tmp_path / "new", clouds(tmp_path / "new"), **UPDATE)
    machine = platform_machines("gcp", new_host(CLOUD_PLUGINS), "--platform")[0]
    before, after = (boot(tmp_path, image, machine=machine) for image in (old, new))

    options = ("--old", old) if is_there else ("--platform", "gcp", "--no-boot-secret")
    assert changed(hold(tmp_path, before, new, after, *options)) == [4, 9, 11]


def test_a_profile_that_moved(tmp_path: Path) -> None:
    """Its number stands in the boot option, which firmware measures into register 1 and whoever updates changes."""
    old, new = (build(tmp_path / name, profiles(*ids)) for name, ids in (("old", PROFILES), ("new", PROFILES[::-1])))
    before, after = (boot(tmp_path, image, profile="debug", options="from=menu") for image in (old, new))

    registers = hold(tmp_path, before, new, after, "--old", old, apart=[1])
    assert changed(registers) == [4, 12]

    # In the form of an output format, it is the one case of the boot that the log shows.
    options = ("--log", "old.log", "--old", old, "--bank", "sha384", "--format", "predictions", "-o", "told.json")
    succeed(tmp_path, "measure", new, *options)
    (case,) = json.loads((tmp_path / "told.json").read_text())["predictions"]
    told = {row["pcr"]: row["values"]["sha384"] for row in case["registers"] if row["phase"] is None}
    assert told == {pcr: after.registers["sha384"][pcr].hex() for pcr in (4, 9, 11, 12)}


def test_a_stub_that_loads_the_kernel_itself_and_measures_smbios(tmp_path: Path) -> None:
    """The stub of 257 has firmware load the kernel, which is measured then; that of 262 does not."""
    old, new = build(tmp_path / "old", stub="stub-257-x64"), build(tmp_path / "new")
    before, after = (boot(tmp_path, image) for image in (old, new))

    hold(tmp_path, after, old, before, "--old", new)
    hold(tmp_path, before, new, after, "--old", old, "--no-boot-secret", apart=[1])
    outcome = succeed(tmp_path, "measure", new, "--log", "old.log", "--old", old, "--pcr", 1, "--pcr", 9)
    assert "adds a secret of its own" in outcome.out
    assert "the new stub measures SMBIOS structures" in outcome.out


def profiles(*names: str) -> str:
    return "".join(f'[[fuki.profile]]\nid = "{name}"\ncmdline = "{CMDLINE} {name}"\n' for name in names)


@pytest.fixture
def signed(tmp_path: Path) -> Mapping[str, Path]:
    """An image and its update, with a signature by the first key in db, and the update with one by the second, too."""
    for name in ("first", "second"):
        succeed(tmp_path, "keys", "generate", name, "--name", name)
    images = {name: build(tmp_path / name, **choices) for name, choices in (("old", {}), ("new", UPDATE))}

    signed = {}
    for name, image, keys in (("old", "old", "first"), ("new", "new", "first"), ("other", "new", "second")):
        signed[name] = tmp_path / f"signed-{name}" / "boot.efi"
        signed[name].parent.mkdir()
        pair = ("--key", tmp_path / keys / "db.key", "--certificate", tmp_path / keys / "db.pem")
        succeed(tmp_path, "sign", images[image], *pair, "-o", signed[name])
    return signed


@pytest.mark.parametrize(("update", "registers"), [("new", [4, 9, 11]), ("other", [4, 7, 9, 11])])
@pytest.mark.parametrize("is_there", [True, False], ids=["with the old image", "without"])
def test_secure_boot_with_another_key_of_db(
    is_there: bool, update: str, registers: list[int], signed: Mapping[str, Path], tmp_path: Path
) -> None:
    keys = ("--pk", "first/PK.pem", "--kek", "first/KEK.pem", "--db", "first/db.pem", "--db", "second/db.pem")
    store = tmp_path / "vars.fd"
    succeed(tmp_path, *ENROLLER, "keys", "enroll", parts.get("ovmf-vars"), "-o", store, *keys)
    secure = {"firmware": parts.get("ovmf-secboot"), "keys": store}
    before, after = (boot(tmp_path, signed[name], **secure) for name in ("old", update))

    options = ("--old", signed["old"]) if is_there else ("--no-boot-secret",)
    assert changed(hold(tmp_path, before, signed[update], after, *options)) == registers


def test_what_is_not_known_is_not_guessed(tmp_path: Path) -> None:
    old = build(tmp_path / "old", '[[fuki.addon]]\nname = "more"\ncmdline = "from=addon"\n')
    addon = tmp_path / "old" / "boot.efi.extra.d" / "more.addon.efi"
    new = build(tmp_path / "new", **UPDATE)
    log = tmp_path / "old.log"
    before = boot(tmp_path, old, addons=(addon,))
    assert before.log is not None
    log.write_bytes(before.log)

    for options, complaint in (
        (("--old", old), "does not explain PCR 4"),
        (("--old", new), "the log is not of a boot of"),
        ((), "was started by the image"),
    ):
        outcome = invoke(tmp_path, "measure", new, "--log", log, *options)
        assert outcome.code == 3
        assert complaint in outcome.err

    after = boot(tmp_path, new, addons=(addon,))
    for known in (("--old", old), ("--no-boot-secret",)):
        assert changed(hold(tmp_path, before, new, after, "--addon", addon, *known)) == [4, 9, 11]
