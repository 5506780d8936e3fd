"""What `fuki verify` says of signed PCR policies."""

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fuki_build.testing import invoke, succeed
from tests.signing.conftest import SIGN
from tests.support.pcr_policies import POLICY, PROFILES, RECIPE, build, signatures
from tests.support.workshop import FIRMWARE

OWN_KEY = 'pcrpkey = "pcr.pub"\n'


def with_policies(directory: Path, content: bytes, key: str = OWN_KEY) -> None:
    """A signed image with this `.pcrsig`; all else that is measured is as in the one that it was made for."""
    (directory / "own").write_bytes(content)
    build(directory, f'{RECIPE}{key}[fuki.image.sections]\n".pcrsig" = "own"\n{SIGN}')


def report(directory: Path, *arguments: object, code: int = 0) -> dict:
    outcome = invoke(directory, "verify", "acme.efi", *arguments, "--json")
    assert outcome.code == code, outcome.err
    return json.loads(outcome.out)


@pytest.fixture
def made(pcr: Path) -> dict[str, list[dict]]:
    """The policies of an image without firmware, as JSON."""
    build(pcr, RECIPE + POLICY)
    return signatures(pcr)


def test_each_is_told_with_everything_that_it_is_for(pcr):
    build(pcr, RECIPE + FIRMWARE + PROFILES + POLICY + 'phases = ["enter-initrd"]\n' + SIGN)
    document = report(pcr)
    assert {entry["verdict"] for entry in document["policies"]} == {"valid"}
    places = [place for entry in document["policies"] for place in entry["places"]]
    firmware = [None, "one", "two"]
    assert [(place["profile"], place["fwid"]) for place in places] == [(p, f) for p in (0, 1, 2) for f in firmware]
    assert {place["phase"] for place in places} == {"enter-initrd"}
    assert document["missing-policies"] == []


def test_the_table_tells_what_a_key_left_out(pcr):
    build(pcr, RECIPE + FIRMWARE + POLICY)
    policies = signatures(pcr)
    policies["sha256"] = policies["sha256"][:5]
    (pcr / "own").write_text(json.dumps(policies))
    recipe = RECIPE + OWN_KEY + '[fuki.image.sections]\n".pcrsig" = "own"\n' + FIRMWARE + SIGN
    build(pcr, recipe)
    out = succeed(pcr, "verify", "acme.efi").out
    assert "has no policy that holds with firmware one after enter-initrd:leave-initrd, " in out
    assert "has no policy that holds with firmware two after enter-initrd, " in out


class TestSignatures:
    def test_one_that_its_key_did_not_make_ends_with_3(self, pcr, made):
        made["sha256"][1]["sig"] = made["sha256"][0]["sig"]
        with_policies(pcr, json.dumps(made).encode())
        document = report(pcr, code=3)
        assert [entry["verdict"] for entry in document["policies"]] == ["valid", "forged", "valid", "valid"]
        assert "was not made by its key" in invoke(pcr, "verify", "acme.efi").err

    def test_one_that_is_not_in_base64_ends_with_3(self, pcr, made):
        made["sha256"][0]["sig"] = "?"
        with_policies(pcr, json.dumps(made).encode())
        assert report(pcr, code=3)["policies"][0]["reason"] == "its signature is not in base64"

    def test_a_section_that_cannot_be_read_ends_with_3(self, pcr):
        with_policies(pcr, b"{")
        (entry,) = report(pcr, code=3)["policies"]
        assert (entry["verdict"], entry["places"]) == ("unreadable", None)

    def test_a_missing_one_is_told_and_no_failure(self, pcr):
        build(pcr, RECIPE + POLICY, "--unsigned")
        with_policies(pcr, json.dumps(signatures(pcr)).encode())
        assert {entry["verdict"] for entry in report(pcr)["policies"]} == {"unsigned"}

    def test_one_of_another_image_holds_nowhere_and_is_no_failure(self, pcr, made):
        with_policies(pcr, json.dumps(made).encode(), 'splash = "os-release"\n')
        document = report(pcr)
        assert [entry["places"] for entry in document["policies"]] == [[]] * 4
        assert len(document["missing-policies"]) == 4

    def test_a_key_that_is_not_in_the_image_may_come_with_its_certificate(self, pcr):
        """As with policies of several keys, where the image names none."""
        build(pcr, RECIPE + POLICY + POLICY.replace("pcr.key", "db.key") + SIGN)
        assert {entry["verdict"] for entry in report(pcr)["policies"]} == {"unknown-key"}
        document = report(pcr, "--certificate", "db.crt")
        assert sorted(entry["verdict"] for entry in document["policies"]) == ["unknown-key"] * 4 + ["valid"] * 4


class TestReferences:
    def test_a_reference_is_part_of_what_is_signed(self, pcr):
        build(pcr, RECIPE + POLICY + 'reference = "initrd"\n' + SIGN)
        assert {(e["verdict"], e["reference"]) for e in report(pcr)["policies"]} == {("valid", "initrd")}
        changed = {bank: [{**e, "ref": "other"} for e in entries] for bank, entries in signatures(pcr).items()}
        with_policies(pcr, json.dumps(changed).encode())
        assert {entry["verdict"] for entry in report(pcr, code=3)["policies"]} == {"forged"}

    def test_a_policy_over_other_registers_is_verified_and_not_compared(self, pcr, made):
        key = load_pem_private_key((pcr / "pcr.key").read_bytes(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        policy = bytes(range(32))
        signature = base64.b64encode(key.sign(policy, padding.PKCS1v15(), hashes.SHA256())).decode()
        made["sha256"] = [{**made["sha256"][0], "pcrs": [7, 11], "pol": policy.hex(), "sig": signature}]
        with_policies(pcr, json.dumps(made).encode())
        (entry,) = report(pcr)["policies"]
        assert (entry["verdict"], entry["registers"], entry["places"]) == ("valid", [7, 11], None)


def test_an_image_without_policies_has_no_table_of_them(pcr):
    build(pcr, RECIPE + SIGN)
    assert report(pcr)["policies"] == []
    assert "Policies" not in succeed(pcr, "verify", "acme.efi").out
