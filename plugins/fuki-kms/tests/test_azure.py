"""Azure Key Vault: a challenge, a token of Microsoft Entra ID for it, then the key."""

import hashlib
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from fuki_build.formats.asn1 import x509
from fuki_build.hooks import SigningContext, SigningKey
from kms_fakes import azure
from kms_fakes.internet import Response
from kms_fakes.keys import private_key, public_key

from fuki_kms import AzureKeyVault

DIGESTS = {name: hashlib.new(name, b"an image").digest() for name in ("sha256", "sha384", "sha512")}


@pytest.fixture
def opened(key_vault: azure.KeyVault, context: SigningContext) -> Callable[..., SigningKey]:  # noqa: ARG001 - the service must be there
    """`opened(key, …)` is a version of the vault's key of that name."""

    def opened(key: str, version: str = azure.VERSION, **options: str) -> SigningKey:
        return AzureKeyVault().open(AzureKeyVault.Options(key=azure.identifier(key, version), **options), context)

    return opened


@pytest.mark.parametrize(
    ("name", "kind", "algorithm"),
    [
        ("rsa", "RSA", "sha256"),
        ("rsa", "RSA", "sha384"),
        ("rsa-hsm", "RSA", "sha512"),
        ("p256", "P-256", "sha256"),
        ("p384", "P-384", "sha384"),
    ],
)
def test_a_digest_is_signed_by_the_key_whose_public_key_is_told(opened, name, kind, algorithm):
    key = opened(name)
    signature = key.sign(DIGESTS[algorithm], algorithm)
    assert key.public_key == public_key(private_key(kind))
    assert x509.verifies(key.public_key, signature, DIGESTS[algorithm], algorithm)


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


def test_keys_share_one_login(opened, internet):
    opened("rsa").sign(DIGESTS["sha256"], "sha256")
    opened("p256").sign(DIGESTS["sha256"], "sha256")
    assert len([request for request in internet.asked(azure.LOGIN) if request.path.endswith("/token")]) == 1


def test_a_key_without_a_version_stays_the_one_that_was_found(opened, internet):
    key = opened("rsa", version="")
    key.sign(DIGESTS["sha256"], "sha256")
    assert internet.asked(azure.VAULT)[-1].path == f"/keys/rsa/{azure.VERSION}/sign"


def test_the_certificates_are_those_of_the_recipe(opened, internet, tmp_path):
    certificate = internet.authority.certificate.read_bytes()
    (tmp_path / "db.crt").write_bytes(certificate)
    assert opened("rsa", certificate="db.crt").certificates == x509.decode_certificates(certificate)


def test_only_the_digest_leaves_the_machine(opened, internet):
    opened("rsa").sign(DIGESTS["sha256"], "sha256")
    assert set(internet.asked(azure.VAULT)[-1].json) == {"alg", "value"}


@pytest.mark.parametrize(("name", "algorithm"), [("p256", "sha384"), ("p384", "sha256")])
def test_a_digest_that_the_key_does_not_sign_is_not_sent(opened, internet, refused, name, algorithm):
    key = opened(name)
    internet.requests.clear()
    error = refused(key.sign, DIGESTS[algorithm], algorithm)
    assert error.message == f"the key {azure.identifier(name)} does not sign {algorithm} digests"
    assert not internet.requests


@pytest.mark.parametrize("name", ["wrapper", "p521"])
def test_a_key_that_is_for_something_else_is_refused(opened, refused, name):
    error = refused(opened, name)
    assert error.message == f"the key {azure.identifier(name)} is not one to sign images with"
    assert error.where == "key"


def test_a_key_that_may_not_sign_any_more_is_told(opened, key_vault, refused):
    key = opened("rsa")
    key_vault.keys["rsa"].operations = ["verify"]
    error = refused(key.sign, DIGESTS["sha256"], "sha256")
    assert error.message == f"the key {azure.identifier('rsa')} is not one to sign images with"


@pytest.mark.parametrize(("name", "version"), [("nope", ""), ("rsa", "00000000000000000000000000000000")])
def test_an_absent_key_is_told(opened, refused, name, version):
    error = refused(opened, name, version)
    assert error.message == f"Azure Key Vault has no key {azure.identifier(name, version)}"
    assert error.where == "key"


def test_a_disabled_key_is_told(opened, key_vault, refused):
    key_vault.keys["rsa"].enabled = False
    error = refused(opened, "rsa")
    assert error.message == f"the key {azure.identifier('rsa')} is not enabled in Azure Key Vault"


@pytest.mark.parametrize("inner", ["AccessDenied", "ForbiddenByFirewall", "ForbiddenByPolicy", "ForbiddenByRbac"])
def test_a_denied_permission_is_told_with_the_role_that_has_it(opened, internet, refused, inner):
    opened("rsa")
    text = f"Caller is not authorized to perform action on resource. {azure.TOKEN}"
    internet.fail(azure.VAULT, azure.error(403, "Forbidden", text, inner))
    error = refused(opened, "rsa")
    assert error.message == f"Azure Key Vault denies the use of the key {azure.identifier('rsa')}"
    assert "Key Vault Crypto User" in error.hint


