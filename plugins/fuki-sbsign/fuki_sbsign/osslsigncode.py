"""osslsigncode, since 2.5."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from fuki_build.errors import FormatError, RecipeError, SigningError, raised_as
from fuki_build.formats.pe import pe
from fuki_build.hooks import CertificateOptions, KeyPreview, SigningContext
from msgspec import Meta

from fuki_sbsign import keys
from fuki_sbsign.call import Call
from fuki_sbsign.keys import KeyOptions
from fuki_sbsign.program import ProgramSigner, located


class Digest(StrEnum):
    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"


class OsslsigncodeOptions(KeyOptions, frozen=True, kw_only=True):
    key: Annotated[str | None, Meta(description="the private key: PEM, DER or a PKCS #11 URI")] = None
    certificate: Annotated[str | None, Meta(description="the signer's certificate: PEM, DER or a PKCS #11 URI")] = None
    pkcs12: Annotated[str | None, Meta(description="a PKCS #12 file with both, instead of key and certificate")] = None
    intermediates: Annotated[
        tuple[str, ...], Meta(description="further certificates to put into the signature: PEM or DER")
    ] = ()
    engine: Annotated[str | None, Meta(description="path of OpenSSL's PKCS #11 engine; by default the usual one")] = (
        None
    )
    digest: Annotated[Digest, Meta(description="sha256, sha384 or sha512; firmware must know it")] = Digest.SHA256
    timestamp: Annotated[
        tuple[str, ...], Meta(description="URLs of time-stamp authorities (RFC 3161), asked in turn until one answers")
    ] = ()


class Osslsigncode(ProgramSigner):
    """osslsigncode, for images without a signature. SOURCE_DATE_EPOCH is the time of signing where it is set.

    >>> Osslsigncode.Options(pkcs12="db.p12", passphrase="file:passphrase", digest=Digest.SHA384).digest.value
    'sha384'
    """

    name = "osslsigncode"
    Options = OsslsigncodeOptions
    packages = "Debian, Fedora, Arch: osslsigncode"

    def preview_key(self, options: OsslsigncodeOptions, context: SigningContext) -> KeyPreview:
        context.certificates(CertificateOptions(intermediates=options.intermediates))
        if options.pkcs12 is not None:
            _refuse_both(options)
            context.read(options.pkcs12, "PKCS #12 file", "pkcs12")
            return KeyPreview()

        key, certificate = _named(options)
        in_tokens = keys.in_token(key), keys.in_token(certificate, "certificate")
        if in_tokens[0]:
            self._token(options, context)
        return keys.preview(None if in_tokens[0] else key, None if in_tokens[1] else certificate, options, context)

    def prepare(
        self, call: Call, image: Path, output: Path, options: OsslsigncodeOptions, context: SigningContext
    ) -> None:
        _refuse_signed(image)
        prepare_key = self._pkcs12 if options.pkcs12 is not None else self._key

        call.arguments += ["sign", "-h", options.digest.value]
        others, secret = prepare_key(call, options, context)
        more = keys.additional(call, others, options.intermediates, context)
        call.arguments += [] if more is None else ["-ac", str(more)]

        for url in options.timestamp:
            call.arguments += ["-ts", url]
        if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
            call.arguments += ["-time", epoch]

        # osslsigncode does not read an empty file, so an empty passphrase counts as none.
        if secret:
            call.arguments += ["-readpass", str(call.secret_file(secret))]

        call.arguments += ["-in", str(image), "-out", str(output)]

    def _pkcs12(
        self, call: Call, options: OsslsigncodeOptions, context: SigningContext
    ) -> tuple[list[bytes], str | None]:
        """Add the file. Returns further certificates, and the passphrase of the file."""
        path = options.pkcs12 or ""
        _refuse_both(options)
        context.read(path, "PKCS #12 file", "pkcs12")
        call.arguments += ["-pkcs12", str((context.directory / path).absolute())]
        return [], keys.passphrase(call, path, options, context)

    def _key(self, call: Call, options: OsslsigncodeOptions, context: SigningContext) -> tuple[list[bytes], str | None]:
        """Add key and certificate. Returns further certificates, and the secret that unlocks the key."""
        named_key, certificate = _named(options)
        if keys.in_token(named_key):
            key, secret = keys.unlock_token(call, named_key, options, context)
            call.arguments += self._token(options, context)
        else:
            key, secret = keys.unlock_file(call, named_key, options, context)

        call.arguments += ["-key", key]

        if keys.in_token(certificate, "certificate"):
            call.arguments += ["-pkcs11cert", certificate]
            return [], secret

        signer_certificate, others = keys.certificate(call, certificate, context)
        call.arguments += ["-certs", str(signer_certificate)]
        return others, secret

    def _token(self, options: OsslsigncodeOptions, context: SigningContext) -> list[str]:
        if options.module is None:
            hint = "name the token's PKCS #11 library"
            raise RecipeError("'module' is missing for a key in a token", hint=hint)
        engine = [] if options.engine is None else ["-pkcs11engine", located(options.engine, context.directory)]
        return [*engine, "-pkcs11module", located(options.module, context.directory)]


def _refuse_both(options: OsslsigncodeOptions) -> None:
    if options.key is not None or options.certificate is not None:
        hint = "leave out 'key' and 'certificate'"
        raise RecipeError("the PKCS #12 file has a key and a certificate", where="pkcs12", hint=hint)


def _named(options: OsslsigncodeOptions) -> tuple[str, str]:
    """Key and certificate, which are not in a PKCS #12 file."""
    if options.key is None or options.certificate is None:
        missing = "key" if options.key is None else "certificate"
        raise RecipeError(f"{missing!r} is missing", hint="give 'key' and 'certificate', or 'pkcs12'")
    return options.key, options.certificate


def _refuse_signed(image: Path) -> None:
    with image.open("rb") as file:
        head = file.read(pe.HEAD_SIZE)
        size = file.seek(0, os.SEEK_END)

    with raised_as(SigningError, of=FormatError):
        headers = pe.decode(head, size)
    if headers.security.size:
        hint = "let it sign first, or use sbsign, systemd-sbsign or pesign, which add theirs"
        raise SigningError("osslsigncode would replace the signature that the image has", hint=hint)
