"""An internet of fakes, and credentials for them, as a build machine has them."""

import os
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from azure.keyvault.keys._shared import http_challenge_cache
from fuki_build.errors import FukiError
from fuki_build.hooks import SigningContext
from kms_fakes import aws, azure, gcp
from kms_fakes.clouds import CLOUDS, Cloud
from kms_fakes.internet import Internet

_SECRETS = (aws.SECRET_KEY, azure.SECRET, azure.TOKEN, gcp.TOKEN, "PRIVATE KEY", "Bearer ", "AWS4-HMAC-SHA256")
_FOREIGN = ("AWS_", "AZURE_", "GOOGLE_", "CLOUDSDK_", "IDENTITY_", "MSI_")


@pytest.fixture(scope="session")
def internet_of_all_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    internet = Internet(tmp_path_factory.mktemp("internet"))
    yield internet
    internet.close()


@pytest.fixture
def internet(internet_of_all_tests: Internet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Internet:
    """No host at all; tests add those that they need. Nobody has credentials, and nobody waits."""
    for name in [name for name in os.environ if name.startswith(_FOREIGN)]:
        monkeypatch.delenv(name)
    for name, value in internet_of_all_tests.environment().items():
        monkeypatch.setenv(name, value)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("time.sleep", lambda _: None)
    internet_of_all_tests.hosts.clear()
    internet_of_all_tests.requests.clear()
    internet_of_all_tests.faults.clear()
    return internet_of_all_tests


@pytest.fixture
def context(tmp_path: Path) -> Iterator[SigningContext]:
    with SigningContext(tmp_path, tmp_path) as context:
        yield context


@pytest.fixture
def aws_kms(internet: Internet, monkeypatch: pytest.MonkeyPatch) -> aws.AwsKms:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", aws.ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", aws.SECRET_KEY)
    monkeypatch.setenv("AWS_DEFAULT_REGION", aws.REGION)
    fake = aws.AwsKms()
    internet.hosts[aws.HOST] = fake
    return fake


@pytest.fixture(scope="session")
def tokens() -> gcp.Tokens:
    return gcp.Tokens()


@pytest.fixture
def gcp_kms(internet: Internet, tokens: gcp.Tokens, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> gcp.GcpKms:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tokens.credentials(tmp_path / "account.json")))
    fake = gcp.GcpKms()
    internet.hosts.update({gcp.HOST: fake, gcp.TOKENS: tokens})
    return fake


@pytest.fixture
def key_vault(internet: Internet, monkeypatch: pytest.MonkeyPatch) -> azure.KeyVault:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    monkeypatch.setenv("AZURE_TENANT_ID", azure.TENANT)
    monkeypatch.setenv("AZURE_CLIENT_ID", azure.CLIENT)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", azure.SECRET)
    http_challenge_cache.clear()
    fake = azure.KeyVault()
    internet.hosts.update({azure.VAULT: fake, azure.LOGIN: azure.entra})
    return fake


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Callable[..., FukiError]:
    """`refused(act, …)` is the one error that `act(…)` ends in: with a hint, and no secret in it."""

    def refused(act: Callable[..., object], *arguments: object, code: int = 4) -> FukiError:
        with pytest.raises(FukiError) as raised:
            act(*arguments)
        error = raised.value
        assert error.exit_code == code
        assert error.hint
        shown = "".join(traceback.format_exception(error))
        assert not [secret for secret in _SECRETS if secret in shown]
        assert capfd.readouterr() == ("", "")
        return error

    return refused


@pytest.fixture(params=CLOUDS)
def cloud(request: pytest.FixtureRequest, context: SigningContext) -> Cloud:
    kind = CLOUDS[request.param]
    return kind(request.getfixturevalue(kind.fixture), context)
