"""Keys that are made: what the files are, and that all but the keys follows from them."""

import subprocess
from pathlib import Path
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from fuki_build.errors import RecipeError
from fuki_build.formats.uefi import authenticated_variable, efi_signature_list
from fuki_build.signing.secure_boot import keys
from fuki_build.signing.secure_boot.keys import KeyType

OWNER = UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b")
BITS = {KeyType.RSA_2048: 2048, KeyType.RSA_3072: 3072, KeyType.P256: 256, KeyType.P384: 384}


def make(type_: KeyType = KeyType.P256, name: str = "Acme", passphrase: str | None = None) -> dict[str, bytes]:
    files = keys.make_secure_boot_keys(name, type_, OWNER, passphrase)
    return {file.name: file.content for file in files}


@pytest.mark.parametrize("type_", BITS)
def test_each_variable_has_a_key_of_the_type_and_a_certificate_for_it(type_: KeyType):
    files = make(type_)
    for variable in ("PK", "KEK", "db"):
        key = load_pem_private_key(files[f"{variable}.key"], None)
        certificate = x509.load_pem_x509_certificate(files[f"{variable}.pem"])
        assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
        assert key.key_size == BITS[type_]
        assert certificate.public_key() == key.public_key()
        certificate.verify_directly_issued_by(certificate)
        assert certificate.subject.rfc4514_string() == f"CN=Acme {variable}"


def test_keys_are_secret_and_nothing_else_is():
    files = keys.make_secure_boot_keys("Acme", KeyType.P256, OWNER)
    files += keys.make_pcr_key(KeyType.P256)
    assert {file.name for file in files if file.secret} == {"PK.key", "KEK.key", "db.key", "pcr.key"}
    assert all((b"PRIVATE" in file.content) is file.secret for file in files)


def test_a_certificate_follows_from_key_and_name(monkeypatch):
    key = keys._MAKERS[KeyType.RSA_2048]()
    monkeypatch.setitem(keys._MAKERS, KeyType.RSA_2048, lambda: key)
    assert make(KeyType.RSA_2048) == make(KeyType.RSA_2048)


def test_serial_numbers_are_positive_and_differ():
    numbers = [x509.load_pem_x509_certificate(make()["PK.pem"]).serial_number for _ in range(8)]
    assert len(set(numbers)) == 8
    assert all(0 < number < 1 << 159 for number in numbers)


def test_only_the_certificate_in_db_is_for_code():
    files = make()
    for variable, expected in (("PK", 0), ("KEK", 0), ("db", 1)):
        extensions = x509.load_pem_x509_certificate(files[f"{variable}.pem"]).extensions
        assert len([one for one in extensions if isinstance(one.value, x509.ExtendedKeyUsage)]) == expected


def test_a_list_holds_the_certificate_and_the_owner():
    files = make()
    (signature_list,) = efi_signature_list.decode(files["db.esl"])
    assert [signature.owner for signature in signature_list.signatures] == [OWNER]
    assert x509.load_der_x509_certificate(signature_list.signatures[0].data) == x509.load_pem_x509_certificate(
        files["db.pem"]
    )
    assert files["owner.txt"] == f"{OWNER}\n".encode()


def test_an_auth_file_sets_the_list():
    files = make()
    for variable in ("PK", "KEK", "db"):
        assert authenticated_variable.decode(files[f"{variable}.auth"]).payload == files[f"{variable}.esl"]


def test_a_passphrase_encrypts_all_keys(tmp_path: Path):
    phrase = "pass phrase"
    files = make(passphrase=phrase)
    for file in [*files, "pcr.key"]:
        if file.endswith(".key"):
            path = tmp_path / file
            path.write_bytes(files.get(file) or keys.make_pcr_key(KeyType.P256, phrase)[0].content)
            for given, code in ((phrase, 0), ("another", 1)):
                command = ["openssl", "pkey", "-in", str(path), "-noout", "-passin", f"pass:{given}"]
                assert subprocess.run(command, capture_output=True, check=False).returncode == code


def test_a_pcr_key_has_its_public_half():
    private, public = keys.make_pcr_key(KeyType.RSA_2048)
    assert load_pem_private_key(private.content, None).public_key() == load_pem_public_key(public.content)


@pytest.mark.parametrize("name", ["x" * 62, "ü" * 31, "a\nb", "\udcff"])
def test_a_name_that_does_not_fit_a_certificate_is_refused(name: str):
    with pytest.raises(RecipeError) as caught:
        make(name=name)
    assert "64" in (caught.value.hint or "")
