"""However the command line is started, and whatever it is given, it ends in data or in one clear error."""

import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from fuki_build.formats.uki import hwids
from fuki_build.formats.uki.hwids import Device, DeviceType
from fuki_build.testing import invoke

FUKI = f"{sys.executable} -m fuki_build"


def shell(directory: Path, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", command],
        cwd=directory,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("target", [">&-", ">/dev/full"])
@pytest.mark.parametrize("verb", ["check --list", "schema", "--help", "--version"])
def test_an_output_that_takes_nothing_is_told_and_fails(tmp_path, target, verb):
    done = shell(tmp_path, f"{FUKI} {verb} {target}")
    assert done.returncode == 1
    assert done.stderr.startswith("fuki: error: standard output: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("target", ["2>&-", "2>/dev/full", "<&-", "2>&- <&-"])
def test_a_closed_error_output_or_input_changes_nothing(workshop, target):
    done = shell(workshop, f"{FUKI} build -o a.efi {target}")
    assert done.returncode == 0
    assert (workshop / "a.efi").read_bytes()[:2] == b"MZ"
    done = shell(workshop, f"{FUKI} inspect a.efi --json {target}")
    assert done.returncode == 0
    assert done.stdout.startswith("{")


@pytest.mark.parametrize("target", ["2>&-", "2>/dev/full", ">&- 2>&-", ">&- 2>&- <&-"])
def test_the_exit_code_stands_where_the_error_cannot_be_told(workshop, target):
    assert shell(workshop, f"{FUKI} plan nowhere {target}").returncode == 2
    assert shell(workshop, f"{FUKI} build -o /proc/nowhere/a {target}").returncode == 1


def test_no_file_is_written_into_in_place_of_a_closed_output(workshop):
    done = shell(workshop, f"{FUKI} build -o a.efi >&- 2>&- && {FUKI} build -o b.efi")
    assert done.returncode == 0
    assert (workshop / "a.efi").read_bytes() == (workshop / "b.efi").read_bytes()


@pytest.mark.parametrize("arguments", ["plan", "plan --json", "plan --svg", "inspect a.efi", "inspect a.efi --json"])
def test_an_ascii_terminal_gets_escapes(workshop, arguments):
    text = (workshop / "os-release").read_text().replace("Acme 41", "Äcme — 41")
    (workshop / "os-release").write_text(text)
    assert shell(workshop, f"{FUKI} build -o a.efi").returncode == 0
    done = shell(workshop, f"{FUKI} {arguments}", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "internal error" not in done.stderr


def test_names_of_files_that_are_not_utf_8_are_taken_and_told(workshop):
    done = shell(workshop, f"mv vmlinuz \"$(printf 'linux\\351')\"; {FUKI} plan \"$(printf 'caf\\351')\"")
    assert done.returncode == 2
    assert "caf\\udce9" in done.stderr
    out = os.fsdecode(b"caf\xe9.efi")
    (workshop / "vmlinuz").symlink_to(workshop / os.fsdecode(b"linux\xe9"))
    assert shell(workshop, f"{FUKI} build --json -o \"$(printf 'caf\\351.efi')\"").returncode == 0
    assert (workshop / out).exists()
    done = shell(workshop, f"{FUKI} inspect \"$(printf 'caf\\351.efi')\"")
    assert done.returncode == 0, done.stderr


def test_an_argument_that_is_not_utf_8_where_text_is_wanted_is_one_error(tmp_path):
    done = shell(tmp_path, f"{FUKI} keys new keys --name \"$(printf 'caf\\351')\"")
    assert done.returncode == 2, done
    assert "internal error" not in done.stderr
    assert not (tmp_path / "keys").exists()


def test_text_of_strangers_steers_no_terminal(tmp_path):
    device = Device(DeviceType.UEFI_FW, "\x1b[31m\x9b2J", "f\x07", frozenset([UUID(int=1)]))
    (tmp_path / "new").write_bytes(hwids.encode([device]))
    other = Device(DeviceType.UEFI_FW, "name", "f", frozenset([UUID(int=1)]))
    (tmp_path / "old").write_bytes(hwids.encode([other]))

    for arguments in (
        ["hwids", "decode", "new"],
        ["hwids", "decode", "new", "--json"],
        ["hwids", "diff", "old", "new"],
    ):
        out = invoke(tmp_path, *arguments).out
        assert "31m" in out
        assert out.replace("\n", "").isprintable()


def test_what_python_warns_of_is_not_told(tmp_path):
    """A certificate with the serial 0, which cryptography warns of."""
    request = "openssl req -x509 -set_serial 0 -newkey rsa:2048 -noenc -subj /CN=Zero -keyout k.pem -out c.pem"
    assert shell(tmp_path, request).returncode == 0
    (tmp_path / "a.efi").write_bytes(b"MZ")
    done = shell(tmp_path, f"{FUKI} verify a.efi --certificate c.pem")
    assert "Warning" not in done.stderr
    assert ".py" not in done.stderr
