"""Google Cloud KMS, with a service account whose token the issuer gives for a signed assertion."""

import hashlib
from collections.abc import Callable

import pytest
from fuki_build.formats.asn1 import x509
from fuki_build.hooks import SigningContext, SigningKey
from kms_fakes import gcp
from kms_fakes.internet import Response
from kms_fakes.keys import private_key, public_key

from fuki_kms import GcpKms

DIGESTS = {name: hashlib.new(name, b"an image").digest() for name in ("sha256", "sha384", "sha512")}


@pytest.fixture
def opened(gcp_kms: gcp.GcpKms, context: SigningContext) -> Callable[..., SigningKey]:  # noqa: ARG001 - the service must be there
    """`opened(key, …)` is the first version of a key, with these options."""

    def opened(key: str, **options: str) -> SigningKey:
        return GcpKms().open(GcpKms.Options(key=gcp.version(key), **options), context)

    return opened


@pytest.mark.parametrize(
    ("name", "kind", "algorithm"),
    [
        ("rsa", "RSA", "sha256"),
        ("rsa-sha512", "RSA", "sha512"),
        ("p256", "P-256", "sha256"),
        ("p384", "P-384", "sha384"),
    ],
)
def test_a_digest_is_signed_by_the_key_whose_public_key_is_told(opened, name, kind, algorithm):
    key = opened(name)
    signature = key.sign(DIGESTS[algorithm], algorithm)
    assert key.public_key == public_key(private_key(kind))
    assert x509.verifies(key.public_key, signature, DIGESTS[algorithm], algorithm)


def test_keys_share_one_login(opened, internet):
    opened("rsa").sign(DIGESTS["sha256"], "sha256")
    opened("p256").sign(DIGESTS["sha256"], "sha256")
    assert len(internet.asked(gcp.TOKENS)) == 1


def test_a_job_signs_with_its_own_token(opened, internet, monkeypatch, tmp_path):
    internet.hosts[gcp.EXCHANGE] = gcp.exchange
    # google-auth asks for the project's name, and goes on without it.
    denied = gcp.error("PERMISSION_DENIED", "Request had insufficient authentication scopes.")
    internet.hosts["cloudresourcemanager.googleapis.com"] = lambda _: denied
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(gcp.job_credentials(tmp_path)))
    assert opened("rsa").sign(DIGESTS["sha256"], "sha256")


def test_another_endpoint_is_spoken_to_if_one_is_given(opened, gcp_kms, internet):
    internet.hosts["cloudkms.europe-west3.rep.googleapis.com"] = gcp_kms
    assert opened("rsa", endpoint="https://cloudkms.europe-west3.rep.googleapis.com/").public_key
    assert not internet.asked(gcp.HOST)


def test_a_project_may_be_named_by_its_number(opened, gcp_kms):
    gcp_kms.tamper = {"name": gcp.version("rsa").replace("acme-images", "123456789012")}
    assert opened("rsa").sign(DIGESTS["sha256"], "sha256")


def test_the_certificates_are_those_of_the_recipe(opened, internet, tmp_path):
    certificate = internet.authority.certificate.read_bytes()
    (tmp_path / "db.crt").write_bytes(certificate)
    assert opened("rsa", certificate="db.crt").certificates == x509.decode_certificates(certificate)


def test_only_the_digest_leaves_the_machine(opened, internet):
    opened("rsa").sign(DIGESTS["sha256"], "sha256")
    *_, sign = internet.asked(gcp.HOST)
    assert set(sign.json) == {"digest", "digestCrc32c"}


@pytest.mark.parametrize(
    ("name", "signs", "algorithm"),
    [
        ("rsa", "sha256", "sha384"),
        ("rsa-sha512", "sha512", "sha256"),
        ("p256", "sha256", "sha512"),
        ("p384", "sha384", "sha256"),
    ],
)
def test_a_digest_of_another_kind_than_the_version_s_is_not_sent(opened, internet, refused, name, signs, algorithm):
    key = opened(name)
    internet.requests.clear()
    error = refused(key.sign, DIGESTS[algorithm], algorithm)
    assert error.message == f"the key {gcp.version(name)} does not sign {algorithm} digests"
    assert error.hint == f"it signs {signs}"
    assert not internet.requests


