"""sbsign, of sbsigntools."""

from pathlib import Path
from typing import Annotated

from fuki_build.hooks import CertificateOptions, KeyPreview, SigningContext
from msgspec import Meta

from fuki_sbsign import keys
from fuki_sbsign.call import Call
from fuki_sbsign.keys import KeyOptions
from fuki_sbsign.program import ProgramSigner


class SbsignOptions(KeyOptions, frozen=True, kw_only=True):
    key: Annotated[str, Meta(min_length=1, description="the private key: PEM, or with an engine what that takes")]
    certificate: Annotated[str, Meta(min_length=1, description="the signer's certificate: PEM or DER")]
    intermediates: Annotated[
        tuple[str, ...], Meta(description="further certificates to put into the signature: PEM or DER")
    ] = ()
    engine: Annotated[str | None, Meta(description="an OpenSSL engine that has the key: pkcs11, …")] = None


class Sbsign(ProgramSigner):
    """sbsign of sbsigntools, with SHA-256.

    >>> Sbsign.Options(key="pkcs11:object=db", certificate="db.crt", engine="pkcs11", pin="env:PIN").engine
    'pkcs11'
    """

    name = "sbsign"
    Options = SbsignOptions
    packages = "Debian: sbsigntool; Fedora, Arch: sbsigntools"

    def preview_key(self, options: SbsignOptions, context: SigningContext) -> KeyPreview:
        context.certificates(CertificateOptions(intermediates=options.intermediates))
        return keys.preview(options.key if options.engine is None else None, options.certificate, options, context)

    def prepare(self, call: Call, image: Path, output: Path, options: SbsignOptions, context: SigningContext) -> None:
        signer_certificate, others = keys.certificate(call, options.certificate, context)
        more = keys.additional(call, others, options.intermediates, context)

        if options.engine is None:
            key, secret = keys.unlock_file(call, options.key, options, context)
        else:
            key, secret = keys.unlock_token(call, options.key, options, context)
            keys.use_module(call, options.module, context)
            call.arguments += ["--engine", options.engine]

        if secret is not None:
            call.answer(secret)

        call.arguments += ["--key", key, "--cert", str(signer_certificate)]
        call.arguments += [] if more is None else ["--addcert", str(more)]
        call.arguments += ["--output", str(output), str(image)]
