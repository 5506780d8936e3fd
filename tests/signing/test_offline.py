"""Signing where the key is not: digests out, signatures in."""

import base64
import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from fuki_build.testing import invoke, refused, secure_boot, succeed
from tests.conftest import RECIPE
from tests.signing.conftest import SIGN, VERIFIERS
from tests.support.workshop import IMAGE


@pytest.fixture
def unsigned(keyed: Path) -> Path:
    (keyed / "fuki.toml").write_text(RECIPE + SIGN)
    succeed(keyed, "build", "--unsigned")
    return keyed


def sign(directory: Path, document: dict, key: str = "db.key") -> dict:
    """What somebody with a key and openssl does."""
    for item in document["digests"]:
        message = base64.b64decode(item["message"])
        assert hashlib.new(item["algorithm"], message).hexdigest() == item["digest"]
        command = ["openssl", "dgst", f"-{item['algorithm']}", "-sign", key]
        signature = subprocess.run(command, cwd=directory, input=message, capture_output=True, check=True).stdout
        item["signature"] = base64.b64encode(signature).decode()
    return document


def digests(directory: Path, *arguments: object) -> dict:
    return json.loads(succeed(directory, "digests", *arguments).out)


def write(directory: Path, document: object) -> Path:
    path = directory / "signatures.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize("program", VERIFIERS)
def test_a_signature_from_elsewhere_is_attached_and_verified(unsigned, verifies, program):
    write(unsigned, sign(unsigned, digests(unsigned, IMAGE)))
    succeed(unsigned, "attach", IMAGE, "--signatures", "signatures.json", "--certificate", "db.crt")
    assert verifies(program, unsigned / IMAGE, unsigned / "ca.crt")


def test_it_gives_the_very_bytes_of_a_signed_build(unsigned):
    write(unsigned, sign(unsigned, digests(unsigned, IMAGE)))
    succeed(
        unsigned, "attach", IMAGE, "--signatures", "signatures.json", "--certificate", "db.crt", "-o", "attached.efi"
    )
    succeed(unsigned, "build")
    assert (unsigned / "attached.efi").read_bytes() == (unsigned / IMAGE).read_bytes()


def test_openssl_can_sign_the_digest_alone(unsigned, verifies):
    document = digests(unsigned, IMAGE)
    (item,) = document["digests"]
    command = ["openssl", "pkeyutl", "-sign", "-inkey", "db.key", "-pkeyopt", "digest:sha256"]
    digest = bytes.fromhex(item["digest"])
    signature = subprocess.run(command, cwd=unsigned, input=digest, capture_output=True, check=True).stdout
    item["signature"] = base64.b64encode(signature).decode()
    write(unsigned, document)
    succeed(unsigned, "attach", IMAGE, "--signatures", "signatures.json", "--certificate", "db.crt")
    assert verifies("sbverify", unsigned / IMAGE, unsigned / "ca.crt")


def test_several_rounds_add_several_signatures(unsigned, verifies):
    for name in ("db", "other"):
        document = sign(unsigned, digests(unsigned, IMAGE), f"{name}.key")
        document["digests"][0]["certificates"] = (unsigned / f"{name}.crt").read_text()
        write(unsigned, document)
        succeed(unsigned, "attach", IMAGE, "--signatures", "signatures.json")
    for certificate in ("ca.crt", "other.crt"):
        assert verifies("sbverify", unsigned / IMAGE, unsigned / certificate)


def test_signatures_can_be_replaced(unsigned, verifies):
    succeed(unsigned, "sign", IMAGE, "--key", "other.key", "--certificate", "other.crt")
    write(unsigned, sign(unsigned, digests(unsigned, IMAGE)))
    succeed(unsigned, "attach", IMAGE, "--signatures", "signatures.json", "--certificate", "db.crt", "--replace")
    assert verifies("sbverify", unsigned / IMAGE, unsigned / "ca.crt")
    assert not verifies("sbverify", unsigned / IMAGE, unsigned / "other.crt")


