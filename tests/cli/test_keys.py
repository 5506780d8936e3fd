"""`fuki keys`: what is made and enrolled, and every mistake."""

import hashlib
import json
import subprocess
from pathlib import Path
from uuid import UUID

import pytest

from fuki_build.formats.reader import Reader
from fuki_build.formats.uefi import efi_signature_list, variable_store
from fuki_build.formats.uefi.efi_signature_list import SignatureType
from fuki_build.testing import CommandOutcome, invoke, refused, succeed

OWNER = "77fa9abd-0359-4d32-bd60-28f4e78f784b"
MADE = {f"{name}.{kind}" for name in ("PK", "KEK", "db") for kind in ("key", "pem", "esl", "auth")} | {"owner.txt"}
ENROLL = ("--plugin", "virt-firmware", "keys", "enroll")
PHRASE = "correct horse"


class TestGenerate:
    def test_it_makes_all_files_in_a_new_directory(self, tmp_path):
        assert "wrote 13 files into keys" in succeed(tmp_path, "keys", "generate").err
        assert {path.name for path in (tmp_path / "keys").iterdir()} == MADE

    def test_json_names_them_and_says_which_are_secret(self, tmp_path):
        out = succeed(tmp_path, "keys", "generate", "k", "--owner", OWNER, "--type", "p256", "--pcr", "--json").out
        data = json.loads(out)
        assert (data["version"], data["owner"]) == (1, OWNER)
        assert {file["path"] for file in data["files"]} == {f"k/{name}" for name in MADE | {"pcr.key", "pcr.pub"}}
        secret = {file["path"] for file in data["files"] if file["secret"]}
        assert secret == {"k/PK.key", "k/KEK.key", "k/db.key", "k/pcr.key"}

    def test_an_owner_of_its_own_is_a_random_one(self, tmp_path):
        for name in ("a", "b"):
            succeed(tmp_path, "keys", "generate", name, "--type", "p256")
        first, second = (UUID((tmp_path / name / "owner.txt").read_text().strip()) for name in ("a", "b"))
        assert first != second

    def test_private_keys_are_for_their_owner(self, tmp_path):
        succeed(tmp_path, "keys", "generate", "--type", "p256", "--pcr")
        for path in (tmp_path / "keys").iterdir():
            assert ((path.stat().st_mode & 0o077) == 0) is (path.suffix == ".key")

    def test_keys_that_are_there_are_never_overwritten(self, tmp_path):
        succeed(tmp_path, "keys", "generate", "--type", "p256")
        assert "keys exists" in refused(tmp_path, "keys", "generate", code=1)

    @pytest.mark.parametrize("source", ["file:phrase", "env:FUKI_TEST_PHRASE", "credential:phrase"])
    def test_a_passphrase_encrypts_and_is_told_to_nobody(self, tmp_path, monkeypatch, source):
        (tmp_path / "phrase").write_text(f"{PHRASE}\n")
        monkeypatch.setenv("FUKI_TEST_PHRASE", PHRASE)
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
        outcome = succeed(tmp_path, "keys", "generate", "--pcr", "--type", "p256", "--passphrase", source, "--json")
        assert PHRASE not in outcome.out + outcome.err
        for path in (tmp_path / "keys").glob("*.key"):
            assert b"BEGIN ENCRYPTED PRIVATE KEY" in path.read_bytes()
            command = ["openssl", "pkey", "-in", path, "-noout", "-passin", f"pass:{PHRASE}"]
            subprocess.run(command, check=True, capture_output=True)

    @pytest.mark.parametrize(("given", "code"), [(PHRASE, 2), ("env:", 2), ("env:FUKI_NOPE", 4), ("file:nope", 4)])
    def test_a_passphrase_that_is_not_to_be_had_is_refused_and_not_repeated(self, tmp_path, given, code):
        error = refused(tmp_path, "keys", "generate", "--passphrase", given, code=code)
        assert error.startswith("fuki: error: --passphrase: ")
        assert PHRASE not in error

    def test_an_empty_passphrase_is_refused(self, tmp_path):
        (tmp_path / "phrase").write_text("\n")
        assert "is empty" in refused(tmp_path, "keys", "generate", "--passphrase", "file:phrase", code=4)

    @pytest.mark.parametrize(("again", "code"), [(PHRASE, 0), ("another", 4)])
    def test_a_passphrase_that_is_typed_is_typed_twice(self, tmp_path, monkeypatch, again, code):
        typed = iter([PHRASE, again])
        monkeypatch.setattr("fuki_build.hooks.secrets.read_secret", lambda *_: next(typed))
        outcome = invoke(tmp_path, "keys", "generate", "--type", "p256", "--passphrase", "prompt")
        assert outcome.code == code
        assert (tmp_path / "keys").exists() is (code == 0)
        assert not list(typed)

    @pytest.mark.parametrize("name", ["x" * 62, "a\nb"])
    def test_a_name_that_fits_no_certificate_is_refused(self, tmp_path, name):
        assert refused(tmp_path, "keys", "generate", "--name", name).startswith("fuki: error: --name: ")

    def test_types_that_little_firmware_knows_come_with_a_warning(self, tmp_path):
        outcome = succeed(tmp_path, "keys", "generate", "--type", "p256", "--pcr", "--pcr-type", "p384")
        assert outcome.err.count("warning:") == 2
        assert "warning:" not in succeed(tmp_path, "keys", "generate", "others", "--pcr").err


