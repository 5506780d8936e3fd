"""Secure Boot's variables out of files that virt-fw-vars writes: stores of OVMF, and lists of the same keys."""

import subprocess
import sys
from pathlib import Path

import parts
import pytest

from fuki_build.errors import FormatError, FukiError, RecipeError
from fuki_build.measure.pcr7 import SecureBootPolicy, SecureBootState
from fuki_build.measure.secure_boot_files import read_policy, split_variable
from tests.formats.test_event_log import LOGS

NAMES = ("PK", "KEK", "db")


def virt_fw_vars(directory: Path, *options: str) -> None:
    program = Path(sys.executable).with_name("virt-fw-vars")
    subprocess.run([program, *options], cwd=directory, check=True, capture_output=True)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`on.fd` with keys and Secure Boot, `off.fd` without it, `setup.fd` without the PK, and lists of the keys."""
    directory = tmp_path_factory.mktemp("machine")
    empty = str(parts.get("ovmf-vars"))
    keys = ("--enroll-generate", "Acme")
    virt_fw_vars(directory, "--input", empty, *keys, "--sb", "--output", "on.fd")
    virt_fw_vars(directory, "--input", "on.fd", "--set-false", "SecureBootEnable", "--output", "off.fd")
    virt_fw_vars(directory, "--input", "on.fd", "--delete", "PK", "--output", "setup.fd")
    virt_fw_vars(directory, "--input", "on.fd", "--output-auth", ".")
    for name in NAMES:
        # Behind a time of 16 bytes, and a certificate of 24 that has no signature in it.
        (directory / f"{name}.esl").write_bytes((directory / f"{name}.auth").read_bytes()[40:])
    return directory


def read(store: Path | None = None, *lists: str, state: SecureBootState | None = None) -> SecureBootPolicy:
    policy = read_policy(store, lists, state)
    assert policy is not None
    return policy


def test_a_store_and_lists_of_its_keys_are_the_same(machine: Path):
    store = read(machine / "on.fd")
    files = read(None, *(f"{name}={machine / name}.esl" for name in NAMES))
    assert {name: store.variables[name] for name in NAMES} == files.variables
    assert set(store.variables) <= {*NAMES, "dbx"}
    assert (store.state, files.state) == (SecureBootState.ON, SecureBootState.OFF)
    assert store.authorities == {}


@pytest.mark.parametrize(("name", "is_on"), [("on.fd", True), ("off.fd", False), ("setup.fd", False)])
def test_secure_boot_is_on_where_its_owner_turned_it_on_and_there_is_a_pk(machine: Path, name: str, is_on: bool):
    assert (read(machine / name).state is SecureBootState.ON) is is_on
    assert read(machine / name, state=SecureBootState.ABSENT).state is SecureBootState.ABSENT


def test_files_take_the_place_of_variables_of_the_store(machine: Path):
    policy = read(machine / "on.fd", f"db={LOGS / 'db.esl'}", f"dbt={LOGS / 'KEK.esl'}")
    assert policy.variables["db"] == (LOGS / "db.esl").read_bytes()
    assert policy.variables["dbt"] == (LOGS / "KEK.esl").read_bytes()
    assert policy.variables["PK"] == read(machine / "on.fd").variables["PK"]


def test_where_nothing_is_given_nothing_is_known():
    assert read_policy(None, (), SecureBootState.ON) is None


def test_what_is_no_variable_is_refused(tmp_path: Path):
    for text in ("SecureBoot=x", "pk=x", "PK", "=x"):
        with pytest.raises(RecipeError, match="PK, KEK, db, dbx, dbt, dbr") as raised:
            split_variable(text)
        assert raised.value.where == "--variable"
    assert split_variable("dbx=a=b") == ("dbx", "a=b")

    (tmp_path / "short.esl").write_bytes((LOGS / "db.esl").read_bytes()[:-1])
    with pytest.raises(FormatError) as damaged:
        read_policy(None, [f"db={tmp_path / 'short.esl'}"], None)
    assert damaged.value.where == str(tmp_path / "short.esl")

    with pytest.raises(FukiError, match="no variable store") as missing:
        read_policy(tmp_path / "short.esl", (), None)
    assert (missing.value.where, missing.value.hint) == (str(tmp_path / "short.esl"), "OVMF_VARS.fd has one")
