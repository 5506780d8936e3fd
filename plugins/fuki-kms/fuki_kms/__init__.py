"""Keys in clouds: the signing backends `aws-kms`, `gcp-kms` and `azure-key-vault`.

Each service's client is an extra of the distribution, and is imported only when one of its keys is opened.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fuki_build.errors import PluginError
from fuki_build.hooks import CertificateOptions, FileSigner, KeyPreview, KeySigner, SigningContext, SigningKey, hookimpl

from fuki_kms.options import AwsOptions, AzureOptions, GcpOptions


@contextmanager
def _client(backend: str, extra: str) -> Iterator[None]:
    """Around the import of a service's client: `PluginError` names the extra that installs it."""
    try:
        yield
    except ModuleNotFoundError as error:
        message = f"the backend {backend!r} of fuki-kms needs {error.name}, which is not installed"
        raise PluginError(message, where="backend", hint=f"pip install 'fuki-kms[{extra}]'") from error


class _CloudSigner(KeySigner):
    """A preview or layout needs only the certificates, for which no service is contacted."""

    def preview(self, options: CertificateOptions, context: SigningContext) -> KeyPreview:
        self.check(options)
        # The services have no certificates of their keys.
        return KeyPreview(certificates=context.certificates(options))

    @abstractmethod
    def check(self, options: Any) -> None:  # noqa: ANN401 - an instance of Options
        """Raise `FukiError` for what can be told to be wrong before the service is asked."""

    def certificates(self, options: CertificateOptions, context: SigningContext) -> Sequence[bytes]:
        return context.certificates(options)


class AwsKms(_CloudSigner):
    """A key in AWS KMS, with the credentials that AWS's own tools find.

    >>> AwsKms.Options(key="alias/secure-boot", certificate="db.crt", region="eu-central-1").key
    'alias/secure-boot'
    """

    name = "aws-kms"
    Options = AwsOptions

    def check(self, options: AwsOptions) -> None:
        with _client(self.name, "aws"):
            from fuki_kms import aws  # noqa: PLC0415
        aws.check(options)

    def open(self, options: AwsOptions, context: SigningContext) -> SigningKey:
        with _client(self.name, "aws"):
            from fuki_kms import aws  # noqa: PLC0415
        return aws.open_key(options, context)


class GcpKms(_CloudSigner):
    """A key version in Google Cloud KMS, with Application Default Credentials.

    >>> ring = "projects/acme/locations/europe-west3/keyRings/images"
    >>> GcpKms.Options(key=f"{ring}/cryptoKeys/secure-boot/cryptoKeyVersions/1", certificate="db.crt").endpoint
    'https://cloudkms.googleapis.com'
    """

    name = "gcp-kms"
    Options = GcpOptions

    def check(self, options: GcpOptions) -> None:
        with _client(self.name, "gcp"):
            from fuki_kms import gcp  # noqa: PLC0415
        gcp.check(options)

    def open(self, options: GcpOptions, context: SigningContext) -> SigningKey:
        with _client(self.name, "gcp"):
            from fuki_kms import gcp  # noqa: PLC0415
        return gcp.open_key(options, context)


class AzureKeyVault(_CloudSigner):
    """A key in Azure Key Vault or a Managed HSM, with the credentials that Azure's libraries find.

    >>> AzureKeyVault.Options(key="https://acme.vault.azure.net/keys/secure-boot", certificate="db.crt").certificate
    'db.crt'
    """

    name = "azure-key-vault"
    Options = AzureOptions

    def check(self, options: AzureOptions) -> None:
        with _client(self.name, "azure"):
            from fuki_kms import azure  # noqa: PLC0415
        azure.check(options)

    def open(self, options: AzureOptions, context: SigningContext) -> SigningKey:
        with _client(self.name, "azure"):
            from fuki_kms import azure  # noqa: PLC0415
        return azure.open_key(options, context)


@hookimpl
def fuki_signers() -> Sequence[type[KeySigner] | type[FileSigner]]:
    return [AwsKms, AzureKeyVault, GcpKms]
