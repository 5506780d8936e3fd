"""Keys on PKCS #11 tokens: the signing backend `pkcs11`."""

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import unquote, urlsplit

from fuki_build.errors import FormatError, RecipeError, did_you_mean, raised_as
from fuki_build.formats import pkcs11_uri
from fuki_build.formats.pkcs11_uri import ObjectType, Pkcs11Uri
from fuki_build.hooks import (
    SECRET_SOURCES,
    CertificateOptions,
    KeyPreview,
    KeySigner,
    SigningContext,
    SigningKey,
    hookimpl,
    named_certificates,
)
from msgspec import Meta


class Pkcs11Options(CertificateOptions, frozen=True, kw_only=True):
    key: Annotated[str, Meta(min_length=1, description="the private key, as a PKCS #11 URI (RFC 7512)")]
    module_path: Annotated[
        str | None, Meta(description="the token's PKCS #11 module, a shared library; before the URI's")
    ] = None
    pin: Annotated[
        str | None, Meta(description=f"the token's PIN, {SECRET_SOURCES}; before the URI's 'pin-source'")
    ] = None


class Pkcs11Signer(KeySigner):
    """A key on a token: an HSM, a smart card, a TPM, or SoftHSM. The key never leaves it.

    >>> Pkcs11Signer.Options(key="pkcs11:token=signing;object=db", module_path="/usr/lib/softhsm/libsofthsm2.so").key
    'pkcs11:token=signing;object=db'
    """

    name = "pkcs11"
    Options = Pkcs11Options

    def open(self, options: Pkcs11Options, context: SigningContext) -> SigningKey:
        # python-pkcs11 and cryptography are slow to load, and needed only for signing.
        from fuki_pkcs11.keys import open_key  # noqa: PLC0415
        from fuki_pkcs11.modules import LOCK, find_module, open_module  # noqa: PLC0415
        from fuki_pkcs11.tokens import log_in  # noqa: PLC0415

        uri = parse_key(options.key)
        _check_named(options, uri, context)
        path = find_module(options.module_path, uri, context.directory)
        module = open_module(path, context)
        source, where = (options.pin, "pin") if options.pin is not None else (_pin_source(uri), "key")

        with LOCK:
            token = log_in(module, uri, source, where if source else "pin", context)
            return open_key(token, uri, options, context)

    def preview(self, options: Pkcs11Options, context: SigningContext) -> KeyPreview:
        from fuki_pkcs11.modules import find_module  # noqa: PLC0415 - python-pkcs11 is slow to load

        # The module is not loaded: it may contact a service as soon as it is.
        uri = parse_key(options.key)
        _check_named(options, uri, context)
        find_module(options.module_path, uri, context.directory)
        return named_certificates(options, context)

    def certificates(self, options: Pkcs11Options, context: SigningContext) -> Sequence[bytes]:
        if options.certificate is not None:
            return context.certificates(options)
        return self.open(options, context).certificates


def _check_named(options: Pkcs11Options, uri: Pkcs11Uri, context: SigningContext) -> None:
    """Refuse a library at a path of the recipe's choice where that may have none run; names are the machine's own."""
    if options.module_path is not None:
        context.check_command(options.module_path, "module-path")
    elif uri.module_path is not None:
        context.check_command(uri.module_path, "key")


def parse_key(key: str) -> Pkcs11Uri:
    """The URI of a private key. Raises `RecipeError`, which repeats no value: a PIN may be in the wrong place."""
    with raised_as(RecipeError, "key", of=FormatError):
        uri = pkcs11_uri.decode(key)

    for attributes, table in ((uri.vendor, pkcs11_uri.PATH), (uri.vendor_query, pkcs11_uri.QUERY)):
        for name, _ in attributes:
            # RFC 7512 leaves such attributes to vendors. Ignoring one might select another key than the one meant.
            hint = did_you_mean(name, table) or f"known here are: {', '.join(table)}"
            raise RecipeError(f"unknown attribute {name!r} in the PKCS #11 URI", where="key", hint=hint)

    if uri.type not in {None, ObjectType.PRIVATE}:
        hint = "leave 'type' out, or write type=private; the certificate is found beside the key"
        raise RecipeError(
            f"the PKCS #11 URI is not one of a private key, but has type={uri.type}", where="key", hint=hint
        )

    return uri


def _pin_source(uri: Pkcs11Uri) -> str | None:
    """The URI's `pin-source` as a source of secrets: a path or a file URI (RFC 7512, 2.4)."""
    source = uri.pin_source
    if source is None:
        return None

    if source.lower().startswith("file:"):
        parts = urlsplit(source)
        if parts.netloc.lower() in {"", "localhost"} and not (parts.query or parts.fragment):
            source = unquote(parts.path)

    if not source.startswith("/") or "\0" in source:
        hint = "write pin-source=file:/PATH, or use the option 'pin'"
        raise RecipeError("'pin-source' in the PKCS #11 URI is not the absolute path of a file", where="key", hint=hint)
    return f"file:{source}"


@hookimpl
def fuki_signers() -> Sequence[type[KeySigner]]:
    return [Pkcs11Signer]
