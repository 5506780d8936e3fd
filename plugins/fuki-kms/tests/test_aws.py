"""AWS KMS, spoken to by boto3 under its real name."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from fuki_build.formats.asn1 import x509
from fuki_build.hooks import SigningContext, SigningKey
from kms_fakes import aws
from kms_fakes.internet import Request, Response
from kms_fakes.keys import public_key

from fuki_kms import AwsKms

DIGESTS = {name: hashlib.new(name, b"an image").digest() for name in ("sha256", "sha384", "sha512")}


@pytest.fixture
def opened(aws_kms: aws.AwsKms, context: SigningContext) -> Callable[..., SigningKey]:  # noqa: ARG001 - the service must be there
    """`opened(key, …)` is the key of a recipe with these options."""
    return lambda key, **options: AwsKms().open(AwsKms.Options(key=key, **options), context)


@pytest.mark.parametrize(
    ("alias", "algorithm"),
    [
        ("alias/rsa", "sha256"),
        ("alias/rsa", "sha384"),
        ("alias/rsa", "sha512"),
        ("alias/p256", "sha256"),
        ("alias/p384", "sha384"),
    ],
)
def test_a_digest_is_signed_by_the_key_whose_public_key_is_told(opened, aws_kms, alias, algorithm):
    key = opened(alias)
    signature = key.sign(DIGESTS[algorithm], algorithm)
    assert key.public_key == public_key(aws_kms[alias].private)
    assert x509.verifies(key.public_key, signature, DIGESTS[algorithm], algorithm)


@pytest.mark.parametrize(
    "name",
    [
        "alias/rsa",
        aws.arn("alias/rsa"),
        "1234abcd-12ab-34cd-56ef-000000000001",
        aws.arn("key/1234abcd-12ab-34cd-56ef-000000000001"),
    ],
)
def test_a_key_is_named_in_each_form_that_the_service_has(opened, aws_kms, name):
    assert opened(name).public_key == public_key(aws_kms["alias/rsa"].private)


def test_the_region_of_an_arn_is_the_key_s(opened, monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert opened(aws.arn("alias/rsa")).public_key


def test_an_alias_that_gets_another_key_meanwhile_does_not_change_the_one_that_signs(opened, aws_kms):
    key = opened("alias/rsa")
    aws_kms.aliases["alias/rsa"] = aws_kms.aliases["alias/p256"]
    signature = key.sign(DIGESTS["sha256"], "sha256")
    assert x509.verifies(key.public_key, signature, DIGESTS["sha256"], "sha256")


def test_a_profile_gives_the_credentials(opened, monkeypatch, tmp_path):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    lines = ("[release]", f"aws_access_key_id = {aws.ACCESS_KEY}", f"aws_secret_access_key = {aws.SECRET_KEY}")
    (tmp_path / "credentials").write_text("\n".join(lines))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    assert opened("alias/rsa", profile="release").public_key


@pytest.fixture
def job(aws_kms, internet, monkeypatch, tmp_path) -> Path:  # noqa: ARG001 - takes the credentials away
    """A CI job that may be a role: no credentials, but a file with the job's token."""
    internet.hosts[aws.STS] = aws.sts
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    (tmp_path / "token").write_text(aws.JOB_TOKEN)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", aws.ROLE)
    return tmp_path / "token"


@pytest.mark.usefixtures("job")
def test_a_job_signs_with_its_own_token(opened):
    key = opened("alias/rsa")
    assert key.sign(DIGESTS["sha256"], "sha256")


def test_a_job_whose_token_is_not_accepted_is_told(opened, job, refused):
    job.write_text("Bearer nobody")
    assert refused(opened, "alias/rsa").message == "the credentials for AWS KMS are not accepted"


def test_another_endpoint_is_spoken_to_if_one_is_given(opened, aws_kms, internet):
    internet.hosts = {"kms.example.com": aws_kms}
    assert opened("alias/rsa", endpoint_url="https://kms.example.com").public_key


def test_keys_of_one_region_share_a_client(opened, monkeypatch):
    import boto3

    sessions = []
    session: Callable[..., object] = boto3.session.Session

    def open_session(**options: object) -> object:
        sessions.append(options)
        return session(**options)

    monkeypatch.setattr(boto3.session, "Session", open_session)
    opened("alias/rsa")
    opened("alias/p256")
    assert len(sessions) == 1


