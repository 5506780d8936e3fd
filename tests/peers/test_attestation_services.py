"""What `fuki measure --format` tells, loaded into the code of those it is for.

The registers that a machine reports are computed by systemd-measure. Trustee's policies are evaluated by an
interpreter of Rego that is not OPA's, and CoRIMs are held against their schema in the plugin that writes them.
"""

import base64
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import parts
import pytest

from fuki_build.image.inspect import inspect
from fuki_build.image.section import STUB_MEASURED
from fuki_build.testing import succeed
from tests.support.systemd import library_path
from tests.support.workshop import IMAGE

FIRMWARE = """
[[fuki.firmware]]
source = "directory"
path = "ovmf"
platforms = ["qemu:q35"]
[[fuki.profile]]
id = "other"
cmdline = "other console=ttyS0"
"""
POLICY = """
package policy
import rego.v1
default executables := 33
executables := 3 if {
    input.tpm.pcr11 in data.reference.tpm_pcr11
    input.tpm.pcr04 in data.reference.tpm_pcr04
}
"""
"""As Trustee's policies ask for reference values; 3 and 33 are its words for known and for unknown executables."""

Pcr11 = Callable[[str | None], str]


@pytest.fixture
def directory(workshop: Path) -> Path:
    """An image with firmware for one machine and two profiles, and nothing that a verb could learn of its recipe."""
    (workshop / "ovmf").mkdir()
    (workshop / "ovmf" / "OVMF.fd").write_bytes(parts.get("ovmf-generic").read_bytes()[-65536:])
    recipe = (workshop / "fuki.toml").read_text().replace("[fuki]\n", '[fuki]\nplugins = ["virt"]\n')
    (workshop / "fuki.toml").write_text(recipe.replace("root ro", "root ro console=ttyS0") + FIRMWARE)
    succeed(workshop, "build")
    (workshop / "fuki.toml").unlink()
    return workshop


@pytest.fixture
def pcr11(directory: Path, tmp_path: Path, systemd_measure: Callable[..., Any]) -> Pcr11:
    """What systemd-measure says of PCR 11 of the profile main at the end of the boot, by the firmware selected."""

    def calculate(firmware: str | None) -> str:
        layout = inspect(directory / IMAGE)
        sections = {s.name: s.content for s in layout.effective(0) if s.name in STUB_MEASURED and s.name != ".efifw"}
        if firmware is not None:
            (sections[".efifw"],) = (s.content for s in layout.plain_sections if s.name == ".efifw")
        contents = {name: content.read_small(1 << 26, name) for name, content in sections.items()}
        told = systemd_measure("calculate", tmp_path, contents, "--phase=enter-initrd:leave-initrd:sysinit:ready")
        return str(told["sha256"][0]["hash"])

    return calculate


def tell(directory: Path, form: str, *arguments: str) -> Any:  # noqa: ANN401 - JSON
    out = succeed(directory, "--plugin", "virt", "measure", IMAGE, "--format", form, *arguments).out
    return json.loads(out)


def pcr4(directory: Path) -> str:
    (register,) = (r for r in tell(directory, "predictions", "--pcr", "4")["predictions"][0]["registers"])
    return str(register["values"]["sha256"])


@pytest.fixture
def keylime(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, dict[int, str]], list[str]]:
    """What Keylime's verifier finds wrong with registers, by a policy as its tenant reads it."""
    # Keylime signs other policies with GnuPG, by a module that Debian has for its own Python only.
    monkeypatch.setitem(sys.modules, "gpg", ModuleType("gpg"))
    from keylime.agentstates import AgentAttestState
    from keylime.common.algorithms import Hash
    from keylime.mba import mba
    from keylime.tpm import tpm_main, tpm_util

    mba.load_imports(skip_custom_policies=True)

    def judge(policy: str, registers: dict[int, str]) -> list[str]:
        failure = tpm_main.Tpm().check_pcrs(
            AgentAttestState("agent"),
            tpm_util.readPolicy(policy),
            registers,
            data=None,
            ima_measurement_list=None,
            runtime_policy=None,
            ima_keyrings=None,
            mb_measurement_list=None,
            mb_policy=None,
            hash_alg=Hash.SHA256,
            count=1,
            skip_data_pcr_check=True,
        )
        return [event.event_id for event in failure.events]

    return judge


