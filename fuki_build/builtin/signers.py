"""Signing backends: a key in a file, and any program that signs a digest."""

import base64
import binascii
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from fuki_build import programs
from fuki_build.errors import FormatError, RecipeError, SigningError, raised_as
from fuki_build.hooks import (
    SECRET_SOURCES,
    CertificateOptions,
    FileSigner,
    KeyPreview,
    KeySigner,
    SigningContext,
    SigningKey,
    hookimpl,
    named_certificates,
)

if TYPE_CHECKING:
    from fuki_build.formats.asn1.private_key import PrivateKey

_MAX_SIGNATURE = 64 * 1024


class LocalOptions(CertificateOptions, frozen=True, kw_only=True):
    key: Annotated[str, Meta(min_length=1, description="the private key: PEM, DER or PKCS #12")]
    passphrase: Annotated[
        str | None, Meta(description=f"for an encrypted key, {SECRET_SOURCES}; by default prompt")
    ] = None


class LocalKey(SigningKey):
    """A key that this process holds."""

    def __init__(self, key: "PrivateKey", certificates: Sequence[bytes]) -> None:
        self._key = key
        self.certificates = certificates
        self.public_key = key.public_key

    def sign(self, digest: bytes, algorithm: str) -> bytes:
        return self._key.sign(digest, algorithm)


class _PassphraseNeededError(Exception):
    """A key is encrypted, and nobody is to be asked."""


class LocalSigner(KeySigner):
    """A private key in a file, with its certificate in another, or both in a PKCS #12 file.

    >>> LocalSigner.Options(key="keys/db.key", certificate="keys/db.crt").key
    'keys/db.key'
    """

    name = "local"
    Options = LocalOptions

    def open(self, options: LocalOptions, context: SigningContext) -> LocalKey:
        def ask() -> str:
            return context.secret(options.passphrase, f"passphrase of {options.key}", "passphrase")

        return self._read(options, context, ask)

    def preview(self, options: LocalOptions, context: SigningContext) -> KeyPreview:
        def refuse() -> str:
            raise _PassphraseNeededError

        try:
            key = self._read(options, context, refuse)
        except _PassphraseNeededError:
            return named_certificates(options, context)
        return KeyPreview(certificates=key.certificates, public_key=key.public_key)

    @staticmethod
    def _read(options: LocalOptions, context: SigningContext, ask: Callable[[], str]) -> LocalKey:
        """The key; `ask` is called for the passphrase of one that is encrypted."""
        # Cryptography is slow to load; only what signs needs it.
        from fuki_build.formats.asn1 import private_key  # noqa: PLC0415

        data = context.read(options.key, "private key", "key")
        with raised_as(SigningError, "key", of=FormatError, about=options.key):
            key = private_key.decode(data, ask)
        named = context.certificates(options)
        if options.certificate is None:
            # Intermediates stand behind the key's own certificate, or there is none of the key's.
            named = [*key.certificates, *named] if key.certificates else []
        return LocalKey(key, named)

    def certificates(self, options: LocalOptions, context: SigningContext) -> Sequence[bytes]:
        if options.certificate is not None:
            return context.certificates(options)
        return self.open(options, context).certificates


class Encoding(StrEnum):
    """How a program prints a signature."""

    RAW = "raw"
    BASE64 = "base64"
    HEX = "hex"


_DECODERS: dict[Encoding, Callable[[bytes], bytes]] = {
    Encoding.RAW: bytes,
    Encoding.BASE64: lambda data: base64.b64decode(b"".join(data.split()), validate=True),
    Encoding.HEX: lambda data: binascii.unhexlify(b"".join(data.split())),
}


class CommandKeyOptions(CertificateOptions, frozen=True, kw_only=True):
    command: Annotated[
        tuple[str, ...],
        Meta(
            min_length=1, description="program and arguments: gets the digest on standard input, prints the signature"
        ),
    ]
    encoding: Annotated[Encoding, Meta(description="how the signature is printed: raw, base64 or hex")] = Encoding.RAW
    timeout: Annotated[float, Meta(gt=0, description="seconds that it may take for a signature")] = 300.0


class CommandKey(SigningKey):
    """A key behind a program that signs digests."""

    def __init__(self, options: CommandKeyOptions, context: SigningContext) -> None:
        from fuki_build.formats.asn1 import x509  # noqa: PLC0415

        context.check_command(options.command[0], "command")
        self._options = options
        self._context = context
        self.certificates = context.certificates(options)
        if not self.certificates:
            raise RecipeError("'certificate' is missing", hint="the program's key is known by its certificate")
        self.public_key = x509.public_key_of(self.certificates[0])

    def sign(self, digest: bytes, algorithm: str) -> bytes:
        program = self._options.command[0]
        with raised_as(SigningError, "command", of=programs.ProgramError):
            done = programs.run(
                self._options.command,
                environment={**self._context.environment, "FUKI_DIGEST_ALGORITHM": algorithm},
                directory=self._context.directory,
                stdin=digest,
                timeout=self._options.timeout,
                largest_output=_MAX_SIGNATURE,
            )

        if done.code:
            said = done.last_lines(3)
            raise SigningError(f"{program} {done.how}{said and f': {said}'}", where="command")

        try:
            return _DECODERS[self._options.encoding](done.stdout)
        except ValueError as error:
            expected = self._options.encoding.value
            raise SigningError(f"{program} printed no signature in {expected}", where="command") from error


class CommandSigner(KeySigner):
    """Any program that signs a digest: the door to remote signing services.

    The program runs in the recipe's directory, gets the digest's bytes on standard input and its algorithm in
    FUKI_DIGEST_ALGORITHM, and prints the signature: PKCS #1 v1.5 for RSA keys, ECDSA in DER for others. It has no
    terminal to ask on, and none of the variables that secrets of the recipe come from.

    >>> CommandSigner.Options(command=("./sign-remotely", "key-7"), certificate="db.crt").command[0]
    './sign-remotely'
    """

    name = "command"
    Options = CommandKeyOptions

    def open(self, options: CommandKeyOptions, context: SigningContext) -> CommandKey:
        return CommandKey(options, context)

    def preview(self, options: CommandKeyOptions, context: SigningContext) -> KeyPreview:
        key = self.open(options, context)
        with raised_as(SigningError, "command", of=programs.ProgramError):
            programs.check_startable(options.command[0], context.environment, context.directory)
        return KeyPreview(certificates=key.certificates, public_key=key.public_key)


@hookimpl
def fuki_signers() -> Sequence[type[KeySigner] | type[FileSigner]]:
    return [LocalSigner, CommandSigner]
