"""Who is going to sign, found out without asking a key for anything: no secret, no login, no network."""

import hashlib
from collections.abc import Sequence

from msgspec import Struct

from fuki_build.errors import FormatError, SigningError, raised_as
from fuki_build.formats.asn1 import x509
from fuki_build.hooks.signers import FileSigner, KeyPreview, SigningContext
from fuki_build.image.layout import Layout
from fuki_build.image.signatures import with_table
from fuki_build.signing.authenticode.sign import check_certificates, largest_entry, signing_time
from fuki_build.signing.key_requirements import source_date
from fuki_build.signing.request import SignRequest, errors_at


class SignerPreview(Struct, frozen=True):
    """A signer that is not open, and what is known of its key."""

    request: SignRequest
    key: KeyPreview

    @property
    def certificate(self) -> bytes | None:
        """The signer's certificate in DER; None where it is not known, or there is none."""
        return self.key.certificates[0] if self.key.certificates else None


def preview_signer(request: SignRequest, context: SigningContext, *, signs_images: bool) -> SignerPreview:
    """Find out what opening a signer, and signing with it, would find out, as far as that is possible without its key.

    `signs_images` asks for what images need: a certificate that firmware may know. Raises `FukiError`, as these do.
    """
    context.withhold(request.options)
    context.note_options(request.options)
    backend = request.backend.thing
    with errors_at(request), request.backend.running():
        key = backend().preview(request.options, context)

    if issubclass(backend, FileSigner):
        source_date()
    if signs_images:
        _check(request, key)
    return SignerPreview(request, key)


def _check(request: SignRequest, key: KeyPreview) -> None:
    with errors_at(request):
        signing_time(request)
    if key.certificates is not None:
        check_certificates(request, key.certificates, key.public_key)
    elif key.public_key is not None:
        with errors_at(request), raised_as(SigningError, "key", of=FormatError):
            x509.decode_public_key(key.public_key)


def signed_size(layout: Layout, signers: Sequence[SignerPreview]) -> int | None:
    """The size of an image with these signatures, in bytes; None where it depends on what is not known yet.

    Programs decide for themselves what they write, timestamps are as long as their authorities make them, and ECDSA
    signatures differ in length.
    """
    if not signers:
        return layout.file_size

    entries = 0
    for signer in signers:
        certificates, request = signer.key.certificates, signer.request
        if not certificates or issubclass(request.backend.thing, FileSigner) or request.timestamp:
            return None
        if not x509.is_rsa(x509.public_key_of(certificates[0])):
            return None
        entries += largest_entry(request, certificates, bytes(hashlib.new(request.digest).digest_size))

    return with_table(layout, bytes(entries)).file_size