@pytest.fixture
def key_folder(tmp_path: Path, part) -> Path:
    """Keys, and stores to put them into."""
    succeed(tmp_path, "keys", "generate", "--type", "p256", "--owner", OWNER)
    (tmp_path / "vars.fd").symlink_to(part("ovmf-vars"))
    (tmp_path / "ms.fd").symlink_to(part("ovmf-vars-ms"))
    (tmp_path / "code.fd").symlink_to(part("ovmf-code"))
    (tmp_path / "text").write_text("plain text\n")
    return tmp_path


def enroll(key_folder: Path, store: str = "vars.fd", *more: str, output: str = "out.fd") -> CommandOutcome:
    given = ("--pk", "keys/PK.pem", "--kek", "keys/KEK.pem", "--db", "keys/db.pem", "--owner", OWNER)
    return succeed(key_folder, *ENROLL, store, "-o", output, *given, *more)


def values(path: Path) -> dict[str, bytes]:
    return {variable.name: variable.data for variable in variable_store.decode(Reader.of(path.read_bytes())) or ()}


class TestEnroll:
    def test_a_store_holds_what_was_made(self, key_folder):
        assert "wrote out.fd" in enroll(key_folder).err
        variables = values(key_folder / "out.fd")
        for name in ("PK", "KEK", "db"):
            assert variables[name] == (key_folder / f"keys/{name}.esl").read_bytes()
        assert variables["SecureBootEnable"] == b"\1"

    def test_the_same_store_and_keys_give_the_same_bytes(self, key_folder):
        revoked = ("--dbx", "ab" * 32)
        enroll(key_folder, "ms.fd", *revoked)
        enroll(key_folder, "ms.fd", *revoked, output="again.fd")
        assert (key_folder / "again.fd").read_bytes() == (key_folder / "out.fd").read_bytes()

    def test_only_the_variables_of_an_image_change(self, key_folder, part):
        enroll(key_folder, str(part("ovmf-inteltdx")))
        before, after = part("ovmf-inteltdx").read_bytes(), (key_folder / "out.fd").read_bytes()
        assert len(before) == len(after)
        changed = [at for at in range(0, len(before), 4096) if before[at : at + 4096] != after[at : at + 4096]]
        assert changed
        assert max(changed) < 0x40000

    def test_keys_that_were_there_go_and_revocations_stay(self, key_folder):
        revoked = ("ab" * 32, "keys/KEK.pem", "keys/db.esl", "keys/PK.auth")
        enroll(key_folder, "ms.fd", *(word for item in revoked for word in ("--dbx", item)))
        before, after = values(key_folder / "ms.fd"), values(key_folder / "out.fd")
        for name in ("PK", "KEK", "db"):
            assert after[name] == (key_folder / f"keys/{name}.esl").read_bytes()
        assert after["dbx"].startswith(before["dbx"])
        added = efi_signature_list.decode(after["dbx"][len(before["dbx"]) :])
        assert [one.type for one in added] == [SignatureType.SHA256.guid, *[SignatureType.X509.guid] * 3]
        assert added[0].signatures[0].data == b"\xab" * 32

    def test_what_is_revoked_already_is_not_listed_twice(self, key_folder):
        enroll(key_folder, "vars.fd", "--dbx", "ab" * 32, "--dbx", "AB" * 32, output="one.fd")
        enroll(key_folder, "one.fd", "--dbx", "ab" * 32)
        assert values(key_folder / "out.fd")["dbx"] == values(key_folder / "one.fd")["dbx"]

    def test_microsofts_certificates_come_beside_ones_own(self, key_folder):
        enroll(key_folder, "vars.fd", "--microsoft")
        enrolled, debians = values(key_folder / "out.fd"), values(key_folder / "ms.fd")
        assert enrolled["PK"] == (key_folder / "keys/PK.esl").read_bytes()
        assert (key_folder / "keys/db.esl").read_bytes() in enrolled["db"]

        def certificates(data: bytes) -> set[bytes]:
            return {one.signatures[0].data for one in efi_signature_list.decode(data)}

        assert certificates(debians["db"]) < certificates(enrolled["db"])
        assert len(certificates(enrolled["KEK"]) & certificates(debians["KEK"])) == 2

    def test_secure_boot_can_be_left_off(self, key_folder):
        enroll(key_folder, "vars.fd", "--no-secure-boot")
        assert values(key_folder / "out.fd")["SecureBootEnable"] == b"\0"

    def test_without_an_owner_the_entries_get_one_that_follows_from_the_platform_key(self, key_folder):
        for output in ("one.fd", "two.fd"):
            succeed(key_folder, *ENROLL, "vars.fd", "-o", output, "--pk", "keys/PK.pem", "--db", "keys/db.pem")
        assert values(key_folder / "one.fd") == values(key_folder / "two.fd")
        (signature_list,) = efi_signature_list.decode(values(key_folder / "one.fd")["PK"])
        assert signature_list.signatures[0].owner not in {UUID(OWNER), UUID(int=0)}

    def test_firmware_that_ignores_keys_comes_with_a_warning(self, key_folder, part):
        assert "without Secure Boot" in enroll(key_folder, str(part("ovmf-generic"))).err
        assert "warning" not in enroll(key_folder, str(part("ovmf-inteltdx"))).err

    def test_a_store_can_be_replaced(self, key_folder):
        (key_folder / "own.fd").write_bytes((key_folder / "vars.fd").read_bytes())
        enroll(key_folder, "own.fd", output="own.fd")
        assert "PK" in values(key_folder / "own.fd")