def test_an_error_without_a_name_in_fuki_is_told_by_its_code(opened, internet, refused):
    opened("rsa")
    internet.fail(azure.VAULT, azure.error(400, "BadParameter", f"Bearer {azure.TOKEN}"))
    assert refused(opened, "rsa").message == "Azure Key Vault refuses the request: BadParameter"


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


def test_a_vault_that_recovers_signs(opened, internet):
    key = opened("rsa")
    internet.fail(azure.VAULT, azure.error(503, "ServiceUnavailable", "later", Retry_After="1"))
    assert key.sign(DIGESTS["sha256"], "sha256")


def test_a_vault_in_trouble_is_told(opened, internet, refused):
    internet.fail(azure.VAULT, *[azure.error(500, "InternalServerError", "oops")] * 3)
    assert refused(opened, "rsa").message == "Azure Key Vault has a failure of its own"


def test_without_credentials_the_ways_to_give_them_are_told(opened, monkeypatch, refused):
    for name in ("AZURE_CLIENT_SECRET", "AZURE_CLIENT_ID", "AZURE_TENANT_ID"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "prod")
    error = refused(opened, "rsa")
    assert error.message == "there are no usable credentials for Azure Key Vault"
    assert "az login" in error.hint


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


def test_a_job_signs_with_its_own_token(opened, monkeypatch, tmp_path):
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "WorkloadIdentityCredential")
    (tmp_path / "token").write_text(azure.JOB_TOKEN)
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "token"))
    assert opened("rsa").sign(DIGESTS["sha256"], "sha256")


def test_a_wrong_client_secret_is_told(opened, monkeypatch, refused):
    monkeypatch.setenv("AZURE_CLIENT_SECRET", azure.SECRET + "x")
    assert refused(opened, "rsa").message == "there are no usable credentials for Azure Key Vault"


def test_a_token_that_the_vault_does_not_accept_is_told(opened, key_vault, internet, refused):
    internet.fail(azure.VAULT, *[lambda _: key_vault.challenge(f"AKV10032: {azure.TOKEN}")] * 3)
    assert refused(opened, "rsa").message == "the credentials for Azure Key Vault are not accepted"


def test_a_challenge_for_a_token_of_someone_else_is_not_followed(opened, key_vault, internet, refused):
    key_vault.resource = "https://management.azure.com"
    assert refused(opened, "rsa").message == "Azure Key Vault gave an answer that cannot be right"
    assert not internet.asked(azure.LOGIN)


def test_a_vault_that_cannot_be_reached_is_told(opened, internet, refused):
    del internet.hosts[azure.VAULT]
    assert refused(opened, "rsa").message == "Azure Key Vault cannot be reached"


def test_a_login_that_cannot_be_reached_is_told(opened, internet, refused):
    del internet.hosts[azure.LOGIN]
    error = refused(opened, "rsa")
    assert error.message == "there are no usable credentials for Azure Key Vault"
    assert "network" in error.hint


def test_a_vault_that_does_not_answer_in_time_is_told(opened, internet, monkeypatch, refused):
    import threading

    ended = threading.Event()
    monkeypatch.setattr("fuki_kms.azure.READ_TIMEOUT", 0.2)
    internet.fail(azure.VAULT, *[lambda _: ended.wait(30) and Response(500)] * 3)
    try:
        assert refused(opened, "rsa").message == "Azure Key Vault does not answer in time"
    finally:
        ended.set()


def test_an_authority_that_nobody_trusts_is_told(opened, monkeypatch, refused):
    import certifi

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    assert refused(opened, "rsa").message == "the certificate of Azure Key Vault is not trusted"


DAMAGED = "Azure Key Vault gave an answer that cannot be right"


def test_a_signature_that_the_key_did_not_make_is_refused(opened, key_vault, refused):
    key = opened("p256")
    key_vault.keys["p256"].private = private_key("P-384")
    assert refused(key.sign, DIGESTS["sha256"], "sha256").message == DAMAGED


@pytest.mark.parametrize("value", ["", "AAAA", "AAAAA", "!"])
def test_what_is_no_signature_is_refused(opened, internet, refused, value):
    key = opened("p256")
    internet.fail(azure.VAULT, Response.of_json(200, {"kid": azure.identifier("p256"), "value": value}))
    assert refused(key.sign, DIGESTS["sha256"], "sha256").message == DAMAGED


@pytest.mark.parametrize(
    "answer",
    [
        Response(200, b"<html>Log in to the hotel</html>"),
        Response.of_json(200, {}),
        Response.of_json(200, {"key": {"kty": "RSA", "key_ops": ["sign"]}}),
        Response.of_json(200, {"key": {"kid": azure.identifier("rsa"), "kty": "RSA", "key_ops": ["sign"]}}),
    ],
)
def test_an_answer_that_is_none_of_the_vault_s_is_told(opened, internet, refused, answer):
    opened("p384")
    internet.fail(azure.VAULT, answer)
    assert refused(opened, "rsa").message == DAMAGED


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
