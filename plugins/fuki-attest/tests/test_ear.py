"""EAT attestation results: draft-ietf-rats-ear-04, values of draft-ietf-rats-ar4si; tokens are read by PyJWT."""

import base64
import hashlib
import json
from datetime import UTC, datetime

import attest_makers as makers
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from fuki_build.testing import invoke, refused
from fuki_build.testing.secure_boot import make_certificate, make_key, write_key
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from fuki_attest.ear.trust_vector import status_of, vector_of
from fuki_attest.verify.steps import EvidenceStep, StepKind, StepVerdict

VERBS = ("--plugin", "attest", "attest", "verify")
AT = ("--at", "2025-06-01")
TRUSTING = ("--roots", "roots", *AT)
TIERS = {"enum": ["none", "affirming", "warning", "contraindicated"]}
NONCE = {"type": "string", "minLength": 12, "maxLength": 88, "pattern": "^[A-Za-z0-9_-]+=*$"}
VECTOR = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": {"type": "integer", "minimum": -128, "maximum": 127},
    "propertyNames": {
        "enum": [
            "instance-identity",
            "configuration",
            "executables",
            "file-system",
            "hardware",
            "runtime-opaque",
            "storage-opaque",
            "sourced-data",
        ]
    },
}
APPRAISAL = {
    "type": "object",
    "required": ["ear_status"],
    "additionalProperties": False,
    "properties": {
        "ear_status": TIERS,
        "ear_trustworthiness_vector": VECTOR,
        "ear_appraisal_policy_ids": {"type": "array", "minItems": 1, "items": {"type": "string"}},
        "eat_nonce": NONCE,
        "ear_verifier_claims": {"type": "object", "minProperties": 1},
    },
}
RESULT = Draft202012Validator(
    {
        "type": "object",
        "required": ["eat_profile", "iat", "ear_verifier_id", "submods"],
        "additionalProperties": False,
        "properties": {
            "eat_profile": {"const": "tag:ietf.org,2026:rats/ear#04"},
            "iat": {"type": "integer", "minimum": 1},
            "ear_status": TIERS,
            "eat_nonce": NONCE,
            "ear_verifier_id": {
                "type": "object",
                "required": ["developer", "build"],
                "additionalProperties": {"type": "string"},
            },
            "submods": {"type": "object", "minProperties": 1, "additionalProperties": APPRAISAL},
        },
    }
)
"""Figures 1 and 2 of the draft, for the claims that may come, and AR4SI's grammar, in the JSON form of both."""


@pytest.fixture
def place(tmp_path, amd, intel):
    """Certificates beside which a test puts the evidence."""
    files = {
        "roots/ark.pem": makers.pem(amd.ark.certificate),
        "roots/root.pem": makers.pem(intel.root.certificate),
        "vcek.pem": makers.pem(amd.vcek, amd.ask.certificate),
        "report": amd.report(),
    }
    (tmp_path / "roots").mkdir()
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def claims(directory, *arguments, code=0):
    """The claims of a result, which are as the draft has them."""
    done = invoke(directory, *VERBS, *arguments, "--ear")
    assert done.code == code, done
    result = json.loads(done.out)
    RESULT.validate(result)
    return result


def appraisal(directory, *arguments, code=0):
    """Status and vector of what is said of the first file."""
    submod = claims(directory, *arguments, code=code)["submods"][arguments[0]]
    return submod["ear_status"], submod.get("ear_trustworthiness_vector", {})


def test_a_result_has_who_says_it_when_and_to_what_challenge(place):
    before = int(datetime.now(UTC).timestamp())
    result = claims(place, "report", "vcek.pem", *TRUSTING, "--nonce", b"challenge".hex(), "--ear-policy", "urn:x:1")
    assert before <= result["iat"] <= before + 600
    assert result["ear_status"] == "affirming"
    # What RFC 4648, 5, makes of the challenge.
    assert result["eat_nonce"] == result["submods"]["report"]["eat_nonce"] == "Y2hhbGxlbmdl"
    assert result["submods"]["report"]["ear_appraisal_policy_ids"] == ["urn:x:1"]
    steps = result["submods"]["report"]["ear_verifier_claims"]["fuki_steps"]
    assert ["holds", "it answers the challenge", "the nonce"] in steps


