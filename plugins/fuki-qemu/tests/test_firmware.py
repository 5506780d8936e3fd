"""Which firmware is taken: descriptions as QEMU's docs/interop/firmware.json specifies them, and files."""

import json
import shutil
from pathlib import Path
from typing import Any

import parts
import pytest
from fuki_build import new_host
from fuki_build.errors import FukiError

from fuki_qemu import firmware
from fuki_qemu.firmware import QemuFirmware

SYSTEM = parts.get("ovmf-code").parents[1]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def describe(directory: Path, name: str, code: Path, store: Path, *features: str, **changes: Any) -> None:  # noqa: ANN401
    directory.mkdir(exist_ok=True)
    description = {
        "mapping": {
            "device": "flash",
            "executable": {"filename": str(code), "format": "raw"},
            "nvram-template": {"filename": str(store), "format": "raw"},
        },
        "targets": [{"architecture": "x86_64", "machines": ["pc-q35-*"]}],
        "features": features,
    }
    (directory / name).write_text(json.dumps({**description, **changes}))


@pytest.mark.parametrize(("secure", "code"), [(False, "OVMF_CODE_4M.fd"), (True, "OVMF_CODE_4M.secboot.fd")])
def test_debians_descriptions_lead_to_its_firmware(secure: bool, code: str, tmp_path: Path):
    """The package is unpacked elsewhere than its descriptions say."""
    for path in sorted((SYSTEM / "qemu" / "firmware").glob("*.json")):
        (tmp_path / path.name).write_text(path.read_text().replace("/usr/share", str(SYSTEM)))
    chosen = firmware.find(secure_boot=secure, directories=[str(tmp_path)])
    assert (chosen.code.name, chosen.smm) == (code, secure)
    assert chosen.store is not None
    assert chosen.store.name == "OVMF_VARS_4M.fd"


def test_the_first_name_wins_and_an_earlier_directory_hides_a_later_ones(tmp_path: Path, part):
    code, store = part("ovmf-code"), part("ovmf-vars")
    describe(tmp_path / "usr", "10.json", part("ovmf-generic"), store)
    describe(tmp_path / "usr", "20.json", code, store)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "10.json").touch()
    chosen = firmware.find(secure_boot=False, directories=[str(tmp_path / "etc"), str(tmp_path / "usr")])
    assert chosen == QemuFirmware(code, store)


@pytest.mark.parametrize(
    "changes",
    [
        {"targets": [{"architecture": "aarch64", "machines": ["virt-*"]}]},
        {"features": ["enrolled-keys"]},
        {"mapping": {"device": "memory", "filename": "/OVMF.fd"}},
        {"mapping": None},
        {"targets": {}},
    ],
)
def test_what_does_not_fit_is_passed_over(changes: dict[str, Any], tmp_path: Path, part):
    describe(tmp_path, "10.json", part("ovmf-code"), part("ovmf-vars"), **changes)
    with pytest.raises(FukiError, match="no UEFI firmware") as caught:
        firmware.find(secure_boot=False, directories=[str(tmp_path)])
    assert caught.value.hint == "install the packages (Debian: ovmf; Fedora: edk2-ovmf; Arch: edk2-ovmf)"


def test_a_code_image_takes_the_store_that_is_named_after_it(part):
    chosen = firmware.choose(part("ovmf-secboot"), None, secure_boot=True)
    assert chosen == QemuFirmware(part("ovmf-secboot"), part("ovmf-vars"), smm=True)


def test_an_image_with_a_store_inside_needs_no_other(part):
    chosen = firmware.choose(part("ovmf-generic"), None, secure_boot=False)
    assert (chosen.store, chosen.has_store) == (None, True)


def test_a_store_without_code_firmware_without_secure_boot_and_files_without_a_store_are_errors(part, tmp_path):
    with pytest.raises(FukiError, match="belongs to a firmware"):
        firmware.choose(None, part("ovmf-vars"), secure_boot=False)
    with pytest.raises(FukiError, match="built without Secure Boot"):
        firmware.choose(part("ovmf-code"), None, secure_boot=True)
    with pytest.raises(FukiError, match="no UEFI variable store"):
        firmware.choose(part("ovmf-code"), part("stub-x64"), secure_boot=False)
    with pytest.raises(FukiError, match="No such file"):
        firmware.choose(tmp_path / "none.fd", None, secure_boot=False)


def test_keys_need_all_certificates_and_a_plugin_that_writes_them(part, tmp_path):
    chosen = firmware.choose(part("ovmf-secboot"), None, secure_boot=True)
    keys = tmp_path / "keys"
    keys.mkdir()
    with pytest.raises(FukiError, match=r"no PK\.pem"):
        firmware.enrolled(chosen, keys, new_host(), tmp_path)
    for name in ("PK", "KEK", "db"):
        shutil.copyfile(parts.get("ovmf-code").parents[1] / "ovmf" / "PkKek-1-snakeoil.pem", keys / f"{name}.pem")
    with pytest.raises(FukiError, match="no loaded plugin") as caught:
        firmware.enrolled(chosen, keys, new_host(), tmp_path)
    assert caught.value.hint == "load a plugin that can: --plugin virt-firmware"
