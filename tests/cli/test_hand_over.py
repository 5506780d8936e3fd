"""`fuki hand-over status` tells what the program left, with systemctl's exit codes; `fuki machine show` does, too."""

import json
from contextlib import suppress
from pathlib import Path
from struct import pack
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuki_build.cli import machine as verb
from fuki_build.errors import FormatError
from fuki_build.formats.uki import hand_over_outcome, hand_over_program
from fuki_build.formats.uki.hand_over_outcome import REASONS, HandOverResult
from fuki_build.hardware.hand_over import FILE_NAME, read_outcome
from fuki_build.hardware.hand_over_view import RUNNING
from fuki_build.testing import invoke
from fuki_build.testing.documents import complaints

CHID = UUID("817fca52-ae83-52f5-8642-9497f79d49d0")
BOOTED = bytes.fromhex(
    "0100430003001300000000000000000000000100000000000000000009000000"
    "0000000000000000000000000000000052ca7f8183aef55286429497f79d49d0667700"
)
"""What a guest of QEMU 7.2 had, whose image has firmware `fw` for it and whose host no device."""


def variable(result: int, reason: int = 0, options: int = 0) -> bytes:
    head = pack("<HHHHIIQHHIQQ16s", 1, 67, result, reason, options, 1, 4096, 1, 2, 9, 1 << 32, 2, CHID.bytes_le)
    return head + b"fw\0"


def write(directory: Path, content: bytes) -> Path:
    """As efivarfs shows it: attributes first (Documentation/filesystems/efivarfs.rst)."""
    (directory / FILE_NAME).write_bytes(b"\x06\0\0\0" + content)
    return directory


def test_what_a_booted_guest_had_is_told(tmp_path):
    outcome = invoke(tmp_path, "hand-over", "status", write(tmp_path, BOOTED))
    assert outcome.code == 3
    assert outcome.out.startswith("no-device: ")
    assert "etc/vmlaunchupdate" in outcome.out
    assert str(CHID) in outcome.out


@pytest.mark.parametrize("result", HandOverResult)
def test_the_exit_code_says_whether_the_images_own_firmware_runs(result, tmp_path):
    outcome = invoke(tmp_path, "hand-over", "status", "--json", write(tmp_path, variable(result, 38, 5)))
    document = json.loads(outcome.out)
    assert complaints(document, "hand-over status") == []
    assert outcome.code == (0 if result in RUNNING else 3)
    assert document["result"] == result.label
    assert document["running"] == (result in RUNNING)
    assert document["reason"] == {"number": 38, "text": REASONS[38]}
    assert document["options"] == ["lasting", "power-off"]
    assert document["device"] == {"version": 1, "status": 2, "capabilities": 1 << 32, "control": 2}


def test_quiet_says_nothing(tmp_path):
    outcome = invoke(tmp_path, "hand-over", "status", "--quiet", write(tmp_path, variable(1)))
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


def test_a_machine_without_the_variable_has_a_code_of_its_own(tmp_path):
    outcome = invoke(tmp_path, "hand-over", "status", tmp_path)
    assert outcome.code == 4
    assert "no hand-over program" in outcome.out
    document = json.loads(invoke(tmp_path, "hand-over", "status", "--json", tmp_path).out)
    assert complaints(document, "hand-over status") == []
    assert document["result"] is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cut short"),
        (variable(1)[:40], "cut short"),
        (variable(99), "unknown result 99"),
        (b"\x02\0" + variable(1)[2:], "version 2"),
        (variable(1)[:-1], "claims 67 bytes"),
        (bytes(100_000), "no variable"),
    ],
)
def test_a_damaged_variable_is_one_clear_error(content, words, tmp_path):
    outcome = invoke(tmp_path, "hand-over", "status", write(tmp_path, content))
    assert outcome.code == 1
    assert words in outcome.err
    assert FILE_NAME in outcome.err


def test_a_file_may_have_no_attributes_and_must_be_there(tmp_path):
    (tmp_path / "copy").write_bytes(BOOTED)
    assert invoke(tmp_path, "hand-over", "status", "copy").code == 3
    assert "no such file" in invoke(tmp_path, "hand-over", "status", "missing").err


def test_this_machine_tells_it_and_others_do_not(tmp_path, monkeypatch):
    outcome = read_outcome(write(tmp_path, BOOTED))
    monkeypatch.setattr(verb, "read_outcome", lambda: outcome)
    (tmp_path / "acme.toml").write_text('[machine]\nname = "acme"\nmanufacturer = "Acme"\n')
    monkeypatch.setattr(verb.capture, "this_machine", lambda: verb.read_machine(tmp_path / "acme.toml"))
    document = json.loads(invoke(tmp_path, "machine", "show", "--json").out)
    assert complaints(document, "machine show") == []
    assert document["hand-over"]["result"] == "no-device"
    assert "no-device" in invoke(tmp_path, "machine", "show").out
    assert json.loads(invoke(tmp_path, "machine", "show", "--json", "acme.toml").out)["hand-over"] is None


@given(st.binary(max_size=300) | st.binary(max_size=80).map(lambda tail: variable(1)[:64] + tail))
def test_any_bytes_are_an_outcome_or_a_format_error(data):
    for decode in (hand_over_outcome.decode, lambda data: hand_over_program.decode(data, len(data))):
        with suppress(FormatError):
            assert decode(data)
