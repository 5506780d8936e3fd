"""The formats that tell verifiers what an image measures, held against what systemd-measure says of its sections."""

import base64
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import parts
import pytest

from fuki_build.formats.tcg.event_log import TYPES
from fuki_build.testing import refused, succeed
from tests.formats.test_event_log import record, spec_event
from tests.support.workshop import workshop_recipe

FORMATS = """
[[fuki.output]]
format = "predictions"
banks = ["sha1", "sha256", "sha384", "sha512"]
addons = false
direct = true
[[fuki.output]]
format = "predictions"
path = "out.md"
template = "predictions.md.j2"
[[fuki.output]]
format = "pcrlock"
banks = ["sha1", "sha256", "sha384", "sha512"]
direct = true
[[fuki.output]]
format = "rvps"
[[fuki.output]]
format = "keylime"
phases = ["enter-initrd"]
boot-secret = false
[[fuki.output]]
format = "in-toto"
[[fuki.output]]
format = "uki"
"""


@pytest.fixture
def directory(workshop: Path) -> Path:
    """A recipe with two profiles, firmware for one machine, and every format."""
    (workshop / "ovmf").mkdir()
    (workshop / "ovmf" / "OVMF.fd").write_bytes(parts.get("ovmf-generic").read_bytes()[-65536:])
    recipe = workshop_recipe(plugins=["virt"], cmdline="root=LABEL=root ro console=ttyS0")
    recipe += '[[fuki.firmware]]\nsource = "directory"\npath = "ovmf"\nplatforms = ["qemu:q35"]\n'
    recipe += '[[fuki.profile]]\nid = "other"\ncmdline = "other console=ttyS0"\n'
    (workshop / "fuki.toml").write_text(recipe + FORMATS)
    succeed(workshop, "build")
    return workshop


def load(path: Path) -> Any:  # noqa: ANN401 - JSON
    return json.loads(path.read_text())


def test_there_is_one_prediction_for_each_profile_and_firmware_with_its_machines(directory):
    view = load(directory / "acme_41.3.predictions.json")
    assert view["version"] == 1
    cases = [(case["profile-id"], case["fwid"]) for case in view["predictions"]]
    assert cases == [("main", None), ("main", "ovmf"), ("other", None), ("other", "ovmf")]
    for case in view["predictions"]:
        assert ("QEMU q35" in case["machines"]) == (case["fwid"] == "ovmf")
        assert {register["pcr"] for register in case["registers"]} == {4, 9, 11, 12}
        assert all(set(register["values"]) == set(view["banks"]) for register in case["registers"])


def test_what_the_build_predicts_is_what_the_finished_image_does(directory):
    """The build digests while it writes, the verb while it reads."""
    view = load(directory / "acme_41.3.predictions.json")
    read = json.loads(succeed(directory, "measure", "acme_41.3.efi", "--json", "--bank", "all", "--direct").out)
    for built, told in zip(view["predictions"], read["predictions"], strict=True):
        assert built["registers"] == told["registers"]
        assert built["events"] == told["events"]


def test_the_statement_is_of_the_images_own_digest(directory):
    statement = load(directory / "acme_41.3.intoto.json")
    digest = hashlib.sha256((directory / "acme_41.3.efi").read_bytes()).hexdigest()
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"] == [{"name": "acme", "digest": {"sha256": digest}}]
    assert statement["predicate"]["version"] == 1


def values(directory: Path, pcr: int, *, phases: bool = True) -> list[str]:
    """The SHA-256 values of a register in all cases, each once."""
    cases = [
        register["values"]["sha256"]
        for case in load(directory / "acme_41.3.predictions.json")["predictions"]
        for register in case["registers"]
        if register["pcr"] == pcr and (pcr != 11 or (register["phase"] is not None) == phases)
    ]
    return list(dict.fromkeys(cases))


def test_trustee_gets_the_values_that_hold_in_every_case(directory):
    message = load(directory / "acme_41.3.rvps.json")
    assert (message["version"], message["type"]) == ("0.1.0", "sample")
    payload = json.loads(base64.b64decode(message["payload"]))
    assert payload["tpm_pcr11"] == values(directory, 11)
    # From a disk the stub adds a secret to the initrd, so PCR 9 cannot be told.
    assert set(payload) == {"tpm_pcr04", "tpm_pcr11", "tpm_pcr12"}


