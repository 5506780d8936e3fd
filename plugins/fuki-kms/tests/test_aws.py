"""AWS KMS, spoken to by boto3 under its real name."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from fuki_build.formats.asn1 import x509
from fuki_build.hooks import SigningContext, SigningKey
from kms_fakes import aws
from kms_fakes.keys import public_key

from fuki_kms import AwsKms

DIGESTS = {name: hashlib.new(name, b"an image").digest() for name in ("sha256", "sha384", "sha512")}


@pytest.fixture
def opened(aws_kms: aws.AwsKms, context: SigningContext) -> Callable[..., SigningKey]:  # noqa: ARG001 - the service must be there
    """`opened(key, …)` is the key of a recipe with these options."""
    return lambda key, **options: AwsKms().open(AwsKms.Options(key=key, **options), context)


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


def test_a_job_whose_token_is_not_accepted_is_told(opened, job, refused):
    job.write_text("Bearer nobody")
    assert refused(opened, "alias/rsa").message == "the credentials for AWS KMS are not accepted"


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


@pytest.mark.parametrize("state", ["Disabled", "PendingDeletion"])
def test_a_key_that_is_disabled_between_opening_and_signing_is_told(opened, aws_kms, refused, state):
    key = opened("alias/rsa")
    aws_kms["alias/rsa"].state = state
    error = refused(key.sign, DIGESTS["sha256"], "sha256")
    assert error.message == "the key alias/rsa is not enabled in AWS KMS"


def test_wrong_credentials_are_told(opened, monkeypatch, refused):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAI44QH8DHBEXAMPLE")
    assert refused(opened, "alias/rsa").message == "the credentials for AWS KMS are not accepted"


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


def test_a_configuration_that_cannot_be_read_is_told(opened, monkeypatch, refused, tmp_path):
    (tmp_path / "config").write_text("not a configuration")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert refused(opened, "alias/rsa").message == "boto3 cannot be used as it is configured: ConfigParseError"