@pytest.mark.parametrize(("size", "length"), [(7, None), (8, 12), (64, 88)])
def test_a_challenge_is_echoed_in_the_sizes_that_the_draft_allows(place, amd, size, length):
    (place / "report").write_bytes(amd.report(report_data=bytes(size - 1) + b"\1"))
    nonce = ("--nonce", (bytes(size - 1) + b"\1").hex())
    told = claims(place, "report", "vcek.pem", *TRUSTING, *nonce).get("eat_nonce")
    assert (told and len(told)) == length


def test_another_challenge_is_no_nonce_of_the_evidence(place):
    result = claims(place, "report", "vcek.pem", *TRUSTING, "--nonce", b"another one".hex(), code=3)
    assert result["submods"]["report"]["ear_status"] == result["ear_status"] == "contraindicated"
    assert "eat_nonce" not in result["submods"]["report"]


class TestSnp:
    FILES = ("report", "vcek.pem", *TRUSTING)

    def test_a_genuine_report_affirms_what_its_steps_show(self, place):
        assert appraisal(place, *self.FILES) == ("affirming", {"hardware": 2, "runtime-opaque": 2})

    def test_an_open_guest_is_contraindicated(self, place, amd):
        (place / "report").write_bytes(amd.report(policy=0xB0000))
        vector = {"hardware": 2, "configuration": 96, "runtime-opaque": 96}
        assert appraisal(place, *self.FILES, code=3) == ("contraindicated", vector)

    def test_an_open_guest_that_is_allowed_is_not_called_opaque(self, place, amd):
        (place / "report").write_bytes(amd.report(policy=0xB0000))
        assert appraisal(place, *self.FILES, "--allow-debug") == ("affirming", {"hardware": 2})

    def test_what_another_key_signed_has_failed_validation(self, place):
        (place / "report").write_bytes(makers.Amd().report())
        assert appraisal(place, *self.FILES, code=3) == ("contraindicated", {"hardware": 99})

    def test_an_unknown_root_is_not_recognised(self, place):
        (place / "roots/ark.pem").write_bytes(makers.pem(makers.Amd().ark.certificate))
        assert appraisal(place, *self.FILES, code=3) == ("contraindicated", {"hardware": 97})

    def test_a_revoked_chip_is_contraindicated(self, place, amd):
        (place / "ask.crl").write_bytes(amd.ask.revoked(amd.vcek.serial_number))
        status, vector = appraisal(place, "report", "vcek.pem", "ask.crl", *TRUSTING, code=3)
        assert (status, vector) == ("contraindicated", {"hardware": 96})

    def test_older_firmware_than_asked_for_is_contraindicated(self, place):
        vector = {"hardware": 96, "runtime-opaque": 2}
        assert appraisal(place, *self.FILES, "--minimum-tcb", "snp=9", code=3) == ("contraindicated", vector)

    def test_without_a_certificate_nothing_is_claimed(self, place):
        assert appraisal(place, "report", *AT, code=3) == ("none", {})


class TestTdx:
    def run(self, place, intel, status, code=0):
        (place / "quote").write_bytes(intel.quote())
        (place / "collateral").mkdir()
        for name, content in intel.collateral(status).items():
            (place / "collateral" / name).write_bytes(content)
        return appraisal(place, "quote", *TRUSTING, "--collateral", "collateral", code=code)

    def test_an_up_to_date_platform_is_affirmed(self, place, intel):
        assert self.run(place, intel, "UpToDate") == ("affirming", {"hardware": 2, "runtime-opaque": 2})

    @pytest.mark.parametrize("status", ["OutOfDate", "SWHardeningNeeded"])
    def test_known_weaknesses_are_a_warning(self, place, intel, status):
        assert self.run(place, intel, status, code=3) == ("warning", {"hardware": 32, "runtime-opaque": 2})

    def test_a_revoked_platform_is_contraindicated(self, place, intel):
        status, vector = self.run(place, intel, "Revoked", code=3)
        assert (status, vector["hardware"]) == ("contraindicated", 96)

    def test_incomplete_collateral_affirms_no_hardware(self, place, intel):
        (place / "quote").write_bytes(intel.quote())
        (place / "collateral").mkdir()
        (place / "collateral/root.crl").write_bytes(intel.root.revoked())
        status, vector = appraisal(place, "quote", *TRUSTING, "--collateral", "collateral", code=3)
        assert (status, vector.get("hardware")) == ("none", None)