def test_keylime_gets_a_policy_of_registers(directory):
    policy = load(directory / "acme_41.3.keylime.json")
    assert set(policy) == {"4", "9", "11", "12"}
    assert len(policy["11"]) == 4
    assert set(policy["11"]) <= set(values(directory, 11))


def test_a_template_sees_the_same_values(directory):
    text = (directory / "out.md").read_text()
    assert all(f"`{value}`" in text for value in values(directory, 11))
    assert "## Profile @1 (other), firmware ovmf" in text


def test_a_format_of_one_bank_refuses_several(workshop):
    with (workshop / "fuki.toml").open("a") as file:
        file.write('[[fuki.output]]\nformat = "keylime"\nbanks = ["sha256", "sha1"]\n')
    assert "the values of one bank" in refused(workshop, "build")


def test_an_unknown_bank_is_refused(workshop):
    with (workshop / "fuki.toml").open("a") as file:
        file.write('[[fuki.output]]\nformat = "predictions"\nbanks = ["md5"]\n')
    assert "there is no bank 'md5'" in refused(workshop, "build")


def log_of(case: Mapping[str, Any]) -> bytes:
    """An event log with just the predicted events of a case."""
    types = {name: number for number, name in TYPES.items()}
    data = spec_event({"sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64})
    for event in case["events"]:
        digests = {bank: bytes.fromhex(value) for bank, value in event["digests"].items()}
        text = event["what"].encode() if event["type"] == "EV_EFI_ACTION" else b""
        tag = b"\0" * 8 if event["type"] == "EV_EVENT_TAG" else text
        data += record(
            event["pcr"], types[event["type"]], digests, bytes(4) if event["type"] == "EV_SEPARATOR" else tag
        )
    return data


@contextmanager
def tpm(directory: Path, case: Mapping[str, Any]) -> Iterator[str]:
    """A software TPM whose registers were extended with a case's events; gives how to reach it."""
    (directory / "state").mkdir()
    path = directory / "tpm"
    command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={directory / 'state'}", "--flags"]
    command += ["not-need-init,startup-clear", "--server", f"type=unixio,path={path}"]
    with subprocess.Popen([*command, "--ctrl", f"type=unixio,path={path}.ctrl"]) as process:
        try:
            while not path.exists():
                assert process.poll() is None
            for event in case["events"]:
                extend = ",".join(f"{bank}={value}" for bank, value in event["digests"].items())
                environment = {**os.environ, "TPM2TOOLS_TCTI": f"swtpm:path={path}"}
                subprocess.run(["tpm2_pcrextend", f"{event['pcr']}:{extend}"], env=environment, check=True)
            yield f"swtpm:path={path}"
        finally:
            process.terminate()


@pytest.mark.parametrize("index", [1, 2])
def test_systemd_pcrlock_finds_its_components_in_what_machines_measure(index, directory, tmp_path):
    case = load(directory / "acme_41.3.predictions.json")["predictions"][index]
    (tmp_path / "log").write_bytes(log_of(case))
    program = parts.get("systemd-pcrlock")
    libraries = program.parents[1] / "x86_64-linux-gnu"
    components = directory / "acme_41.3.pcrlock.d"
    with tpm(tmp_path, case) as device:
        done = subprocess.run(
            [program, "log", f"--components={components}", "--json=short"],
            env={
                **os.environ,
                "LD_LIBRARY_PATH": f"{libraries}:{libraries}/systemd",
                "SYSTEMD_MEASURE_LOG_FIRMWARE": str(tmp_path / "log"),
                "SYSTEMD_TPM2_DEVICE": device,
            },
            capture_output=True,
            text=True,
            check=True,
        )
    events = [(event["pcr"], event["component"]) for event in json.loads(done.stdout)["log"]]
    expected = []
    for event in case["events"]:
        kernel = "710-kernel-cmdline" if event["source"] == "command line" else "720-kernel-initrd"
        own = kernel if event["pcr"] == 9 else "650-uki"
        expected.append((event["pcr"], None if event["source"] == "constant" else own))
    assert events == expected