def test_the_kernel_can_be_signed_in_a_round_before(keyed, verifies):
    kernel = (keyed / "vmlinuz").read_bytes()
    (keyed / "vmlinuz").unlink()
    (keyed / "vmlinuz").write_bytes(kernel)
    write(keyed, sign(keyed, digests(keyed, "vmlinuz")))
    succeed(keyed, "attach", "vmlinuz", "--signatures", "signatures.json", "--certificate", "db.crt", "--replace")
    succeed(keyed, "build")
    succeed(keyed, "inspect", IMAGE, "--extract", ".linux", "-o", "inner.efi")
    assert verifies("sbverify", keyed / "inner.efi", keyed / "ca.crt")


def test_a_signing_time_survives_the_journey(unsigned, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    write(unsigned, sign(unsigned, digests(unsigned, IMAGE, "--signing-time")))
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    succeed(unsigned, "attach", IMAGE, "--signatures", "signatures.json", "--certificate", "db.crt")
    signature = json.loads(succeed(unsigned, "verify", IMAGE, "--json").out)["image"]["signatures"][0]
    assert signature["signing-time"] == "2023-11-14T22:13:20Z"


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("kind", ["rsa3072", "p384"])
def test_every_algorithm_and_kind_of_key_can_be_used(unsigned, verifies, algorithm, kind):
    identity = secure_boot.make_identity("self", kind)
    secure_boot.write_key(unsigned / "db.key", identity.key)
    secure_boot.write_certificates(unsigned / "db.crt", identity.certificate)
    write(unsigned, sign(unsigned, digests(unsigned, IMAGE, "--digest", algorithm)))
    succeed(unsigned, "attach", IMAGE, "--signatures", "signatures.json", "--certificate", "db.crt")
    assert verifies("osslsigncode", unsigned / IMAGE, unsigned / "db.crt")
    assert verifies("fuki", unsigned / IMAGE, unsigned / "db.crt")


class TestMistakes:
    def attach(self, directory: Path, document: object, *arguments: object) -> str:
        write(directory, document)
        return refused(directory, "attach", IMAGE, "--signatures", "signatures.json", *arguments, code=4)

    def test_a_signature_of_another_key_is_refused(self, unsigned):
        document = sign(unsigned, digests(unsigned, IMAGE), "other.key")
        assert "digests[0]: the signature was not made by the key of CN=Acme db" in self.attach(
            unsigned, document, "--certificate", "db.crt"
        )

    def test_a_signature_for_another_image_is_refused(self, unsigned):
        document = sign(unsigned, digests(unsigned, "stub"))
        assert "digests[0].digest: the signature is for another image" in self.attach(
            unsigned, document, "--certificate", "db.crt"
        )

    def test_a_document_without_signatures_is_refused(self, unsigned):
        assert "there is no signature in it" in self.attach(unsigned, digests(unsigned, IMAGE))

    def test_a_missing_certificate_is_told(self, unsigned):
        document = sign(unsigned, digests(unsigned, IMAGE))
        assert "digests[0].certificates: there is no certificate" in self.attach(unsigned, document)

    @pytest.mark.parametrize(
        ("document", "problem"),
        [
            ([], "not a document with signatures"),
            ({"version": 2, "image": "x", "digests": []}, "not a document with signatures"),
            ({"version": 1, "image": "x", "digests": [{"purpose": "tea"}]}, "not a document with signatures"),
        ],
    )
    def test_another_document_is_refused(self, unsigned, document, problem):
        assert problem in self.attach(unsigned, document)

    @pytest.mark.parametrize(
        ("key", "value", "problem"),
        [
            ("signature", "%%%", "not in base64"),
            ("certificates", "nonsense", "not a certificate"),
            ("signing-time", "soon", "not a document"),
            ("signing-time", 10**17, "the signing time is no time"),
        ],
    )
    def test_a_damaged_item_is_told_with_its_place(self, unsigned, key, value, problem):
        document = sign(unsigned, digests(unsigned, IMAGE))
        document["digests"][0][key] = value
        assert problem in self.attach(unsigned, document, "--certificate", "db.crt")

    def test_what_is_no_json_is_refused(self, unsigned):
        outcome = invoke(unsigned, "attach", IMAGE, "--signatures", "os-release")
        assert outcome.code == 4
        assert "it is not JSON" in outcome.err
