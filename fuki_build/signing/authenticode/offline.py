"""Signing where the key is not: digests go out, signatures come in, in one JSON document that grows on the way."""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta, Struct

from fuki_build.errors import FormatError, SigningError, raised_as
from fuki_build.formats.asn1 import x509
from fuki_build.formats.documents import Document, decode_document
from fuki_build.formats.pe import authenticode as table
from fuki_build.image.assembly import Assembly
from fuki_build.signing.authenticode.sign import assemble, to_sign
from fuki_build.signing.key_requirements import check_usable
from fuki_build.signing.request import DigestAlgorithm


class SigningItem(
    Struct, frozen=True, rename="kebab", omit_defaults=True, tag_field="purpose", forbid_unknown_fields=True
):
    """What is to be signed: `digest` is `message`'s (base64), made with `algorithm`, in hex.

    Whoever signs adds `signature`, in base64: PKCS #1 v1.5 for RSA keys, ECDSA in DER for others.
    """

    algorithm: DigestAlgorithm
    digest: Annotated[str, Meta(pattern="^[0-9a-f]+$")]
    message: str
    signature: str | None = None


class ImageItem(SigningItem, frozen=True, tag="image"):
    """An image's signature: `image_digest` is Authenticode's, in hex; `certificates` are PEM, the signer's first."""

    image_digest: str = ""
    signing_time: int | None = None
    certificates: str | None = None


class PolicyItem(SigningItem, frozen=True, kw_only=True, tag="pcr-policy"):
    """A PCR policy's signature: `policy` is its digest in hex, `key` the fingerprint of the key that is to sign."""

    profile: int | None = None
    bank: str = ""
    policy: str = ""
    key: str = ""
    reference: str | None = None


class SigningDocument(Document, frozen=True, forbid_unknown_fields=True):
    """What `fuki digests` prints, and `fuki attach` reads."""

    image: str
    digests: tuple[ImageItem | PolicyItem, ...]


def image_item(assembly: Assembly, algorithm: DigestAlgorithm, time: datetime | None = None) -> ImageItem:
    """The item for an image whose digests, `algorithm` among them, are known."""
    image_digest = assembly.digest_to_sign(algorithm)
    _, message = to_sign(bytes.fromhex(image_digest), algorithm, time)
    return ImageItem(
        algorithm=algorithm,
        digest=hashlib.new(algorithm, message).hexdigest(),
        message=base64.b64encode(message).decode(),
        image_digest=image_digest,
        signing_time=None if time is None else int(time.timestamp()),
    )


def decode(data: bytes) -> SigningDocument:
    """Decode a document with signatures in it. Raises `FormatError`."""
    try:
        return decode_document(data, SigningDocument)
    except FormatError as error:
        hint = "it is what 'fuki digests' printed, with a signature in each item"
        raise FormatError(f"this is not a document with signatures: {error.message}", hint=hint) from error


def certificate_entry(item: ImageItem, assembly: Assembly, certificates: Sequence[bytes], where: str) -> bytes:
    """An entry of a certificate table from a signed item.

    `certificates` are those for items that have none. Raises `SigningError` at `where` for a signature that is not
    over this image, or that the certificate's key did not make.
    """
    try:
        time = None if item.signing_time is None else datetime.fromtimestamp(item.signing_time, UTC)
    except (ValueError, OverflowError, OSError):
        raise SigningError("the signing time is no time", where=f"{where}.signing-time") from None

    content, attributes = to_sign(bytes.fromhex(assembly.digest_to_sign(item.algorithm)), item.algorithm, time)
    if hashlib.new(item.algorithm, attributes).hexdigest() != item.digest:
        hint = "ask for its digests again with 'fuki digests'"
        raise SigningError("the signature is for another image than this one", where=f"{where}.digest", hint=hint)

    own = _certificates(item, where) or list(certificates)
    if not own:
        hint = "add certificates, in PEM, to the item, or give --certificate"
        raise SigningError("there is no certificate for the signature", where=f"{where}.certificates", hint=hint)

    try:
        check_usable(own[0])
        return table.encode_certificate(assemble(content, attributes, item.algorithm, _signature(item), own))
    except SigningError as error:
        error.where = where if error.where is None else f"{where}.{error.where}"
        raise


def _certificates(item: ImageItem, where: str) -> list[bytes]:
    with raised_as(SigningError, f"{where}.certificates", of=FormatError):
        return x509.decode_certificates(item.certificates.encode()) if item.certificates else []


def _signature(item: ImageItem) -> bytes:
    try:
        return base64.b64decode(item.signature or "", validate=True)
    except binascii.Error:
        raise SigningError("the signature is not in base64", where="signature") from None
