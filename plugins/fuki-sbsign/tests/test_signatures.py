"""What each program does to an image, as other people's tools see it."""

import re
from collections.abc import Callable
from pathlib import Path

import pefile
import pytest
from cryptography import x509
from fuki_build.errors import SigningError
from fuki_build.testing.secure_boot import Encoding, make_identity, write_certificates
from signing_programs import run

from fuki_sbsign.osslsigncode import Digest

Sign = Callable[..., None]
SECURITY = 4
KEY = {"key": "db.key", "certificate": "db.crt"}
NSS = {"nickname": "db", "directory": "nss", "pin": "file:nss-password"}
SIMPLEST: dict[str, dict[str, str]] = {"sbsign": KEY, "systemd-sbsign": KEY, "osslsigncode": KEY, "pesign": NSS}

each_program = pytest.mark.parametrize("program", SIMPLEST)


def verify(image: Path, certificate: Path) -> None:
    run("sbverify", "--cert", certificate, image)


def parts_of(image: Path) -> tuple[bytes, bytes]:
    """What is not about signatures, by pefile's offsets, and the certificate table."""
    data = bytearray(image.read_bytes())
    pe = pefile.PE(data=bytes(data), fast_load=True)
    place = pe.OPTIONAL_HEADER.DATA_DIRECTORY[SECURITY]
    end = place.VirtualAddress or len(data)
    table = bytes(data[end : end + place.Size])
    assert not data[end + place.Size :]
    checksum = pe.OPTIONAL_HEADER.get_field_absolute_offset("CheckSum")
    data[checksum : checksum + 4] = bytes(4)
    at = place.get_file_offset()
    data[at : at + 8] = bytes(8)
    return bytes(data[:end]), table


@each_program
@pytest.mark.parametrize("kind", ["stub", "uki"])
def test_nothing_changes_but_the_signature_and_the_fields_that_are_about_it(
    program: str, kind: str, sign: Sign, request: pytest.FixtureRequest
):
    image = request.getfixturevalue(kind)
    before, none = parts_of(image)
    sign(image, program, **SIMPLEST[program])
    after, table = parts_of(image)
    assert after == before + bytes(-len(before) % 8)
    assert table
    assert not none


@each_program
@pytest.mark.parametrize("kind", ["stub", "uki"])
def test_sbverify_accepts_the_signature_for_the_issuer(
    program: str, kind: str, sign: Sign, keys: Path, request: pytest.FixtureRequest
):
    image = request.getfixturevalue(kind)
    sign(image, program, **SIMPLEST[program])
    verify(image, keys / "ca.crt")


# pesign puts the issuer's certificate in, too; then sbverify does not take the signer for a root.
@pytest.mark.parametrize("program", ["sbsign", "systemd-sbsign", "osslsigncode"])
def test_sbverify_accepts_the_signature_for_the_signer(program: str, sign: Sign, stub: Path, keys: Path):
    sign(stub, program, **SIMPLEST[program])
    verify(stub, keys / "db.crt")


@pytest.mark.parametrize("program", ["sbsign", "systemd-sbsign", "osslsigncode"])
def test_osslsigncode_accepts_the_signature(program: str, sign: Sign, uki: Path, keys: Path):
    sign(uki, program, **SIMPLEST[program])
    assert "Signature verification: ok" in run("osslsigncode", "verify", "-CAfile", keys / "ca.crt", uki)


@each_program
def test_the_signature_is_not_accepted_for_another_certificate(program: str, sign: Sign, stub: Path, tmp_path: Path):
    sign(stub, program, **SIMPLEST[program])
    other = write_certificates(tmp_path / "other.crt", make_identity("Other").certificate)
    with pytest.raises(AssertionError, match="Signature verification failed"):
        verify(stub, other)


@pytest.mark.parametrize("second", ["sbsign", "systemd-sbsign", "pesign"])
@each_program
def test_a_second_signature_is_put_behind_the_first(program: str, second: str, sign: Sign, stub: Path, keys: Path):
    sign(stub, program, **SIMPLEST[program])
    _, first = parts_of(stub)
    sign(stub, second, **SIMPLEST[second])
    _, both = parts_of(stub)
    assert both.startswith(first)
    assert run("sbverify", "--list", stub).count("image signature issuers") == 2
    verify(stub, keys / "ca.crt")


@each_program
def test_osslsigncode_does_not_replace_the_signature_of_another(program: str, sign: Sign, stub: Path):
    sign(stub, program, **SIMPLEST[program])
    before = stub.read_bytes()
    with pytest.raises(SigningError, match="would replace the signature"):
        sign(stub, "osslsigncode", **KEY)
    assert stub.read_bytes() == before


@pytest.mark.parametrize(
    ("program", "options"),
    [
        ("sbsign", {**KEY, "intermediates": ("ca.crt",)}),
        ("sbsign", {**KEY, "certificate": "chain.crt"}),
        ("osslsigncode", {**KEY, "intermediates": ("ca.crt",)}),
        ("osslsigncode", {**KEY, "certificate": "chain.crt"}),
        ("osslsigncode", {"pkcs12": "db.p12", "passphrase": "file:passphrase"}),
        ("pesign", NSS),
    ],
)
def test_further_certificates_are_put_into_the_signature(program: str, options: dict, sign: Sign, stub: Path):
    sign(stub, program, **options)
    subjects = re.findall(r"subject: /CN=(.+)", run("sbverify", "--list", stub))
    assert sorted(subjects) == ["Acme CA", "Acme db"]


@pytest.mark.parametrize("program", ["sbsign", "systemd-sbsign", "osslsigncode"])
def test_a_certificate_may_be_der(program: str, sign: Sign, stub: Path, keys: Path, tmp_path: Path):
    certificate = x509.load_pem_x509_certificate((keys / "db.crt").read_bytes())
    der = write_certificates(tmp_path / "db.der", certificate, encoding=Encoding.DER)
    sign(stub, program, key="db.key", certificate=str(der))
    verify(stub, keys / "db.crt")


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_osslsigncode_signs_with_the_digest_that_is_asked_for(digest: str, sign: Sign, stub: Path, keys: Path):
    sign(stub, "osslsigncode", **KEY, digest=Digest(digest))
    told = run("osslsigncode", "verify", "-CAfile", keys / "ca.crt", stub)
    assert f"Message digest algorithm  : {digest.upper()}" in told
    assert "Signature verification: ok" in told


@pytest.mark.parametrize("program", ["systemd-sbsign", "osslsigncode"])
def test_the_time_of_signing_is_source_date_epoch(
    program: str, sign: Sign, stub: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1750000000")
    unsigned = stub.read_bytes()
    sign(stub, program, **KEY)
    once = stub.read_bytes()
    stub.write_bytes(unsigned)
    sign(stub, program, **KEY)
    assert stub.read_bytes() == once
    assert "Signing time: Jun 15 15:06:40 2025 GMT" in run("osslsigncode", "verify", "-CAfile", keys / "ca.crt", stub)