class TestTpm:
    def write(self, place, key, *, report=None):
        """A paravisor's evidence: its claims, and a quote of its TPM."""
        told = makers.claims_of(key.public_key())
        message = makers.tpm_quote({11: bytes(32)})
        bound = hashlib.sha256(told).digest()
        (place / "hcl").write_bytes(makers.hcl_report(report(bound), told))
        (place / "message").write_bytes(message)
        (place / "signature").write_bytes(makers.rsassa(key, message))
        (place / "key").write_bytes(makers.spki(key.public_key()))

    def test_a_key_that_the_user_names_is_recognised(self, place, amd, tpm_key):
        self.write(place, tpm_key, report=lambda bound: amd.report(report_data=bound))
        files = ("message", "signature", "key")
        assert appraisal(place, *files, "--trusted-key", "key") == ("affirming", {"instance-identity": 2})
        assert appraisal(place, *files, code=3) == ("none", {})
        (place / "signature").write_bytes(makers.rsassa(rsa.generate_private_key(65537, 2048), b""))
        denied = {"instance-identity": 99}
        assert appraisal(place, *files, "--trusted-key", "key", code=3) == ("contraindicated", denied)

    def test_a_quote_rests_on_the_report_that_vouches_for_its_key(self, place, amd, tpm_key):
        """Nothing is predicted here, so that a quote by itself affirms nothing: it is the report that does."""
        self.write(place, tpm_key, report=lambda bound: amd.report(report_data=bound))
        result = claims(place, "message", "signature", "hcl", "vcek.pem", *TRUSTING)
        told = {name: one.get("ear_trustworthiness_vector") for name, one in result["submods"].items()}
        assert told["hcl (hardware report)"] == {"hardware": 2, "runtime-opaque": 2}
        assert told["message"] is None


def test_the_image_s_firmware_alone_is_no_claim_about_executables():
    """Of other firmware it is one; what a guest starts after its firmware, a launch measurement does not tell."""
    boot, firmware = ({"kind": StepKind.BOOT}, {"kind": StepKind.FIRMWARE})
    genuine = [step(kind=StepKind.SIGNATURE), step(kind=StepKind.ENDORSEMENT)]
    assert "executables" not in vector_of([*genuine, step(**firmware)], []).claims
    assert vector_of([*genuine, step(**firmware), step(**boot)], []).executables == 3
    open_step = step(**boot, verdict=StepVerdict.UNVERIFIED, asked=False)
    assert "executables" not in vector_of([*genuine, step(**boot), open_step], []).claims
    failing = step(**firmware, verdict=StepVerdict.FAILS)
    assert vector_of([*genuine, failing, step(**boot)], []).executables == 96


def test_a_vouched_key_is_worth_what_vouches_for_it():
    own = [step(kind=StepKind.SIGNATURE), step(kind=StepKind.VOUCHED), step(kind=StepKind.BOOT)]
    report = [step(kind=StepKind.SIGNATURE), step(kind=StepKind.ENDORSEMENT)]
    assert vector_of(own, own + report).executables == 3
    assert not vector_of(own, own).claims
    forged = step(kind=StepKind.SIGNATURE, verdict=StepVerdict.FAILS)
    assert not vector_of(own, [*own, *report, forged]).claims


def step(*, kind=StepKind.SIGNATURE, verdict=StepVerdict.HOLDS, asked=True):
    return EvidenceStep(kind=kind, subject="a", claim="b", against="c", verdict=verdict, asked=asked)


STEPS = st.lists(
    st.builds(step, kind=st.sampled_from(StepKind), verdict=st.sampled_from(StepVerdict), asked=st.booleans()),
    max_size=12,
)
RANGES = {"affirming": range(2, 32), "warning": range(32, 96), "contraindicated": range(96, 128)}


@given(STEPS)
def test_no_status_is_better_than_the_worst_claim(steps):
    vector = vector_of(steps, steps)
    status = status_of(steps, vector)
    tiers = {name for name, values in RANGES.items() for value in vector.claims.values() if value in values}
    worst = next((name for name in ("contraindicated", "warning", "affirming") if name in tiers), "none")
    no_better = ("affirming", "none", "warning", "contraindicated")
    assert no_better.index(status) >= no_better.index(worst)
    if any(one.asked and one.verdict is not StepVerdict.HOLDS for one in steps):
        assert status != "affirming"