def test_the_certificates_are_those_of_the_recipe(opened, internet, tmp_path):
    certificate = internet.authority.certificate.read_bytes()
    (tmp_path / "db.crt").write_bytes(certificate)
    assert opened("alias/rsa", certificate="db.crt").certificates == x509.decode_certificates(certificate)


def test_only_the_digest_leaves_the_machine(opened, internet):
    opened("alias/rsa").sign(DIGESTS["sha256"], "sha256")
    _, sign = internet.asked(aws.HOST)
    assert set(sign.json) == {"KeyId", "Message", "MessageType", "SigningAlgorithm"}


@pytest.mark.parametrize(("alias", "algorithm"), [("alias/p256", "sha384"), ("alias/p384", "sha256")])
def test_a_digest_that_the_key_does_not_sign_is_not_sent(opened, internet, refused, alias, algorithm):
    key = opened(alias)
    internet.requests.clear()
    error = refused(key.sign, DIGESTS[algorithm], algorithm)
    assert error.message == f"the key {alias} does not sign {algorithm} digests"
    assert not internet.requests


@pytest.mark.parametrize("alias", ["alias/rsa-encrypt", "alias/symmetric", "alias/p521", "alias/p256k1"])
def test_a_key_that_is_for_something_else_is_refused(opened, refused, alias):
    error = refused(opened, alias)
    assert error.message == f"the key {alias} is not one to sign images with"
    assert error.where == "key"


@pytest.mark.parametrize("name", ["alias/nope", aws.arn("key/1234abcd-12ab-34cd-56ef-000000000099"), "nope"])
def test_an_absent_key_is_told(opened, refused, name):
    error = refused(opened, name)
    assert error.message == f"AWS KMS has no key {name}"
    assert error.where == "key"


@pytest.mark.parametrize("state", ["Disabled", "PendingDeletion"])
def test_a_key_that_is_disabled_between_opening_and_signing_is_told(opened, aws_kms, refused, state):
    key = opened("alias/rsa")
    aws_kms["alias/rsa"].state = state
    error = refused(key.sign, DIGESTS["sha256"], "sha256")
    assert error.message == "the key alias/rsa is not enabled in AWS KMS"


def quoting(name: str, status: int = 400) -> Callable[[Request], Response]:
    """An error that quotes the request's authorization, as the real service's does for some."""
    return lambda request: aws.error(name, f"refused: Authorization={request.headers['authorization']}", status)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("AccessDeniedException", "AWS KMS denies the use of the key alias/rsa"),
        ("ExpiredTokenException", "the credentials for AWS KMS are not accepted"),
        ("IncompleteSignatureException", "the credentials for AWS KMS are not accepted"),
        ("InvalidSignatureException", "the credentials for AWS KMS are not accepted"),
        ("ValidationException", "AWS KMS refuses the request: ValidationException"),
    ],
)
def test_an_error_is_told_in_fuki_s_words(opened, internet, refused, name, message):
    internet.fail(aws.HOST, quoting(name))
    assert refused(opened, "alias/rsa").message == message


@pytest.mark.parametrize("name", ["DependencyTimeoutException", "KeyUnavailableException", "KMSInternalException"])
def test_a_failure_of_the_service_is_told(opened, internet, refused, name):
    internet.fail(aws.HOST, *[quoting(name, 500)] * 3)
    assert refused(opened, "alias/rsa").message == "AWS KMS has a failure of its own"


def test_wrong_credentials_are_told(opened, monkeypatch, refused):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAI44QH8DHBEXAMPLE")
    assert refused(opened, "alias/rsa").message == "the credentials for AWS KMS are not accepted"


def test_a_busy_service_is_asked_three_times(opened, internet, refused):
    internet.fail(aws.HOST, *[aws.error("ThrottlingException", "Rate exceeded")] * 3)
    assert refused(opened, "alias/rsa").message == "AWS KMS gets too many requests"
    assert len(internet.asked(aws.HOST)) == 3


def test_a_service_that_recovers_signs(opened, internet):
    key = opened("alias/rsa")
    internet.fail(aws.HOST, aws.error("KMSInternalException", "oops", 500), aws.error("ThrottlingException", "Rate"))
    assert key.sign(DIGESTS["sha256"], "sha256")


