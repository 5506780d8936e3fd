"""The signing backend `acme-vault`: keys that never leave Acme's vault."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from fuki_build import programs
from fuki_build.errors import RecipeError, SigningError, raised_as
from fuki_build.formats.asn1.x509 import public_key_of
from fuki_build.hooks import SECRET_SOURCES, CertificateOptions, KeySigner, SigningContext, SigningKey


class VaultOptions(CertificateOptions, frozen=True, kw_only=True):
    key: Annotated[str, Meta(pattern=r"^[a-z0-9-]+$", description="name of the key in the vault")]
    token: Annotated[str | None, Meta(description=f"for the login, {SECRET_SOURCES}")] = None


class VaultKey(SigningKey):
    """One key, after the login."""

    def __init__(self, name: str, token: str, certificates: Sequence[bytes], context: SigningContext) -> None:
        self._name = name
        self._token = token
        self._context = context
        self.certificates = certificates
        self.public_key = public_key_of(certificates[0])

    def sign(self, digest: bytes, algorithm: str) -> bytes:
        client = ["openssl", "pkeyutl", "-sign", "-inkey", f"vault/{self._name}.pem"]
        options = ["-pkeyopt", f"digest:{algorithm}", "-passin", "env:TOKEN"]
        with raised_as(SigningError, "key", of=programs.ProgramError):
            done = programs.run(
                [*client, *options],
                environment=programs.environment(TOKEN=self._token),
                directory=self._context.directory,
                stdin=digest,
            )
        if done.code:
            raise SigningError(f"the vault did not sign with {self._name}", where="key")
        return done.stdout


class AcmeVault(KeySigner):
    """A key in Acme's vault.

    >>> AcmeVault.Options(key="release", certificate="db.crt").key
    'release'
    """

    name = "acme-vault"
    Options = VaultOptions

    def open(self, options: VaultOptions, context: SigningContext) -> SigningKey:
        certificates = self.certificates(options, context)
        token = context.secret(options.token, "token of the vault", "token")
        return VaultKey(options.key, token, certificates, context)

    def certificates(self, options: VaultOptions, context: SigningContext) -> Sequence[bytes]:
        certificates = context.certificates(options)
        if not certificates:
            raise RecipeError("'certificate' is missing", where="certificate", hint="the vault has keys only")
        return certificates