KEYS = ("--pk", "keys/PK.pem", "--db", "keys/db.pem")
MISTAKES = {
    "a store that is not there": (("nope.fd", *KEYS), 1, "cannot open nope.fd", ""),
    "code without variables": (("code.fd", *KEYS), 1, "code.fd has no UEFI variable store", "OVMF_VARS.fd"),
    "no firmware at all": (("text", *KEYS), 1, "text has no UEFI variable store", "OVMF.fd"),
    "a directory": (("keys", *KEYS), 1, "it is a directory", ""),
    "a certificate that is not there": (("vars.fd", *KEYS, "--kek", "nope"), 2, "--kek: cannot open nope", ""),
    "a text for a certificate": (("vars.fd", *KEYS, "--kek", "text"), 2, "--kek: text: this is not a cert", "PEM"),
    "a key for a certificate": (("vars.fd", *KEYS, "--db", "keys/db.key"), 2, "--db: keys/db.key", "private key"),
    "a text for the platform key": (("vars.fd", "--pk", "text", "--db", "keys/db.pem"), 2, "--pk: text", "PEM"),
    "two platform keys": (("vars.fd", "--pk", "two.pem", "--db", "keys/db.pem"), 2, "holds 2 certificates", ""),
    "a text to revoke": (("vars.fd", *KEYS, "--dbx", "text"), 2, "--dbx: text: ", ".esl"),
    "an empty db": (("vars.fd", "--pk", "keys/PK.pem"), 2, "--db: with an empty db nothing would boot", "certificate"),
    "another enroller": (
        ("vars.fd", *KEYS, "--backend", "nope"),
        2,
        "--backend: there is no enroller",
        "virt-firmware",
    ),
}


