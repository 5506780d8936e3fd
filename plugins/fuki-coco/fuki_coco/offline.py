"""ID blocks signed offline: digests go out, signatures come in, in one JSON document.

The form follows that of `fuki digests` for images.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Annotated, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from fuki_build.errors import FormatError, SigningError
from fuki_build.formats.confidential import id_block
from fuki_build.formats.confidential.id_block import IdAuth, IdBlock
from fuki_build.hooks import Document, View, decode_document
from msgspec import Meta

from fuki_coco import id_blocks


class IdBlockItem(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a key signs: `digest` in hex is the SHA-384 of `message`, in base64. Whoever signs adds `signature`.

    The signature is ECDSA's in DER, in base64. `public_key` is PEM.
    """

    purpose: Literal["id-block", "id-key"]
    public_key: str
    algorithm: Literal["sha384"]
    digest: Annotated[str, Meta(pattern="^[0-9a-f]{96}$")]
    message: str
    signature: str | None = None


class IdBlockDigestsDocument(Document, frozen=True, forbid_unknown_fields=True):
    """What `fuki id-block digests` prints, and `fuki id-block attach` reads."""

    id_block: str
    digests: tuple[IdBlockItem, ...]


def prepare(block: IdBlock, id_key: bytes, author_key: bytes | None) -> IdBlockDigestsDocument:
    """The document for public keys in PEM. Raises `SigningError` for a key that SEV-SNP does not take."""
    encoded = id_block.encode_block(block)
    items = [_item("id-block", id_key, encoded)]
    if author_key is not None:
        items.append(_item("id-key", author_key, _firmware_key(id_key)))
    return IdBlockDigestsDocument(base64.b64encode(encoded).decode(), tuple(items))


def _item(purpose: Literal["id-block", "id-key"], key: bytes, message: bytes) -> IdBlockItem:
    _firmware_key(key)
    digest = hashlib.sha384(message).hexdigest()
    return IdBlockItem(
        purpose=purpose,
        public_key=key.decode(),
        algorithm="sha384",
        digest=digest,
        message=base64.b64encode(message).decode(),
    )


def attach(data: bytes) -> tuple[bytes, bytes]:
    """The ID block and ID authentication of a signed document.

    Raises `FormatError` for anything but such a document, `SigningError` for a missing signature, and `MismatchError`
    for a wrong one.
    """
    try:
        document = decode_document(data, IdBlockDigestsDocument)
        block = base64.b64decode(document.id_block, validate=True)
    except (FormatError, binascii.Error) as error:
        raise FormatError("this is not what 'fuki id-block digests' prints") from error

    by_purpose = {item.purpose: item for item in document.digests}
    if "id-block" not in by_purpose or len(by_purpose) != len(document.digests):
        raise FormatError("the document must have one digest of the ID block, and at most one of the id key")

    fields = [part for item in _in_order(by_purpose) for part in (_signature(item), _public_key(item))]
    auth = id_block.encode_auth(IdAuth(*fields))
    id_blocks.verify(block, auth)

    return block, auth


def _in_order(items: dict[Literal["id-block", "id-key"], IdBlockItem]) -> Sequence[IdBlockItem]:
    return [items["id-block"], *([items["id-key"]] if "id-key" in items else [])]


def _signature(item: IdBlockItem) -> bytes:
    if item.signature is None:
        hint = f"sign this SHA-384 digest: {item.digest}"
        raise SigningError(f"the signature over the {item.purpose} is missing", hint=hint)
    try:
        return id_block.encode_signature(*decode_dss_signature(base64.b64decode(item.signature, validate=True)))
    except (ValueError, OverflowError) as error:
        raise FormatError(f"the signature over the {item.purpose} is not ECDSA's in DER and base64") from error


def _public_key(item: IdBlockItem) -> bytes:
    return _firmware_key(item.public_key.encode())


def _firmware_key(pem: bytes) -> bytes:
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        hint = "write it with: openssl pkey -in id.key -pubout -out id.pub"
        raise SigningError("this is no public key in PEM", hint=hint) from error
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return id_blocks.firmware_key(der)
