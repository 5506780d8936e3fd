"""However a server misbehaves, a call ends soon, in little memory, and credentials go to whom they are for."""

import hashlib
import json
import re
from collections.abc import Callable

import pytest
from fuki_build import network
from fuki_build.errors import FukiError
from fuki_build.hooks import SigningContext, SigningKey
from kms_fakes import aws, azure, gcp
from kms_fakes.internet import Internet, Request, Response

from fuki_kms import AwsKms, AzureKeyVault, GcpKms

DIGEST = hashlib.sha256(b"an image").digest()
HOSTS = {"aws": aws.HOST, "gcp": gcp.HOST, "azure": azure.VAULT}
Open = Callable[[], SigningKey]
Refused = Callable[..., FukiError]


@pytest.fixture(params=HOSTS)
def cloud(request: pytest.FixtureRequest) -> str:
    request.getfixturevalue({"aws": "aws_kms", "gcp": "gcp_kms", "azure": "key_vault"}[request.param])
    return request.param


@pytest.fixture
def open_key(cloud: str, context: SigningContext) -> Open:
    def open_key() -> SigningKey:
        if cloud == "aws":
            return AwsKms().open(AwsKms.Options(key="alias/rsa"), context)
        if cloud == "gcp":
            return GcpKms().open(GcpKms.Options(key=gcp.version("rsa")), context)
        return AzureKeyVault().open(AzureKeyVault.Options(key=f"https://{azure.VAULT}/keys/rsa"), context)

    return open_key


def misbehave(internet: Internet, cloud: str, response: Response) -> None:
    """Instead of every answer that is one to a request with credentials."""
    fake = internet.hosts[HOSTS[cloud]]

    def answer(request: Request) -> Response:
        return response if "authorization" in request.headers else fake(request)

    internet.hosts[HOSTS[cloud]] = answer


def test_a_byte_now_and_then_does_not_hold_a_call(
    cloud: str, open_key: Open, internet: Internet, refused: Refused, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(network, "ANSWER_TIMEOUT", 0.2)
    misbehave(internet, cloud, Response(200, b" " * 1000, pause=0.05))
    assert refused(open_key).message.endswith("does not answer in time")


def test_all_attempts_together_have_an_end(
    cloud: str, open_key: Open, internet: Internet, refused: Refused, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(network, "CALL_TIMEOUT", 0.0)
    assert refused(open_key).message.endswith("does not answer in time")
    assert len(internet.asked(HOSTS[cloud])) <= 6


def test_an_answer_of_any_size_is_not_read(cloud: str, open_key: Open, internet: Internet, refused: Refused):
    misbehave(internet, cloud, Response(200, b" " * 8_000_000))
    assert refused(open_key).message.endswith("gave an answer that cannot be right")


@pytest.mark.parametrize("status", [200, 400])
def test_json_of_any_depth_is_refused(cloud: str, status: int, open_key: Open, internet: Internet, refused: Refused):
    headers = {"Content-Type": "application/x-amz-json-1.1" if cloud == "aws" else "application/json"}
    misbehave(internet, cloud, Response(status, b'{"error":' + b"[" * 200_000, headers))
    assert refused(open_key).message.startswith({"aws": "AWS", "gcp": "Google", "azure": "Azure"}[cloud])


@pytest.mark.usefixtures("aws_kms")
def test_the_proxy_does_not_see_credentials_for_this_machine(
    context: SigningContext, internet: Internet, refused: Refused
):
    internet.hosts["127.0.0.1"] = lambda _: Response(500)
    options = AwsKms.Options(key="alias/rsa", endpoint_url="http://127.0.0.1:1")
    assert refused(AwsKms().open, options, context).message == "AWS KMS cannot be reached"
    assert not internet.asked("127.0.0.1")


@pytest.mark.usefixtures("gcp_kms")
def test_nor_those_of_google(context: SigningContext, internet: Internet, refused: Refused):
    internet.hosts["127.0.0.1"] = lambda _: Response(500)
    options = GcpKms.Options(key=gcp.version("rsa"), endpoint="http://127.0.0.1:1")
    assert refused(GcpKms().open, options, context).message == "Google Cloud KMS cannot be reached"
    assert not internet.asked("127.0.0.1")


def test_credentials_do_not_go_to_others_in_clear(
    aws_kms: aws.AwsKms, context: SigningContext, internet: Internet, refused: Refused, monkeypatch: pytest.MonkeyPatch
):
    """The address is that of an environment variable, which no option is."""
    internet.hosts["kms.example.com"] = aws_kms
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://kms.example.com")
    error = refused(AwsKms().open, AwsKms.Options(key="alias/rsa"), context)
    assert error.message == "credentials for AWS KMS do not go to another machine in clear"
    assert not internet.asked("kms.example.com")


@pytest.mark.parametrize(
    ("pattern", "other"),
    [
        (re.escape(azure.VAULT), "elsewhere.example.com"),
        ("/keys/rsa/", "/keys/other/"),
        (r"/keys/rsa/\w+", "/keys/rsa"),
        ("https://", "http://"),
    ],
)
def test_a_vault_does_not_send_requests_elsewhere(
    pattern: str, other: str, key_vault: azure.KeyVault, internet: Internet, context: SigningContext, refused: Refused
):
    def answer(request: Request) -> Response:
        response = key_vault(request)
        if response.status != 200:
            return response
        document = json.loads(response.content)
        document["key"]["kid"] = re.sub(pattern, other, document["key"]["kid"])
        return Response.of_json(200, document)

    internet.hosts[azure.VAULT] = answer
    internet.hosts["elsewhere.example.com"] = key_vault
    options = AzureKeyVault.Options(key=f"https://{azure.VAULT}/keys/rsa")
    assert refused(AzureKeyVault().open, options, context).message.endswith("gave an answer that cannot be right")
    assert not internet.asked("elsewhere.example.com")


@pytest.mark.usefixtures("aws_kms")
@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("InvalidSignatureException", "Signature expired: 20260101T000000Z is now earlier than 20260101T010000Z"),
        ("InvalidSignatureException", "Signature not yet current: 20260101T000000Z is still later than 20251231T"),
        ("RequestTimeTooSkewed", "The difference between the request time and the current time is too large."),
    ],
)
def test_a_clock_that_is_wrong_is_told(
    code: str, message: str, internet: Internet, context: SigningContext, refused: Refused
):
    headers = {"Content-Type": "application/x-amz-json-1.1"}
    document = json.dumps({"__type": code, "message": message}).encode()
    internet.hosts[aws.HOST] = lambda _: Response(400, document, headers)
    error = refused(AwsKms().open, AwsKms.Options(key="alias/rsa"), context)
    assert error.message == "AWS KMS does not accept the time of this machine"


@pytest.mark.usefixtures("gcp_kms")
def test_a_clock_that_is_wrong_for_google_is_told(internet: Internet, context: SigningContext, refused: Refused):
    said = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
    answer = Response.of_json(400, {"error": "invalid_grant", "error_description": said})
    internet.hosts[gcp.TOKENS] = lambda _: answer
    error = refused(GcpKms().open, GcpKms.Options(key=gcp.version("rsa")), context)
    assert error.message == "Google Cloud KMS does not accept the time of this machine"