@pytest.mark.parametrize("name", ["rsa-pss", "rsa-decrypt", "p256k1", "symmetric"])
def test_a_key_that_is_for_something_else_is_refused(opened, refused, name):
    error = refused(opened, name)
    assert error.message == f"the key {gcp.version(name)} is not one to sign images with"
    assert error.where == "key"


def test_an_absent_version_is_told(opened, refused):
    assert refused(opened, "nope").message == f"Google Cloud KMS has no key {gcp.version('nope')}"


@pytest.mark.parametrize("state", ["DISABLED", "DESTROY_SCHEDULED", "PENDING_GENERATION"])
def test_a_version_that_is_not_enabled_is_told(opened, gcp_kms, refused, state):
    gcp_kms.versions[gcp.version("rsa")].state = state
    error = refused(opened, "rsa")
    assert error.message == f"the key {gcp.version('rsa')} is not enabled in Google Cloud KMS"


def test_a_denied_permission_is_told_with_the_role_that_has_it(opened, gcp_kms, refused):
    gcp_kms.versions[gcp.version("rsa")].denied = True
    error = refused(opened, "rsa")
    assert error.message == f"Google Cloud KMS denies the use of the key {gcp.version('rsa')}"
    assert "roles/cloudkms.signerVerifier" in error.hint


def test_an_api_that_is_not_enabled_is_told(opened, internet, refused):
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "SERVICE_DISABLED",
        "domain": "googleapis.com",
        "metadata": {"service": "cloudkms.googleapis.com"},
    }
    message = "Google Cloud KMS API has not been used in this project before, or it is disabled."
    internet.fail(gcp.HOST, gcp.error("PERMISSION_DENIED", message, info))
    assert refused(opened, "rsa").message == "the API of Google Cloud KMS is not enabled"


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ("RESOURCE_EXHAUSTED", "Google Cloud KMS gets too many requests"),
        ("UNAVAILABLE", "Google Cloud KMS has a failure of its own"),
        ("INTERNAL", "Google Cloud KMS has a failure of its own"),
    ],
)
def test_a_service_in_trouble_is_asked_three_times(opened, internet, refused, status, message):
    internet.fail(gcp.HOST, *[gcp.error(status, f"Bearer {gcp.TOKEN}")] * 3)
    assert refused(opened, "rsa").message == message
    assert len(internet.asked(gcp.HOST)) == 3


def test_a_service_that_recovers_signs(opened, internet):
    key = opened("rsa")
    internet.fail(gcp.HOST, gcp.error("UNAVAILABLE", "later"), gcp.error("RESOURCE_EXHAUSTED", "later"))
    assert key.sign(DIGESTS["sha256"], "sha256")


@pytest.mark.parametrize("status", ["FAILED_PRECONDITION", "INVALID_ARGUMENT"])
def test_an_error_without_a_name_in_fuki_is_told_by_its_code(opened, internet, refused, status):
    internet.fail(gcp.HOST, gcp.error(status, f"Bearer {gcp.TOKEN}"))
    assert refused(opened, "rsa").message == f"Google Cloud KMS refuses the request: {status}"


def test_a_code_that_is_none_is_not_repeated(opened, internet, refused):
    body = {"error": {"code": 400, "status": f"Bearer {gcp.TOKEN}"}}
    internet.fail(gcp.HOST, Response.of_json(400, body))
    assert refused(opened, "rsa").message == "Google Cloud KMS refuses the request: without a reason"


def test_a_token_that_is_not_accepted_is_told(opened, internet, refused):
    unauthenticated = gcp.error("UNAUTHENTICATED", f"Bearer {gcp.TOKEN} is not valid")
    internet.fail(gcp.HOST, *[unauthenticated] * 5)
    assert refused(opened, "rsa").message == "the credentials for Google Cloud KMS are not accepted"


def test_an_account_that_gets_no_token_is_told(opened, internet, refused):
    body = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
    internet.fail(gcp.TOKENS, Response.of_json(400, body))
    assert refused(opened, "rsa").message == "the credentials for Google Cloud KMS are not accepted"


def test_without_credentials_the_ways_to_give_them_are_told(opened, monkeypatch, refused):
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    monkeypatch.setenv("NO_GCE_CHECK", "true")  # the metadata server is asked past proxies
    error = refused(opened, "rsa")
    assert error.message == "there are no usable credentials for Google Cloud KMS"
    assert "gcloud auth application-default login" in error.hint


