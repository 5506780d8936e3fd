"""Keys and certificates in the forms of programs that use OpenSSL."""

from pathlib import Path
from typing import Annotated

from fuki_build.errors import RecipeError
from fuki_build.hooks import SECRET_SOURCES, CertificateOptions, KeyPreview, SigningContext
from msgspec import Meta

from fuki_sbsign.call import Call
from fuki_sbsign.program import ProgramOptions, located

_SCHEME = "pkcs11:"


class KeyOptions(ProgramOptions, frozen=True, kw_only=True):
    """Options that unlock a key in a file, or in a PKCS #11 token."""

    passphrase: Annotated[
        str | None, Meta(description=f"of an encrypted key file, {SECRET_SOURCES}; by default prompt")
    ] = None
    pin: Annotated[str | None, Meta(description=f"of the token, {SECRET_SOURCES}; by default none")] = None
    module: Annotated[str | None, Meta(description="the PKCS #11 module, a shared library")] = None


def in_token(text: str, where: str = "key") -> bool:
    """Whether a text is a PKCS #11 URI (RFC 7512). Raises `RecipeError` for one that contains a PIN."""
    if not text.startswith(_SCHEME):
        return False
    if "pin-value=" in text:
        raise RecipeError("a PIN does not stand in a recipe", where=where, hint="name its source with 'pin'")
    return True


def preview(key: str | None, certificate: str | None, options: KeyOptions, context: SigningContext) -> KeyPreview:
    """What files say of a key, None for what is in none; the errors are those of `unlock_file` and `certificate`."""
    if key is not None:
        refuse_unlocked(key, options)
        context.read(key, "private key", "key")
    if certificate is None:
        return KeyPreview()
    return KeyPreview(certificates=context.certificates(CertificateOptions(certificate=certificate)))


def refuse_unlocked(key: str, options: KeyOptions) -> None:
    """Raise `RecipeError` for what does not go with a key in a file."""
    if in_token(key):
        raise RecipeError("nothing says how to reach the token", where="key", hint="name an OpenSSL engine or provider")
    _refuse_token_options(options)


def unlock_file(call: Call, key: str, options: KeyOptions, context: SigningContext) -> tuple[str, str | None]:
    """A key file's path, and the passphrase if it is encrypted. Raises `SigningError`."""
    refuse_unlocked(key, options)
    # None of the programs reads an encrypted key in DER.
    encrypted = b"ENCRYPTED" in context.read(key, "private key", "key")
    path = str((context.directory / key).absolute())
    return path, passphrase(call, key, options, context) if encrypted else None


def passphrase(call: Call, file: str, options: KeyOptions, context: SigningContext) -> str:
    """The passphrase of a file. Raises `SigningError`."""
    _refuse_token_options(options)
    call.hint = "is the passphrase right?"
    return context.secret(options.passphrase, f"passphrase of {file}", "passphrase")


def _refuse_token_options(options: KeyOptions) -> None:
    if options.pin is not None:
        hint = "name the source of its passphrase with 'passphrase'"
        raise RecipeError("a key in a file has no PIN", where="pin", hint=hint)
    if options.module is not None:
        raise RecipeError("a key in a file needs no PKCS #11 module", where="module", hint="leave it out")


def unlock_token(call: Call, key: str, options: KeyOptions, context: SigningContext) -> tuple[str, str | None]:
    """A key that an engine, provider or module knows, and its PIN if a source is named. Raises `SigningError`."""
    if options.passphrase is not None:
        hint = "name the source of its PIN with 'pin'"
        raise RecipeError("a token has no passphrase", where="passphrase", hint=hint)
    in_token(key)
    if options.pin is None:
        call.hint = "if the token asks for a PIN, name its source with 'pin'"
        return key, None
    call.hint = "is the PIN right, and the key in the token?"
    return key, context.secret(options.pin, f"PIN for {key}", "pin")


def use_module(call: Call, module: str | None, context: SigningContext) -> None:
    """Tell OpenSSL's engine (libp11) and provider (pkcs11-provider) which PKCS #11 module to load."""
    if module is not None:
        path = located(module, context.directory)
        call.environment |= {"PKCS11_MODULE_PATH": path, "PKCS11_PROVIDER_MODULE": path}


def certificate(call: Call, path: str, context: SigningContext) -> tuple[Path, list[bytes]]:
    """The signer's certificate in PEM, and the others in its file, in DER. Raises `SigningError`."""
    first, *others = context.certificates(CertificateOptions(certificate=path))
    return call.certificate_file("certificate.pem", [first]), others


def additional(call: Call, others: list[bytes], intermediates: tuple[str, ...], context: SigningContext) -> Path | None:
    """All certificates besides the signer's, in PEM. Raises `SigningError`."""
    certificates = others + context.certificates(CertificateOptions(intermediates=intermediates))
    return call.certificate_file("additional.pem", certificates) if certificates else None
