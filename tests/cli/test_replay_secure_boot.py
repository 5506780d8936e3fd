"""Why PCR 7 differs: logs and registers of real guests, held against variables that they did not have.

The image is none of theirs: it has no part in Secure Boot's variables.
"""

import os
import shutil
from hashlib import sha256
from pathlib import Path
from struct import pack
from uuid import UUID

import parts
import pytest

from fuki_build.formats.asn1 import x509
from fuki_build.formats.tcg import event_data, event_log, pcr_text
from fuki_build.formats.uefi import efi_signature_list, shim
from fuki_build.formats.uefi.efi_signature_list import SignatureType
from fuki_build.testing import recipe, succeed
from fuki_build.testing.documents import printed
from tests.formats.test_event_log import LOGS
from tests.formats.test_shim import contents_of_shim

EVIDENCE = os.environ.get("FUKI_EVIDENCE", "")
REAL = (("logs/cos-101-amd-sev.bin", "2bc6edaa921f953cec0ffb28dad4f87114886603d6a782036502d28e69d97a48"),)
OWNER = UUID(int=7)
NAMES = ("PK", "KEK", "db", "dbx")
SHIM = UUID("605dab50-e046-4300-abb6-3dd810dd8b23")
IMAGE_SECURITY = UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """An image, the logs, the variables of the one with Secure Boot, and a dbx that an update made longer."""
    directory = tmp_path_factory.mktemp("pcr7")
    for name, part in {"stub": "stub-x64", "vmlinuz": "kernel-x64"}.items():
        (directory / name).symlink_to(parts.get(part))
    for file in (*LOGS.glob("*.esl"), *LOGS.glob("*.log")):
        shutil.copy(file, directory)
    (directory / "fuki.toml").write_text(recipe())
    succeed(directory, "build", "-o", "any.efi")
    update = efi_signature_list.hash_list(SignatureType.SHA256, [bytes([n]) * 32 for n in range(3)], OWNER)
    grown = (LOGS / "dbx.esl").read_bytes() + efi_signature_list.encode([update])
    (directory / "grown.esl").write_bytes(grown)
    return directory


def variables(**others: str) -> list[str]:
    """The options that name the variables, of which some are others."""
    files = {name: f"{name}.esl" for name in NAMES} | others
    return [option for name, file in files.items() for option in ("--variable", f"{name}={file}")]


def measured(vendor: UUID, name: str, content: bytes) -> bytes:
    """The digest of UEFI_VARIABLE_DATA (PC Client Platform Firmware Profile, 10.4.2)."""
    head = vendor.bytes_le + pack("<QQ", len(name), len(content)) + name.encode("utf-16-le")
    return sha256(head + content).digest()


def reasons(folder: Path, *arguments: str, log: str = "secure-boot-on.log", code: int = 3) -> list[str]:
    """What is told of PCR 7."""
    document = printed(folder, "replay", log, "--image", "any.efi", *arguments, "--json", code=code)
    return [reason["text"] for reason in document["reasons"] if reason["register"] == 7]


def subject(name: str) -> str:
    """The subject of the only certificate of a variable."""
    (only,) = efi_signature_list.decode((LOGS / f"{name}.esl").read_bytes())
    return x509.subject(only.signatures[0].data)


class TestEvents:
    """Event by event, where the log has a text for each."""

    def test_the_machine_s_own_variables_need_no_reason(self, folder):
        assert reasons(folder, *variables(), "--secure-boot", "on") == []

    def test_a_state_that_is_another_is_told(self, folder):
        told = reasons(folder, *variables(), "--secure-boot", "off")
        assert told[0] == "Secure Boot is on, and expected is off"
        # What was verified is measured only where it is on.
        assert told[1:] == [
            f"what vouched for a program is {subject('db')} of db, and nothing is expected to be vouched for"
        ]

    def test_a_machine_whose_dbx_was_not_updated_lacks_the_new_entries(self, folder):
        assert reasons(folder, *variables(dbx="grown.esl"), "--secure-boot", "on") == ["dbx lacks 3 entries"]

    def test_a_machine_whose_dbx_was_updated_has_more(self, folder):
        (folder / "empty.esl").write_bytes(b"")
        count = len(efi_signature_list.decode((LOGS / "dbx.esl").read_bytes())[0].signatures)
        entries = "1 entry" if count == 1 else f"{count} entries"
        (told,) = reasons(folder, *variables(dbx="empty.esl"), "--secure-boot", "on")
        assert told == f"dbx has {entries} more than expected: revocations were added"

    def test_another_certificate_in_db_is_named_beside_the_expected_one(self, folder):
        told = reasons(folder, *variables(db="KEK.esl"), "--secure-boot", "on")
        assert told[0] == f"db has {subject('db')} more than expected and lacks {subject('KEK')}"

    def test_a_machine_without_keys_lacks_all_of_them(self, folder):
        told = reasons(folder, *variables(), "--secure-boot", "on", log="secure-boot-off.log")
        assert told[0] == "Secure Boot is off, and expected is on"
        assert f"PK lacks {subject('PK')}" in told