@given(STEPS)
def test_nothing_is_affirmed_of_what_nobody_signed(steps):
    unsigned = [one for one in steps if one.kind is not StepKind.SIGNATURE]
    assert all(value >= 32 for value in vector_of(unsigned, unsigned).claims.values())


class TestToken:
    def token(self, place, key, *, code=0):
        done = invoke(place, *VERBS, "report", "vcek.pem", *TRUSTING, "--ear", "--ear-key", key)
        assert done.code == code, done
        assert done.out.count("\n") == 1
        return done.out.strip()

    @pytest.mark.parametrize(
        ("kind", "algorithm"), [("p256", "ES256"), ("p384", "ES384"), ("p521", "ES512"), ("rsa2048", "RS256")]
    )
    def test_it_verifies_with_the_key(self, place, kind, algorithm):
        key = make_key(kind)
        write_key(place / "ear.key", key)
        token = self.token(place, 'backend = "local", key = "ear.key"')
        assert jwt.get_unverified_header(token) == {"alg": algorithm, "typ": "JWT"}
        result = jwt.decode(token, key.public_key(), algorithms=[algorithm])
        RESULT.validate(result)
        assert result["ear_status"] == "affirming"
        with pytest.raises(jwt.InvalidSignatureError):
            jwt.decode(token, make_key(kind).public_key(), algorithms=[algorithm])

    def test_it_brings_the_key_s_certificate(self, place):
        key = make_key("p256")
        write_key(place / "ear.key", key)
        certificate = make_certificate("Verifier", key).public_bytes(serialization.Encoding.DER)
        (place / "ear.crt").write_bytes(certificate)
        token = self.token(place, 'backend = "local", key = "ear.key", certificate = "ear.crt"')
        assert jwt.get_unverified_header(token)["x5c"] == [base64.b64encode(certificate).decode()]

    def test_a_verdict_against_the_evidence_is_signed_as_well(self, place, amd):
        key = make_key("p256")
        write_key(place / "ear.key", key)
        (place / "report").write_bytes(amd.report(policy=0xB0000))
        token = self.token(place, 'backend = "local", key = "ear.key"', code=3)
        assert jwt.decode(token, key.public_key(), algorithms=["ES256"])["ear_status"] == "contraindicated"

    @pytest.mark.parametrize(
        ("make", "why"),
        [
            (ed25519.Ed25519PrivateKey.generate, "neither an RSA nor an elliptic curve key"),
            (lambda: ec.generate_private_key(ec.SECP224R1()), "secp224r1"),
            (lambda: make_key("rsa1024"), "1024 bits"),
        ],
    )
    def test_keys_of_other_kinds_are_refused(self, place, make, why):
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        text = make().private_bytes(*form)
        (place / "ear.key").write_bytes(text)
        key = 'backend = "local", key = "ear.key"'
        error = refused(place, *VERBS, "report", "vcek.pem", *TRUSTING, "--ear", "--ear-key", key, code=4)
        assert why in error
        assert text.decode().splitlines()[1] not in error

    @pytest.mark.parametrize(
        ("key", "code"), [("ear.key", 2), ('backend = "local", key = "missing"', 4), ('backend = "none"', 2)]
    )
    def test_a_key_that_is_not_there_is_refused(self, place, key, code):
        refused(place, *VERBS, "report", "vcek.pem", *TRUSTING, "--ear", "--ear-key", key, code=code)

    def test_what_a_program_prints_must_be_a_signature_of_the_key(self, place):
        key = make_key("p256")
        (place / "ear.crt").write_bytes(make_certificate("Verifier", key).public_bytes(serialization.Encoding.DER))
        table = 'backend = "command", command = ["echo", "signed"], certificate = "ear.crt"'
        error = refused(place, *VERBS, "report", "vcek.pem", *TRUSTING, "--ear", "--ear-key", table, code=4)
        assert "not one of the key" in error

    @pytest.mark.parametrize(
        ("options", "why"),
        [(("--ear", "--json"), "two forms"), (("--ear-key", "a"), "--ear"), (("--ear-policy", "a"), "--ear")],
    )
    def test_options_that_do_not_go_together_are_refused(self, place, options, why):
        done = invoke(place, *VERBS, "report", *options)
        assert done.code == 2
        assert why in done.err