@pytest.mark.parametrize("content", ["{}", "not JSON", '{"type": "service_account", "private_key": "nope"}'])
def test_a_file_that_holds_no_credentials_is_told(opened, monkeypatch, refused, tmp_path, content):
    (tmp_path / "broken.json").write_text(content)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "broken.json"))
    assert refused(opened, "rsa").message == "there are no usable credentials for Google Cloud KMS"


def test_a_service_that_cannot_be_reached_is_told(opened, internet, refused):
    del internet.hosts[gcp.HOST]
    assert refused(opened, "rsa").message == "Google Cloud KMS cannot be reached"


def test_an_issuer_of_tokens_that_cannot_be_reached_is_told(opened, internet, refused):
    del internet.hosts[gcp.TOKENS]
    assert refused(opened, "rsa").message == "Google Cloud KMS cannot be reached"


def test_a_service_that_does_not_answer_in_time_is_told(opened, internet, monkeypatch, refused):
    import threading

    ended = threading.Event()
    key = opened("rsa")
    monkeypatch.setattr("fuki_kms.gcp.READ_TIMEOUT", 0.2)
    internet.fail(gcp.HOST, *[lambda _: ended.wait(30) and Response(500)] * 3)
    try:
        error = refused(key.sign, DIGESTS["sha256"], "sha256")
    finally:
        ended.set()
    assert error.message == "Google Cloud KMS does not answer in time"


def test_an_authority_that_nobody_trusts_is_told(opened, monkeypatch, refused):
    import certifi

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    assert refused(opened, "rsa").message == "the certificate of Google Cloud KMS is not trusted"


DAMAGED = "Google Cloud KMS gave an answer that cannot be right"


@pytest.mark.parametrize(
    "field",
    [
        {"pemCrc32c": "1"},
        {"pemCrc32c": None},
        {"pem": "-----BEGIN PUBLIC KEY-----\n"},
        {"pem": "", "pemCrc32c": "0"},
        {"name": gcp.version("p256")},
    ],
)
def test_a_public_key_that_was_damaged_on_the_way_is_refused(opened, gcp_kms, refused, field):
    gcp_kms.tamper = field
    assert refused(opened, "rsa").message == DAMAGED


@pytest.mark.parametrize(
    "field",
    [
        {"signatureCrc32c": "1"},
        {"signatureCrc32c": None},
        {"signature": "AAAA"},
        {"signature": "AAAA", "signatureCrc32c": "2452146593"},
        {"signature": "not base64!"},
        {"verifiedDigestCrc32c": False},
        {"name": gcp.version("p256")},
    ],
)
def test_a_signature_that_was_damaged_on_the_way_is_refused(opened, gcp_kms, refused, field):
    key = opened("rsa")
    gcp_kms.tamper = field
    assert refused(key.sign, DIGESTS["sha256"], "sha256").message == DAMAGED


@pytest.mark.parametrize(
    "answer", [Response(200, b"<html>Log in to the hotel</html>"), Response(302, b"", {"Location": "https://evil/"})]
)
def test_an_answer_that_is_none_of_the_service_s_is_told(opened, internet, refused, answer):
    internet.fail(gcp.HOST, answer)
    assert refused(opened, "rsa").message == DAMAGED


@pytest.mark.parametrize(
    "name", ["secure-boot", f"{gcp.RING}/cryptoKeys/rsa", gcp.version("rsa") + "/../..", gcp.version("r?a"), " "]
)
@pytest.mark.usefixtures("gcp_kms")
def test_what_is_not_the_name_of_a_version_is_refused(context, internet, refused, name):
    error = refused(lambda: GcpKms().open(GcpKms.Options(key=name), context), code=2)
    assert (error.where, error.message) == ("key", "this is not the resource name of a key version")
    assert not internet.requests


@pytest.mark.parametrize("url", ["http://example.com", "https://user:word@example.com", "cloudkms.googleapis.com"])
def test_an_endpoint_that_would_give_tokens_away_is_refused(opened, internet, refused, url):
    error = refused(lambda: opened("rsa", endpoint=url), code=2)
    assert error.where == "endpoint"
    assert "word" not in str(error)
    assert not internet.requests