@pytest.mark.parametrize(("arguments", "code", "problem", "remedy"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_error_with_its_remedy_and_writes_nothing(key_folder, arguments, code, problem, remedy):
    (key_folder / "two.pem").write_bytes(
        (key_folder / "keys/PK.pem").read_bytes() + (key_folder / "keys/db.pem").read_bytes()
    )
    error = refused(key_folder, *ENROLL, *arguments, "-o", "out.fd", code=code)
    assert problem in error
    assert remedy in error


def damaged(key_folder: Path, name: str, at: int, number: int) -> Path:
    """An enrolled store with another 32-bit number in the head of the first list of a variable."""
    data = bytearray((key_folder / "ms.fd").read_bytes())
    title = f"{name}\0".encode("utf-16-le")
    place = data.find(title + values(key_folder / "ms.fd")[name]) + len(title) + at
    data[place : place + 4] = number.to_bytes(4, "little")
    (key_folder / "damaged.fd").write_bytes(data)
    return key_folder / "damaged.fd"


@pytest.mark.parametrize("name", ["PK", "KEK", "db", "dbx"])
@pytest.mark.parametrize(("at", "number"), [(16, 0), (16, 1 << 31), (20, 1 << 20), (24, 0), (24, 5)])
def test_a_damaged_list_is_refused_before_a_program_sees_it(key_folder, monkeypatch, name, at, number):
    """virt-fw-vars 26 loops for some of these, and eats all memory."""
    from fuki_virt_firmware import VirtFirmware

    monkeypatch.setattr(VirtFirmware, "enroll", lambda *_: pytest.fail("the store was handed over"))
    store = damaged(key_folder, name, at, number)
    keys = ("--pk", "keys/PK.pem", "--db", "keys/db.pem", "--owner", OWNER)
    error = refused(key_folder, *ENROLL, store, "-o", "out.fd", *keys, code=1)
    assert f"damaged.fd: {name} is damaged: " in error
    assert "take a fresh one" in error
    assert not (key_folder / "out.fd").exists()


def test_a_list_that_is_cut_off_is_refused(key_folder):
    """The data's size in the head of the second variable, KEK; virt-fw-vars looped."""
    enroll(key_folder)
    data = bytearray((key_folder / "out.fd").read_bytes())
    data[0xE0] = 0x55
    (key_folder / "damaged.fd").write_bytes(data)
    keys = ("--pk", "keys/PK.pem", "--db", "keys/db.pem", "--owner", OWNER)
    assert "KEK is damaged: " in refused(key_folder, *ENROLL, "damaged.fd", "-o", "again.fd", *keys, code=1)


def test_without_the_plugin_it_is_named(key_folder):
    error = refused(key_folder, "keys", "enroll", "vars.fd", "-o", "out.fd", *KEYS)
    assert "fuki --plugin virt-firmware keys enroll" in error


def test_more_than_the_store_holds_is_refused(key_folder):
    digests = [hashlib.sha256(number.to_bytes(4)).digest() for number in range(8192)]
    many = efi_signature_list.hash_list(SignatureType.SHA256, digests, UUID(OWNER))
    (key_folder / "many.esl").write_bytes(efi_signature_list.encode([many]))
    error = refused(key_folder, *ENROLL, "vars.fd", "-o", "out.fd", *KEYS, "--dbx", "many.esl", code=1)
    assert "too small" in error


KEK = ("--key", "keys/KEK.key", "--certificate", "keys/KEK.pem")
UPDATES = {
    "no key": (("dbx", "ab" * 32), 2, "'key' is missing", ""),
    "no certificate": (("dbx", "ab" * 32, "--key", "keys/KEK.key"), 4, "no certificate for the key", ""),
    "the certificate of another": (
        ("dbx", "ab" * 32, *KEK[:2], "--certificate", "keys/PK.pem"),
        4,
        "is not that of the key",
        "",
    ),
    "a key that is not there": (("dbx", "ab" * 32, "--key", "nope", *KEK[2:]), 4, "cannot open nope", ""),
    "nothing of the kind": (("dbx", "text", *KEK), 2, "dbx[0]: text", ".esl"),
    "half a hash": (("dbx", "abcd", *KEK), 2, "dbx[0]: cannot open abcd", ""),
    "an unknown backend": (("dbx", "ab" * 32, *KEK, "--backend", "nope"), 2, "no signing backend 'nope'", "local"),
}


@pytest.mark.parametrize(("arguments", "code", "problem", "remedy"), UPDATES.values(), ids=UPDATES)
def test_a_mistake_in_an_update_is_one_error_and_writes_nothing(key_folder, arguments, code, problem, remedy):
    error = refused(key_folder, "keys", "update", *arguments, "-o", "out.auth", code=code)
    assert problem in error
    assert remedy in error


def test_an_update_without_entries_is_wrong_usage(key_folder):
    outcome = invoke(key_folder, "keys", "update", "dbx", "-o", "out.auth", *KEK)
    assert outcome.code == 2
    assert not (key_folder / "out.auth").exists()