def test_without_credentials_the_ways_to_give_them_are_told(opened, monkeypatch, refused):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    error = refused(opened, "alias/rsa")
    assert error.message == "there are no usable credentials for AWS KMS"
    assert "AWS_PROFILE" in error.hint


def test_half_of_the_credentials_are_none(opened, monkeypatch, refused):
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert refused(opened, "alias/rsa").message == "there are no usable credentials for AWS KMS"


def test_an_unknown_profile_is_told(opened, refused):
    error = refused(lambda: opened("alias/rsa", profile="nope"))
    assert (error.where, error.message) == ("profile", "AWS's configuration has no such profile")


@pytest.mark.parametrize("region", [None, "not a region"])
def test_a_region_that_is_missing_or_none_is_told(opened, monkeypatch, refused, region):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    error = refused(lambda: opened("alias/rsa", region=region))
    assert (error.where, error.message) == ("region", "the key's region is not known")


def test_a_service_that_cannot_be_reached_is_told(opened, refused):
    error = refused(lambda: opened("alias/rsa", region="eu-north-1"))
    assert error.message == "AWS KMS cannot be reached"


def test_a_service_that_does_not_answer_in_time_is_told(opened, internet, monkeypatch, refused):
    import threading

    ended = threading.Event()
    monkeypatch.setattr("fuki_kms.aws.READ_TIMEOUT", 0.2)
    internet.fail(aws.HOST, *[lambda _: ended.wait(30) and Response(500)] * 3)
    try:
        assert refused(opened, "alias/rsa").message == "AWS KMS does not answer in time"
    finally:
        ended.set()


def test_an_authority_that_nobody_trusts_is_told(opened, monkeypatch, refused):
    import certifi

    monkeypatch.setenv("AWS_CA_BUNDLE", certifi.where())
    error = refused(opened, "alias/rsa")
    assert error.message == "the certificate of AWS KMS is not trusted"
    assert "AWS_CA_BUNDLE" in error.hint


DAMAGED = "AWS KMS gave an answer that cannot be right"


@pytest.mark.parametrize(
    "answer",
    [
        Response(200, b"<html>Log in to the hotel</html>"),
        Response.of_json(200, {}),
        Response.of_json(200, []),
    ],
)
def test_an_answer_that_is_none_of_the_service_s_is_told(opened, internet, refused, answer):
    internet.fail(aws.HOST, answer)
    assert refused(opened, "alias/rsa").message == DAMAGED


@pytest.mark.parametrize("answer", [{}, {"Signature": "!"}, {"Signature": ""}, {"Signature": "AAAA"}])
def test_what_is_no_signature_is_refused(opened, internet, refused, answer):
    key = opened("alias/rsa")
    internet.fail(aws.HOST, Response.of_json(200, answer))
    assert refused(key.sign, DIGESTS["sha256"], "sha256").message == DAMAGED


def test_a_proxy_that_fails_is_told(opened, internet, refused):
    internet.fail(aws.HOST, *[Response(502, b"<html>Bad gateway</html>")] * 3)
    assert refused(opened, "alias/rsa").message == "AWS KMS has a failure of its own"


def test_a_configuration_that_cannot_be_read_is_told(opened, monkeypatch, refused, tmp_path):
    (tmp_path / "config").write_text("not a configuration")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert refused(opened, "alias/rsa").message == "boto3 cannot be used as it is configured: ConfigParseError"


def test_a_signature_that_the_key_did_not_make_is_refused(opened, aws_kms, refused):
    key = opened("alias/rsa")
    aws_kms["alias/rsa"].private = aws_kms["alias/p256"].private
    assert refused(key.sign, DIGESTS["sha256"], "sha256").message == DAMAGED


@pytest.mark.parametrize(
    "url", ["http://kms.example.com", "https://user:word@kms.example.com", "kms.example.com", "https://a/b?c"]
)
def test_an_endpoint_that_would_give_credentials_away_is_refused(opened, internet, refused, url):
    error = refused(lambda: opened("alias/rsa", endpoint_url=url), code=2)
    assert error.where == "endpoint-url"
    assert "word" not in str(error)
    assert not internet.requests
