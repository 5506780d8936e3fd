"""Azure Key Vault: a challenge, a token of Microsoft Entra ID for it, then the key."""

import hashlib
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from fuki_build.formats.asn1 import x509
from fuki_build.hooks import SigningContext, SigningKey
from kms_fakes import azure

from fuki_kms import AzureKeyVault

DIGESTS = {name: hashlib.new(name, b"an image").digest() for name in ("sha256", "sha384", "sha512")}


@pytest.fixture
def opened(key_vault: azure.KeyVault, context: SigningContext) -> Callable[..., SigningKey]:  # noqa: ARG001 - the service must be there
    """`opened(key, …)` is a version of the vault's key of that name."""

    def opened(key: str, version: str = azure.VERSION, **options: str) -> SigningKey:
        return AzureKeyVault().open(AzureKeyVault.Options(key=azure.identifier(key, version), **options), context)

    return opened


@pytest.mark.parametrize(
    "chosen",
    [
        lambda r, _: r < 1 << 248,
        lambda _, s: s < 1 << 248,
        lambda r, s: r >> 255 and s >> 255,
    ],
    ids=["zeros before r", "zeros before s", "high bits"],
)
def test_r_and_s_become_der_whatever_they_begin_with(opened, key_vault, chosen):
    key_vault.chosen = chosen
    key = opened("p256")
    signature = key.sign(DIGESTS["sha256"], "sha256")
    assert chosen(*decode_dss_signature(signature))
    assert x509.verifies(key.public_key, signature, DIGESTS["sha256"], "sha256")


def test_nothing_is_sent_before_the_vault_s_challenge(opened, internet):
    opened("rsa")
    first, second = internet.asked(azure.VAULT)
    assert "authorization" not in first.headers
    assert second.headers["authorization"] == f"Bearer {azure.TOKEN}"


def test_a_key_without_a_version_stays_the_one_that_was_found(opened, internet):
    key = opened("rsa", version="")
    key.sign(DIGESTS["sha256"], "sha256")
    assert internet.asked(azure.VAULT)[-1].path == f"/keys/rsa/{azure.VERSION}/sign"


def test_a_key_that_may_not_sign_any_more_is_told(opened, key_vault, refused):
    key = opened("rsa")
    key_vault.keys["rsa"].operations = ["verify"]
    error = refused(key.sign, DIGESTS["sha256"], "sha256")
    assert error.message == f"the key {azure.identifier('rsa')} is not one to sign images with"


def test_a_busy_vault_is_asked_three_times_and_waited_for_a_little(opened, internet, monkeypatch, refused):
    opened("rsa")
    internet.requests.clear()
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    busy = azure.error(429, "Throttled", "Request was not processed because too many requests.", Retry_After="3600")
    internet.fail(azure.VAULT, *[busy] * 3)
    assert refused(opened, "rsa").message == "Azure Key Vault gets too many requests"
    assert len(internet.asked(azure.VAULT)) == 3
    assert pauses == [5, 5]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AZURE_TOKEN_CREDENTIALS", "Nonsense"),
        ("AZURE_TENANT_ID", "not a tenant"),
        ("AZURE_CLIENT_CERTIFICATE_PATH", "/nonexistent.pem"),
    ],
)
def test_a_variable_that_cannot_be_is_told(opened, monkeypatch, refused, name, value):
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    monkeypatch.setenv(name, value)
    assert refused(opened, "rsa").message == "there are no usable credentials for Azure Key Vault"


def test_a_wrong_client_secret_is_told(opened, monkeypatch, refused):
    monkeypatch.setenv("AZURE_CLIENT_SECRET", azure.SECRET + "x")
    assert refused(opened, "rsa").message == "there are no usable credentials for Azure Key Vault"


def test_a_challenge_for_a_token_of_someone_else_is_not_followed(opened, key_vault, internet, refused):
    key_vault.resource = "https://management.azure.com"
    assert refused(opened, "rsa").message == "Azure Key Vault gave an answer that cannot be right"
    assert not internet.asked(azure.LOGIN)


def test_a_login_that_cannot_be_reached_is_told(opened, internet, refused):
    del internet.hosts[azure.LOGIN]
    error = refused(opened, "rsa")
    assert error.message == "there are no usable credentials for Azure Key Vault"
    assert "network" in error.hint


@pytest.mark.parametrize(
    "key",
    [
        "secure-boot",
        f"http://{azure.VAULT}/keys/rsa",
        f"https://user:word@{azure.VAULT}/keys/rsa",
        f"https://{azure.VAULT}/secrets/rsa",
        f"https://{azure.VAULT}/keys/rsa/{azure.VERSION}/sign",
        f"https://{azure.VAULT}/keys/rsa?x=y",
    ],
)
@pytest.mark.usefixtures("key_vault")
def test_what_is_not_the_identifier_of_a_key_is_refused(context, internet, refused, key):
    error = refused(lambda: AzureKeyVault().open(AzureKeyVault.Options(key=key), context), code=2)
    assert (error.where, error.message) == ("key", "this is not the identifier of a key")
    assert "word" not in str(error)
    assert not internet.requests
