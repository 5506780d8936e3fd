"""Google Cloud KMS, with a service account whose token the issuer gives for a signed assertion."""

import hashlib
from collections.abc import Callable

import pytest
from fuki_build.hooks import SigningContext, SigningKey
from kms_fakes import gcp
from kms_fakes.internet import Response

from fuki_kms import GcpKms

DIGESTS = {name: hashlib.new(name, b"an image").digest() for name in ("sha256", "sha384", "sha512")}


@pytest.fixture
def opened(gcp_kms: gcp.GcpKms, context: SigningContext) -> Callable[..., SigningKey]:  # noqa: ARG001 - the service must be there
    """`opened(key, …)` is the first version of a key, with these options."""

    def opened(key: str, **options: str) -> SigningKey:
        return GcpKms().open(GcpKms.Options(key=gcp.version(key), **options), context)

    return opened


def test_a_project_may_be_named_by_its_number(opened, gcp_kms):
    gcp_kms.tamper = {"name": gcp.version("rsa").replace("acme-images", "123456789012")}
    assert opened("rsa").sign(DIGESTS["sha256"], "sha256")


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


def test_a_code_that_is_none_is_not_repeated(opened, internet, refused):
    body = {"error": {"code": 400, "status": f"Bearer {gcp.TOKEN}"}}
    internet.fail(gcp.HOST, Response.of_json(400, body))
    assert refused(opened, "rsa").message == "Google Cloud KMS refuses the request: without a reason"


def test_an_account_that_gets_no_token_is_told(opened, internet, refused):
    body = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
    internet.fail(gcp.TOKENS, Response.of_json(400, body))
    assert refused(opened, "rsa").message == "the credentials for Google Cloud KMS are not accepted"


@pytest.mark.parametrize("content", ["{}", "not JSON", '{"type": "service_account", "private_key": "nope"}'])
def test_a_file_that_holds_no_credentials_is_told(opened, monkeypatch, refused, tmp_path, content):
    (tmp_path / "broken.json").write_text(content)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "broken.json"))
    assert refused(opened, "rsa").message == "there are no usable credentials for Google Cloud KMS"


def test_an_issuer_of_tokens_that_cannot_be_reached_is_told(opened, internet, refused):
    del internet.hosts[gcp.TOKENS]
    assert refused(opened, "rsa").message == "Google Cloud KMS cannot be reached"


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
    "name", ["secure-boot", f"{gcp.RING}/cryptoKeys/rsa", gcp.version("rsa") + "/../..", gcp.version("r?a"), " "]
)
@pytest.mark.usefixtures("gcp_kms")
def test_what_is_not_the_name_of_a_version_is_refused(context, internet, refused, name):
    error = refused(lambda: GcpKms().open(GcpKms.Options(key=name), context), code=2)
    assert (error.where, error.message) == ("key", "this is not the resource name of a key version")
    assert not internet.requests