class TestValues:
    """A value without events: real registers, and the same after an update of dbx, chained by hand."""

    def value(self, name: str) -> str:
        return pcr_text.decode((LOGS / f"{name}.pcrs").read_text())["sha256", 7].hex()

    def updated(self, folder: Path) -> str:
        """The longer dbx in place of the log's."""
        value = bytes(32)
        for event in event_log.decode((LOGS / "secure-boot-on.log").read_bytes()).events:
            if not event.extends or event.register != 7:
                continue
            digest = event.digests["sha256"]
            if event.type_name == "EV_EFI_VARIABLE_DRIVER_CONFIG" and event_data.variable(event.data).name == "dbx":
                content = (folder / "grown.esl").read_bytes()
                digest = measured(IMAGE_SECURITY, "dbx", content)
            value = sha256(value + digest).digest()
        return value.hex()

    def search(self, folder: Path, log: str, value: str, *arguments: str) -> str:
        told = reasons(folder, "--expect", f"sha256:7={value}", *arguments, log=log)
        return told[-1].removeprefix("the expected value (sha256) is ")

    def test_a_machine_without_keys_is_told_without_any_file(self, folder):
        told = self.search(folder, "secure-boot-on.log", self.value("secure-boot-off"))
        assert told == "that of any.efi, Secure Boot off, no keys"

    def test_firmware_without_secure_boot_is_told(self, folder):
        told = self.search(folder, "secure-boot-on.log", self.value("disk-262"))
        assert told == "that of any.efi, firmware without Secure Boot, no keys"

    @pytest.mark.parametrize("state", ["on", "off"])
    def test_the_certificate_that_vouches_is_named(self, folder, state):
        options = (*variables(), "--secure-boot", state)
        told = self.search(folder, "secure-boot-off.log", self.value("secure-boot-on"), *options)
        assert told == f"that of any.efi, Secure Boot on, {subject('db')} of db vouches for all that starts"

    def test_an_updated_dbx_is_told_from_the_log_and_the_new_list(self, folder):
        told = self.search(folder, "secure-boot-on.log", self.updated(folder), *variables(dbx="grown.esl"))
        assert told == f"that of any.efi, Secure Boot on, {subject('db')} of db vouches for all that starts"

    def test_an_updated_dbx_is_told_where_the_other_variables_are_only_in_the_log(self, folder):
        options = ("--variable", "dbx=grown.esl", "--secure-boot", "on")
        told = self.search(folder, "secure-boot-on.log", self.updated(folder), *options)
        old, new = ((folder / name).stat().st_size for name in ("dbx.esl", "grown.esl"))
        assert told == f"that of the log, with dbx, {new} bytes in place of dbx, {old} bytes"

    @pytest.mark.parametrize("vendor", [True, False])
    def test_a_shim_s_level_and_vendor_are_named(self, folder, vendor):
        """What shim measured behind a real machine's events: its first level, and the certificate of its vendor."""
        value = bytes.fromhex(self.value("secure-boot-on"))
        value = sha256(value + measured(SHIM, "SbatLevel", b"sbat,1,2021030218\n")).digest()
        if vendor:
            (certificate,) = filter(None, map(shim.vendor_certificate, contents_of_shim()))
            value = sha256(value + measured(SHIM, "Shim", certificate)).digest()
        options = (*variables(), "--secure-boot", "on", "--loader", str(parts.get("shim")))
        told = self.search(folder, "secure-boot-off.log", value.hex(), *options)
        assert "shim at level sbat,1,2021030218" in told
        assert ("vouches by its vendor's certificate" in told) is vendor

    def test_what_no_change_gives_is_said_to_be_unknown(self, folder):
        told = self.search(folder, "secure-boot-on.log", "ab" * 32, *variables())
        assert told.startswith("not that of the log and the image")


def options_of(log: Path, folder: Path) -> list[str]:
    """A log's own variables, as options."""
    events = [event for event in event_log.decode(log.read_bytes()).events if event.register == 7]
    logged = [event_data.variable(event.data) for event in events if event.type_name != "EV_SEPARATOR"]
    for variable in logged[1:5]:
        (folder / f"own-{variable.name}.esl").write_bytes(variable.value)
    return variables(**{name: f"own-{name}.esl" for name in NAMES})


def test_a_cloud_s_shim_is_told_from_its_machine_s_register(folder):
    """Where evidence of real machines is: a log with all that shim measures, and the register that its events give."""
    for log, value in REAL if EVIDENCE else ():
        options = (*options_of(Path(EVIDENCE) / log, folder), "--secure-boot", "on", "--loader", str(parts.get("shim")))
        told = reasons(folder, "--expect", f"sha256:7={value}", *options, log="disk-262.log")
        assert "shim at level sbat,1,2021030218, which vouches by" in told[-1]
