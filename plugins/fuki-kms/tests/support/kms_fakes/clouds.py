"""The three services as one: how a key is opened, and how what may go wrong is brought about."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fuki_build.hooks import KeySigner, SigningContext, SigningKey

from fuki_kms import AwsKms, AzureKeyVault, GcpKms
from kms_fakes import aws, azure, gcp
from kms_fakes.internet import Internet


class Cloud(ABC):
    """A service with the keys `rsa`, `p256`, `p384` and others of its own, opened by a recipe's options."""

    service: ClassVar[str]
    """As messages name it."""
    host: ClassVar[str]
    fixture: ClassVar[str]
    """The fixture that gives the fake, and credentials for it."""
    signer: ClassVar[type[KeySigner]]
    signing_fields: ClassVar[set[str]]
    """What a request to sign consists of."""
    credentials_hint: ClassVar[str]
    """A word of the hint where there are no credentials."""
    authorities: ClassVar[str]
    """The variable with the certificates that the service's library trusts."""
    read_timeout: ClassVar[str]
    """The module's constant, as a path."""

    def __init__(self, fake: Any, context: SigningContext) -> None:  # noqa: ANN401 - each is of a class of its own
        self.fake = fake
        self._context = context

    @staticmethod
    @abstractmethod
    def named(key: str) -> str:
        """The name that a recipe has for a key."""

    @abstractmethod
    def give_a_job_s_token(self, internet: Internet, monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
        """Take the credentials away, and give those of a CI job in their place."""

    @abstractmethod
    def take_credentials(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nobody has any any more."""

    def open(self, key: str, **options: str) -> SigningKey:
        return self.open_named(self.named(key), **options)

    def open_named(self, name: str, **options: str) -> SigningKey:
        options_of = self.signer.Options
        return self.signer().open(options_of(key=name, **options), self._context)

    def log_in(self, internet: Internet) -> None:
        """Leave nothing to be asked before a key is."""
        self.open("rsa")
        internet.requests.clear()

    def first_request(self) -> Callable[[], object]:
        """A call that asks the service for something, after what must be asked before."""
        return lambda: self.open("rsa")


class Aws(Cloud):
    service = "AWS KMS"
    host = aws.HOST
    fixture = "aws_kms"
    signer = AwsKms
    signing_fields = {"KeyId", "Message", "MessageType", "SigningAlgorithm"}  # noqa: RUF012 - read only
    credentials_hint = "AWS_PROFILE"
    authorities = "AWS_CA_BUNDLE"
    read_timeout = "fuki_kms.aws.READ_TIMEOUT"

    @staticmethod
    def named(key: str) -> str:
        return f"alias/{key}"

    def give_a_job_s_token(self, internet: Internet, monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
        internet.hosts[aws.STS] = aws.sts
        self.take_credentials(monkeypatch)
        (directory / "token").write_text(aws.JOB_TOKEN)
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(directory / "token"))
        monkeypatch.setenv("AWS_ROLE_ARN", aws.ROLE)

    def take_credentials(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")


class Azure(Cloud):
    service = "Azure Key Vault"
    host = azure.VAULT
    fixture = "key_vault"
    signer = AzureKeyVault
    signing_fields = {"alg", "value"}  # noqa: RUF012
    credentials_hint = "az login"
    authorities = "REQUESTS_CA_BUNDLE"
    read_timeout = "fuki_kms.azure.READ_TIMEOUT"

    @staticmethod
    def named(key: str) -> str:
        return azure.identifier(key)

    def give_a_job_s_token(self, internet: Internet, monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:  # noqa: ARG002
        monkeypatch.delenv("AZURE_CLIENT_SECRET")
        monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "WorkloadIdentityCredential")
        (directory / "token").write_text(azure.JOB_TOKEN)
        monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(directory / "token"))

    def take_credentials(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AZURE_CLIENT_SECRET", "AZURE_CLIENT_ID", "AZURE_TENANT_ID"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "prod")


class Gcp(Cloud):
    service = "Google Cloud KMS"
    host = gcp.HOST
    fixture = "gcp_kms"
    signer = GcpKms
    signing_fields = {"digest", "digestCrc32c"}  # noqa: RUF012
    credentials_hint = "gcloud auth application-default login"
    authorities = "REQUESTS_CA_BUNDLE"
    read_timeout = "fuki_kms.gcp.READ_TIMEOUT"

    @staticmethod
    def named(key: str) -> str:
        return gcp.version(key)

    def give_a_job_s_token(self, internet: Internet, monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
        internet.hosts[gcp.EXCHANGE] = gcp.exchange
        # google-auth asks for the project's name, and goes on without it.
        denied = gcp.error("PERMISSION_DENIED", "Request had insufficient authentication scopes.")
        internet.hosts["cloudresourcemanager.googleapis.com"] = lambda _: denied
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(gcp.job_credentials(directory)))

    def take_credentials(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
        monkeypatch.setenv("NO_GCE_CHECK", "true")  # the metadata server is asked past proxies

    def first_request(self) -> Callable[[], object]:
        key = self.open("rsa")
        return lambda: key.sign(bytes(32), "sha256")


CLOUDS: dict[str, type[Cloud]] = {"aws": Aws, "azure": Azure, "gcp": Gcp}
