"""One Authenticode signature: from an image's digest and an open key to a SignedData."""

import hashlib
from collections.abc import Sequence
from datetime import datetime

from fuki_build.errors import FormatError, SigningError, raised_as
from fuki_build.formats.asn1 import signed_data, x509
from fuki_build.formats.pe.authenticode import encode_certificate
from fuki_build.hooks.signers import SigningKey
from fuki_build.signing.authenticode import timestamp
from fuki_build.signing.key_requirements import check_usable, source_date
from fuki_build.signing.request import DigestAlgorithm, Signer, SignRequest, errors_at


def check_key(signer: Signer) -> None:
    """Refuse a key that cannot sign images, before any work is done. Raises `SigningError` at its place."""
    if signer.key is not None:
        check_certificates(signer.request, signer.key.certificates, signer.key.public_key)


def check_certificates(request: SignRequest, certificates: Sequence[bytes], public_key: bytes | None) -> None:
    """Refuse certificates (DER, the signer's first) with which images cannot be signed; `public_key` is the key's.

    Raises `SigningError` at the signer's place.
    """
    with errors_at(request):
        if not certificates:
            hint = "firmware finds the key by its certificate, so a signature needs one"
            raise SigningError("there is no certificate for the key", where="certificate", hint=hint)
        check_usable(certificates[0])
        if public_key is not None and x509.public_key_of(certificates[0]) != public_key:
            subject = x509.subject(certificates[0])
            raise SigningError(f"the certificate {subject} is not that of the key", where="certificate")


def largest_entry(request: SignRequest, certificates: Sequence[bytes], digest: bytes) -> int:
    """The size of a certificate table's entry with a signature over an image's digest, in bytes.

    It is exact for RSA keys; ECDSA signatures may be some bytes shorter. Raises `FukiError`.
    """
    with errors_at(request):
        content, attributes = to_sign(digest, request.digest, signing_time(request))
        with raised_as(SigningError, "certificate", of=FormatError):
            public_key = x509.public_key_of(certificates[0])
            blank = bytes(x509.largest_signature(public_key))
            rsa = x509.is_rsa(public_key)
            signature = signed_data.encode(content, attributes, request.digest, blank, certificates, rsa=rsa)

    return len(encode_certificate(signature))


def to_sign(digest: bytes, algorithm: DigestAlgorithm, time: datetime | None = None) -> tuple[bytes, bytes]:
    """For an image's digest: the content of a SignedData, and the attributes whose digest a key signs, both in DER."""
    content = signed_data.indirect_data(digest, algorithm)
    return content, signed_data.signed_attributes(content, algorithm, time)


def sign(key: SigningKey, request: SignRequest, digest: bytes) -> bytes:
    """The SignedData over an image's digest, in DER. The same each time, unless the request asks for a timestamp.

    Raises `SigningError`, also when what the backend gave was not made by the certificate's key.
    """
    with errors_at(request):
        content, attributes = to_sign(digest, request.digest, signing_time(request))
        signature = key.sign(hashlib.new(request.digest, attributes).digest(), request.digest)
        stamp = timestamp.request(request.timestamp, signature) if request.timestamp else None
        return assemble(content, attributes, request.digest, signature, key.certificates, stamp)


def signing_time(request: SignRequest) -> datetime | None:
    """SOURCE_DATE_EPOCH, where a time is asked for."""
    if not request.signing_time:
        return None
    time = source_date()
    if time is None:
        hint = "set SOURCE_DATE_EPOCH, so that the same build gives the same bytes"
        raise SigningError("there is no time to sign with", where="signing-time", hint=hint)
    return time


def assemble(
    content: bytes,
    attributes: bytes,
    algorithm: DigestAlgorithm,
    signature: bytes,
    certificates: Sequence[bytes],
    stamp: bytes | None = None,
) -> bytes:
    """A SignedData from its parts; `SigningError` where the first certificate's key did not make the signature."""
    with raised_as(SigningError, "certificate", of=FormatError):
        public_key = x509.public_key_of(certificates[0])
        digest = hashlib.new(algorithm, attributes).digest()
        if not x509.verifies(public_key, signature, digest, algorithm):
            subject = x509.subject(certificates[0])
            raise SigningError(f"the signature was not made by the key of {subject}")
        rsa = x509.is_rsa(public_key)
        return signed_data.encode(content, attributes, algorithm, signature, certificates, rsa=rsa, timestamp=stamp)
