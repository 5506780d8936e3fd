"""virt-fw-vars is run as a program: found, given its arguments, and its failures told."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from uuid import UUID

import parts
import pytest
from fuki_build.errors import FukiError, PluginError
from fuki_build.formats.reader import Reader
from fuki_build.formats.uefi import efi_signature_list, variable_store
from fuki_build.formats.uefi.efi_signature_list import SignatureType
from fuki_build.hooks import SecureBootKeys, SourceContext

import fuki_virt_firmware
from fuki_virt_firmware import VirtFirmware, find_program

OWNER = UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b")


@pytest.fixture
def keys(tmp_path: Path) -> SecureBootKeys:
    """Certificates that OpenSSL made."""
    certificates = []
    for name in ("PK", "KEK", "db"):
        command = ["openssl", "req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}/"]
        command += ["-days", "100", "-keyout", "/dev/null", "-outform", "DER", "-out", str(tmp_path / name)]
        subprocess.run(command, check=True, capture_output=True)
        certificates.append((tmp_path / name).read_bytes())
    revoked = efi_signature_list.hash_list(SignatureType.SHA256, [b"\xab" * 32], OWNER)
    return SecureBootKeys(
        owner=OWNER, pk=certificates[0], kek=(certificates[1],), db=(certificates[2],), dbx=(revoked,)
    )


def enroll(tmp_path: Path, keys: SecureBootKeys, source: Path | None = None) -> Path:
    target = tmp_path / "out.fd"
    VirtFirmware().enroll(source or parts.get("ovmf-vars"), target, keys, SourceContext(tmp_path, tmp_path))
    return target


def test_the_store_holds_the_keys(tmp_path: Path, keys: SecureBootKeys):
    variables = {v.name: v for v in variable_store.decode(Reader.of(enroll(tmp_path, keys).read_bytes())) or ()}
    assert set(variables) == {"PK", "KEK", "db", "dbx", "SecureBootEnable", "CustomMode"}
    for name, der in (("PK", keys.pk), ("KEK", keys.kek[0]), ("db", keys.db[0])):
        assert variables[name].data == efi_signature_list.encode([efi_signature_list.certificate_list(der, OWNER)])
        assert variables[name].attributes == 0x27
    assert variables["dbx"].data == efi_signature_list.encode(keys.dbx)


def test_no_clock_gets_into_the_store(tmp_path: Path, keys: SecureBootKeys):
    variables = {v.name: v for v in variable_store.decode(Reader.of(enroll(tmp_path, keys).read_bytes())) or ()}
    assert variables["dbx"].timestamp == (2010, 1, 1, 0, 0, 0)
    for name in ("PK", "KEK", "db"):
        shown = ["openssl", "x509", "-inform", "DER", "-in", str(tmp_path / name), "-noout", "-startdate"]
        date = subprocess.run([*shown, "-dateopt", "iso_8601"], check=True, capture_output=True, text=True).stdout
        time = variables[name].timestamp
        assert f"{time.year}-{time.month:02}-{time.day:02} {time.hour:02}:{time.minute:02}" in date


def test_a_failure_of_the_program_is_told_in_its_words(tmp_path: Path, keys: SecureBootKeys):
    (tmp_path / "text").write_text("text" * 100)
    with pytest.raises(FukiError, match="virt-fw-vars failed with exit code 1: ERROR: unknown input file format"):
        enroll(tmp_path, keys, tmp_path / "text")


def test_the_program_of_the_environment_comes_before_that_of_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "virt-fw-vars").write_text("#!/bin/sh\n")
    (tmp_path / "virt-fw-vars").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Path(find_program()).parent == Path(sys.executable).parent
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert find_program() == str(tmp_path / "virt-fw-vars")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(PluginError) as caught:
        find_program()
    assert caught.value.hint == "install it: pip install virt-firmware"


def test_virt_firmware_is_not_imported(tmp_path: Path, keys: SecureBootKeys):
    """It is GPL-2.0, and this is not."""
    for name, der in (("PK", keys.pk), ("db", keys.db[0])):
        (tmp_path / name).write_bytes(der)

    script = f"""
        import sys
        from pathlib import Path
        from fuki_build.testing import succeed
        store, out = {str(parts.get("ovmf-vars"))!r}, {str(tmp_path / "o")!r}
        options = ["-o", out, "--pk", {str(tmp_path / "PK")!r}, "--db", {str(tmp_path / "db")!r}]
        succeed(Path(), "--plugin", "virt-firmware", "keys", "enroll", store, *options)
        assert "fuki_virt_firmware" in sys.modules
        assert not [name for name in sys.modules if name.partition(".")[0] == "virt"]
    """

    subprocess.run([sys.executable, "-c", dedent(script)], check=True)
    assert (tmp_path / "o").exists()


def test_the_plugin_gives_one_enroller():
    assert fuki_virt_firmware.fuki_enrollers() == [VirtFirmware]


def test_a_program_that_loops_is_ended(tmp_path: Path, keys: SecureBootKeys, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "virt-fw-vars").write_text("#!/bin/sh\nwhile :; do :; done\n")
    (tmp_path / "virt-fw-vars").chmod(0o755)
    monkeypatch.setattr(fuki_virt_firmware, "find_program", lambda: str(tmp_path / "virt-fw-vars"))
    monkeypatch.setattr(fuki_virt_firmware, "_TIMEOUT", 0.3)
    with pytest.raises(FukiError, match=r"virt-fw-vars was not done after 0\.3 seconds"):
        enroll(tmp_path, keys)


def test_the_program_sees_no_secret_of_the_environment(
    tmp_path: Path, keys: SecureBootKeys, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "virt-fw-vars").write_text(f"#!/bin/sh\nenv >{tmp_path}/seen\n")
    (tmp_path / "virt-fw-vars").chmod(0o755)
    monkeypatch.setattr(fuki_virt_firmware, "find_program", lambda: str(tmp_path / "virt-fw-vars"))
    monkeypatch.setenv("FUKI_TEST_SECRET", "secret")
    enroll(tmp_path, keys)
    assert "FUKI_TEST_SECRET" not in (tmp_path / "seen").read_text()
