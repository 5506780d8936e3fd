"""What people get wrong when they sign and verify, and what they are told."""

import shutil
from pathlib import Path

import pytest

from fuki_build.testing import invoke
from fuki_build.testing.secure_boot import make_identity, write_certificates, write_key, write_pkcs12

SIGNER = '{ backend = "local", key = "db.key", certificate = "db.crt" }'


@pytest.fixture
def directory(workshop: Path) -> Path:
    """The workshop, with a key, its certificate, and `boot.efi`, which has no signature."""
    identity = make_identity("Acme db")
    write_key(workshop / "db.key", identity.key)
    write_certificates(workshop / "db.crt", identity.certificate)
    shutil.copyfile(workshop / "stub", workshop / "boot.efi")
    return workshop


def test_a_certificate_in_place_of_a_db_is_told_apart(directory):
    outcome = invoke(directory, "verify", "boot.efi", "--db", "db.crt")
    assert outcome.code == 1
    assert outcome.err.startswith("fuki: error: db.crt: ")
    assert "trust it with --certificate" in outcome.err


def test_an_unsigned_image_is_told_once_on_each_stream(directory):
    outcome = invoke(directory, "verify", "boot.efi")
    assert outcome.code == 3
    assert outcome.out.count("it has no signature") == 1
    assert outcome.err == "fuki: error: boot.efi: the image is not valid: it has no signature\n"


@pytest.mark.parametrize("certificate", ["db.key", "nowhere.crt"])
def test_a_certificate_that_attach_cannot_read_is_named(directory, certificate):
    (directory / "signed.json").write_text(
        '{"version": 1, "image": "boot.efi", "digests": '
        '[{"purpose": "image", "algorithm": "sha256", "digest": "00", "message": "", "signature": "AA=="}]}'
    )
    outcome = invoke(directory, "attach", "boot.efi", "--signatures", "signed.json", "--certificate", certificate)
    assert outcome.code == 4
    assert certificate in outcome.err


def test_a_digest_that_the_signers_of_a_recipe_would_not_use_is_refused(directory):
    with (directory / "fuki.toml").open("a") as recipe:
        recipe.write('\n[fuki.sign]\nbackend = "local"\nkey = "db.key"\ncertificate = "db.crt"\n')
    before = (directory / "boot.efi").read_bytes()
    outcome = invoke(directory, "sign", "boot.efi", "--digest", "sha384")
    assert outcome.code == 2
    assert "a recipe has the key 'digest'" in outcome.err
    assert (directory / "boot.efi").read_bytes() == before


def test_signers_of_an_output_without_an_image_are_refused(directory):
    with (directory / "fuki.toml").open("a") as recipe:
        recipe.write(f'\n[[fuki.output]]\nformat = "manifest"\nsign = {SIGNER}\n')
    outcome = invoke(directory, "build")
    assert outcome.code == 2
    assert "fuki.output[0].sign: an output of format manifest has no image to sign" in outcome.err


def test_intermediates_stand_behind_the_certificate_of_a_pkcs12_file(directory):
    authority = make_identity("Acme CA", authority=True)
    write_certificates(directory / "ca.crt", authority.certificate)
    write_pkcs12(directory / "db.p12", make_identity("Acme signer", issuer=authority))
    arguments = ("--key", "db.p12", "-O", 'intermediates=["ca.crt"]')
    assert invoke(directory, "sign", "boot.efi", *arguments).code == 0
    verified = invoke(directory, "verify", "boot.efi", "--certificate", "ca.crt")
    assert "trusted through CN=Acme CA" in verified.out


def test_intermediates_of_a_key_without_a_certificate_are_not_taken_for_it(directory):
    outcome = invoke(directory, "sign", "boot.efi", "--key", "db.key", "-O", 'intermediates=["db.crt"]')
    assert outcome.code == 4
    assert "sign.certificate: there is no certificate for the key" in outcome.err


def test_what_firmware_may_not_know_is_named_as_people_write_it(directory):
    outcome = invoke(directory, "sign", "boot.efi", "--key", "db.key", "--certificate", "db.crt", "--digest", "sha384")
    assert outcome.code == 0
    assert "firmware may not know signatures over SHA-384" in outcome.err


def test_a_timestamp_authority_that_is_not_there_is_told_plainly(directory):
    arguments = ("--key", "db.key", "--certificate", "db.crt", "-O", "timestamp=http://127.0.0.1:9")
    outcome = invoke(directory, "sign", "boot.efi", *arguments)
    assert outcome.code == 4
    assert "cannot get a timestamp from http://127.0.0.1:9: Connection refused" in outcome.err