def test_keylime_takes_the_registers_of_the_machine_and_no_others(directory, pcr11, keylime):
    policy = json.dumps(tell(directory, "keylime", "--pcr", "11", "--profile", "main", "--firmware", "ovmf"))
    assert keylime(policy, {11: pcr11("ovmf")}) == []
    assert keylime(policy, {11: pcr11(None)}) == ["pcr_validation.invalid_pcr_11"]
    assert keylime(policy, {11: "00" * 32}) == ["pcr_validation.invalid_pcr_11"]
    assert keylime(policy, {4: "00" * 32}) == ["pcr_validation.missing_pcrs"]


def test_without_a_filter_keylime_takes_machines_without_firmware_of_their_own_too(directory, pcr11, keylime):
    policy = json.dumps(tell(directory, "keylime", "--pcr", "11"))
    assert keylime(policy, {11: pcr11("ovmf")}) == keylime(policy, {11: pcr11(None)}) == []


def trustee(message: Any, tpm: dict[str, str]) -> int:  # noqa: ANN401 - JSON
    """Trustee's claim about executables, from a message of reference values and what a verified quote said."""
    from regopy import Interpreter

    assert (message["version"], message["type"]) == ("0.1.0", "sample")
    rego = Interpreter()
    rego.add_module("policy.rego", POLICY)
    rego.add_data({"reference": json.loads(base64.b64decode(message["payload"]))})
    rego.set_input({"tpm": tpm})
    return int(json.loads(str(rego.query("data.policy.executables")))["expressions"][0])


def test_trustees_policy_knows_the_executables_of_the_machine_and_no_others(directory, pcr11):
    message = tell(directory, "rvps", "--profile", "main", "--firmware", "ovmf")
    pcr04 = pcr4(directory)
    assert trustee(message, {"pcr04": pcr04, "pcr11": pcr11("ovmf")}) == 3
    assert trustee(message, {"pcr04": pcr04, "pcr11": pcr11(None)}) == 33
    assert trustee(message, {"pcr04": "00" * 32, "pcr11": pcr11("ovmf")}) == 33


def test_in_totos_own_library_reads_the_statement(directory):
    from google.protobuf.json_format import Parse
    from in_toto_attestation.v1.statement import Statement
    from in_toto_attestation.v1.statement_pb2 import Statement as Message

    text = json.dumps(tell(directory, "in-toto"))
    statement = Statement.copy_from_pb(Parse(text, Message()))
    statement.validate()
    (subject,) = statement.pb.subject
    assert subject.digest["sha256"] == hashlib.sha256((directory / IMAGE).read_bytes()).hexdigest()
    assert subject.name == IMAGE


def test_systemd_pcrlock_reads_the_components_of_the_firmware_that_was_asked_for(directory, tool):
    form = ["measure", IMAGE, "--format", "pcrlock", "--output", "asked.pcrlock.d"]
    succeed(directory, "--plugin", "virt", *form, "--profile", "main", "--firmware", "ovmf")
    program = parts.get("systemd-pcrlock")
    told = tool(
        program,
        "list-components",
        f"--components={directory / 'asked.pcrlock.d'}",
        "--json=short",
        LD_LIBRARY_PATH=library_path(program),
    )
    names = {(component["id"], Path(component["variants"]).name) for component in json.loads(told)}
    assert names == {("650-uki", "profile0-ovmf.pcrlock"), ("710-kernel-cmdline", "profile0-ovmf.pcrlock")}
