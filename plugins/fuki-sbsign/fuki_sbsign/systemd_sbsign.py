"""systemd-sbsign, since systemd 257."""

from pathlib import Path
from typing import Annotated

from fuki_build.errors import RecipeError
from fuki_build.hooks import KeyPreview, SigningContext
from msgspec import Meta

from fuki_sbsign import keys
from fuki_sbsign.call import Call
from fuki_sbsign.keys import KeyOptions
from fuki_sbsign.program import ProgramSigner

_CREDENTIAL = "sbsign.private-key-pin"
"""Credential in which systemd-sbsign looks for a PIN before it asks on terminals and agents (src/sbsign/sbsign.c)."""


class SystemdSbsignOptions(KeyOptions, frozen=True, kw_only=True):
    key: Annotated[str, Meta(min_length=1, description="the private key: PEM, or what the engine or provider takes")]
    key_source: Annotated[
        str, Meta(pattern="^(file|(engine|provider):.+)$", description="file, engine:NAME or provider:NAME")
    ] = "file"
    certificate: Annotated[
        str, Meta(min_length=1, description="the signer's certificate: PEM, DER, or what the provider takes")
    ]
    certificate_source: Annotated[str, Meta(pattern="^(file|provider:.+)$", description="file or provider:NAME")] = (
        "file"
    )


class SystemdSbsign(ProgramSigner):
    """systemd-sbsign, with SHA-256. SOURCE_DATE_EPOCH is the time of signing where it is set.

    >>> SystemdSbsign.Options(key="pkcs11:object=db", key_source="provider:pkcs11", certificate="db.crt").key_source
    'provider:pkcs11'
    """

    name = "systemd-sbsign"
    Options = SystemdSbsignOptions
    packages = "Debian: systemd-repart; Fedora, Arch: systemd"
    directories = ("/usr/lib/systemd", "/lib/systemd")

    def preview_key(self, options: SystemdSbsignOptions, context: SigningContext) -> KeyPreview:
        key = options.key if options.key_source == "file" else None
        certificate = options.certificate if options.certificate_source == "file" else None
        return keys.preview(key, certificate, options, context)

    def prepare(
        self, call: Call, image: Path, output: Path, options: SystemdSbsignOptions, context: SigningContext
    ) -> None:
        if options.key_source == "file":
            key, secret = keys.unlock_file(call, options.key, options, context)
            if secret is not None:
                call.answer(secret)
        else:
            key, secret = keys.unlock_token(call, options.key, options, context)
            keys.use_module(call, options.module, context)
            _give_pin(call, secret)

        call.arguments += ["sign", f"--private-key={key}", f"--private-key-source={options.key_source}"]
        call.arguments += self._certificate(call, options, context)
        call.arguments += [f"--output={output}", str(image)]

    def _certificate(self, call: Call, options: SystemdSbsignOptions, context: SigningContext) -> list[str]:
        if options.certificate_source != "file":
            keys.in_token(options.certificate, "certificate")
            return [f"--certificate={options.certificate}", f"--certificate-source={options.certificate_source}"]

        signer_certificate, others = keys.certificate(call, options.certificate, context)
        if others:
            hint = "take it out of the file, or sign with sbsign, osslsigncode or local"
            raise RecipeError(f"{self.name} cannot put in a further certificate", where="certificate", hint=hint)
        return [f"--certificate={signer_certificate}"]


def _give_pin(call: Call, pin: str | None) -> None:
    """Pass a PIN as a credential.

    Without a PIN, a directory in its place causes an error; otherwise systemd-sbsign would wait for an answer.
    """
    credential = call.directory / "credentials" / _CREDENTIAL
    credential.parent.mkdir()
    if pin is None:
        credential.mkdir()
    else:
        credential.symlink_to(call.secret_file(pin))
    call.environment["CREDENTIALS_DIRECTORY"] = str(credential.parent)
