"""efitools, sbsigntool, OpenSSL and virt-firmware read what is made here, make the same, and are read."""

import json
import subprocess
from pathlib import Path
from uuid import UUID

import pytest

from fuki_build.formats.asn1 import der, detached_signature
from fuki_build.formats.reader import Reader
from fuki_build.formats.uefi import authenticated_variable as auth
from fuki_build.formats.uefi import efi_signature_list as esl
from fuki_build.formats.uefi import efi_time, variable_store
from fuki_build.formats.uefi.efi_signature_list import SignatureType
from fuki_build.signing.secure_boot.keys import NOT_BEFORE, KeyType, make_secure_boot_keys
from fuki_build.testing import succeed
from fuki_build.testing.secure_boot import make_identity, write_certificates, write_key

OWNER = UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b")


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: object) -> bytes:
    done = subprocess.run([str(argument) for argument in arguments], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
    return done.stdout


def program(name: str) -> Path:
    """A program of the environment that the tests run in."""
    import sys

    return Path(sys.executable).with_name(name)


def lay_out(type_: KeyType = KeyType.RSA_2048) -> None:
    for file in make_secure_boot_keys("Acme", type_, OWNER):
        Path(file.name).write_bytes(file.content)


def test_lists_of_certificates_are_those_of_efitools_and_sbsigntool():
    lay_out()
    for name in ("PK", "KEK", "db"):
        run("cert-to-efi-sig-list", "-g", OWNER, f"{name}.pem", "theirs.esl")
        assert Path("theirs.esl").read_bytes() == Path(f"{name}.esl").read_bytes()
        run("openssl", "x509", "-in", f"{name}.pem", "-outform", "DER", "-out", "one.der")
        run("sbsiglist", "--owner", OWNER, "--type", "x509", "--output", "theirs.esl", "one.der")
        assert Path("theirs.esl").read_bytes() == Path(f"{name}.esl").read_bytes()


def test_lists_of_hashes_are_those_of_sbsigntool():
    Path("hash").write_bytes(b"\x11" * 32)
    run("sbsiglist", "--owner", OWNER, "--type", "sha256", "--output", "theirs.esl", "hash")
    assert Path("theirs.esl").read_bytes() == esl.encode([esl.hash_list(SignatureType.SHA256, [b"\x11" * 32], OWNER)])


def test_virt_fw_sigdb_reads_lists_made_here():
    lay_out()
    hashes = esl.hash_list(SignatureType.SHA256, [bytes(32), b"\x11" * 32], OWNER)
    Path("both.esl").write_bytes(Path("db.esl").read_bytes() + esl.encode([hashes]))
    shown = run(program("virt-fw-sigdb"), "--input", "both.esl", "--print").decode()
    assert "EfiCertX509 count=1" in shown
    assert "Acme db" in shown
    assert "EfiCertSha256 count=2" in shown


def test_auth_files_are_those_of_efitools():
    lay_out()
    for name, signer in (("PK", "PK"), ("KEK", "PK"), ("db", "KEK")):
        keys = ("-k", f"{signer}.key", "-c", f"{signer}.pem")
        time = f"{NOT_BEFORE:%Y-%m-%d %H:%M:%S}"
        run("sign-efi-sig-list", "-g", OWNER, "-t", time, *keys, name, f"{name}.esl", "theirs.auth")
        assert Path("theirs.auth").read_bytes() == Path(f"{name}.auth").read_bytes()


def verify(file: str, name: str, signer: str, attributes: int = auth.SECURE_BOOT_ATTRIBUTES) -> None:
    """OpenSSL finds that the signature in a `.auth` file is the signer's, over what it is to cover."""
    update = auth.decode(Path(file).read_bytes())
    Path("covered").write_bytes(update.covered(name, auth.VENDORS[name], attributes))
    oid = bytes.fromhex("06092a864886f70d010702")
    Path("signature.der").write_bytes(der.wrap(der.SEQUENCE, oid + der.wrap(0xA0, update.signature)))
    options = ("-inform", "DER", "-in", "signature.der", "-content", "covered", "-binary", "-out", "/dev/null")
    run("openssl", "cms", "-verify", *options, "-CAfile", signer, "-partial_chain", "-purpose", "any", "-no_check_time")


@pytest.mark.parametrize("type_", [KeyType.RSA_3072, KeyType.P256, KeyType.P384])
def test_openssl_verifies_auth_files_with_the_keys_that_must_have_signed_them(type_: KeyType):
    lay_out(type_)
    for name, signer in (("PK", "PK"), ("KEK", "PK"), ("db", "KEK")):
        verify(f"{name}.auth", name, f"{signer}.pem")
    with pytest.raises(AssertionError):
        verify("db.auth", "db", "PK.pem")
    with pytest.raises(AssertionError):
        verify("db.auth", "dbx", "KEK.pem")


def test_updates_are_those_of_efitools(directory, monkeypatch):
    lay_out()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1795632009")
    monkeypatch.setenv("TZ", "UTC")
    for name, signer in (("dbx", "KEK"), ("db", "KEK"), ("KEK", "PK")):
        keys = ("--key", f"{signer}.key", "--certificate", f"{signer}.pem")
        succeed(directory, "keys", "update", name, "db.pem", "-o", "ours.auth", "--owner", OWNER, *keys)
        options = ("-g", OWNER, "-t", "2026-11-25 18:40:09", "-k", f"{signer}.key", "-c", f"{signer}.pem")
        run("sign-efi-sig-list", *options, name, "db.esl", "theirs.auth")
        assert Path("theirs.auth").read_bytes() == Path("ours.auth").read_bytes()
        verify("ours.auth", name, f"{signer}.pem")


def test_openssl_verifies_what_is_appended(directory):
    lay_out(KeyType.P384)
    keys = ("--key", "KEK.key", "--certificate", "KEK.pem")
    succeed(directory, "keys", "update", "dbx", "ab" * 32, "db.esl", "db.auth", "-o", "a.auth", "--append", *keys)
    verify("a.auth", "dbx", "KEK.pem", auth.SECURE_BOOT_ATTRIBUTES | auth.Attributes.APPEND_WRITE)
    value = auth.decode(Path("a.auth").read_bytes()).payload
    assert [SignatureType(str(one.type)) for one in esl.decode(value)] == [
        SignatureType.SHA256,
        SignatureType.X509,
        SignatureType.X509,
    ]


def test_auth_files_of_other_tools_are_read():
    lay_out()
    run("sign-efi-sig-list", "-t", "2026-11-25 18:40:09", "-k", "KEK.key", "-c", "KEK.pem", "db", "db.esl", "e.auth")
    run("sbvarsign", "--key", "KEK.key", "--cert", "KEK.pem", "--output", "s.auth", "db", "db.esl")
    append = auth.SECURE_BOOT_ATTRIBUTES | auth.Attributes.APPEND_WRITE
    for file, attributes in (("e.auth", auth.SECURE_BOOT_ATTRIBUTES), ("s.auth", append)):
        assert auth.decode(Path(file).read_bytes()).payload == Path("db.esl").read_bytes()
        verify(file, "db", "KEK.pem", attributes)
    assert auth.decode(Path("e.auth").read_bytes()).timestamp == (2026, 11, 25, 18, 40, 9)


def test_an_append_of_efitools_is_read_and_covers_what_is_said_here():
    lay_out()
    run("sign-efi-sig-list", "-a", "-k", "KEK.key", "-c", "KEK.pem", "dbx", "db.esl", "append.auth")
    update = auth.decode(Path("append.auth").read_bytes())
    assert update.payload == Path("db.esl").read_bytes()
    run("sign-efi-sig-list", "-a", "-o", "-k", "KEK.key", "-c", "KEK.pem", "dbx", "db.esl", "covered")
    attributes = auth.SECURE_BOOT_ATTRIBUTES | auth.Attributes.APPEND_WRITE
    covered = Path("covered").read_bytes()
    # The two runs differ in their time, if it is not zero.
    ours = update.covered("dbx", auth.VENDORS["dbx"], attributes)
    at = len(covered) - len(update.payload) - efi_time.SIZE
    assert (ours[:at], ours[at + efi_time.SIZE :]) == (covered[:at], covered[at + efi_time.SIZE :])


def test_signed_data_of_an_identity_that_others_made_verifies():
    signer = make_identity("KEK", "rsa2048")
    write_key(Path("k.key"), signer.key)
    write_certificates(Path("k.pem"), signer.certificate)
    Path("content").write_bytes(b"content")
    run("openssl", "dgst", "-sha256", "-sign", "k.key", "-out", "raw", "content")
    run("openssl", "x509", "-in", "k.pem", "-outform", "DER", "-out", "k.der")
    signed = detached_signature.encode(Path("raw").read_bytes(), Path("k.der").read_bytes(), rsa=True)
    oid = bytes.fromhex("06092a864886f70d010702")
    Path("signed").write_bytes(der.wrap(der.SEQUENCE, oid + der.wrap(0xA0, signed)))
    options = ("-inform", "DER", "-in", "signed", "-content", "content", "-binary", "-CAfile", "k.pem")
    assert run("openssl", "cms", "-verify", *options, "-partial_chain", "-purpose", "any") == b"content"


@pytest.mark.parametrize("name", ["ovmf-vars", "ovmf-vars-ms", "ovmf-inteltdx"])
def test_virt_fw_vars_reads_the_same_variables(part, name: str):
    run(program("virt-fw-vars"), "--input", part(name), "--output-json", "theirs.json")
    theirs = json.loads(Path("theirs.json").read_text())["variables"]

    variables = variable_store.decode(Reader.of(part(name).read_bytes())) or ()
    ours = [
        {
            "name": one.name,
            "guid": str(one.vendor),
            "attr": one.attributes,
            "data": one.data.hex(),
            **({"time": efi_time.encode(one.timestamp).hex()} if one.timestamp != efi_time.NONE else {}),
        }
        for one in variables
    ]

    assert sorted(ours, key=str) == sorted(theirs, key=str)
