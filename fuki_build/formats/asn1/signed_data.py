"""CMS SignedData as Authenticode uses it: signatures in EFI images.

Sources: RFC 2315 (PKCS #7 1.5, which Authenticode follows), and Microsoft's "Windows Authenticode Portable Executable
Signature Format", 2008. What is read must be DER, but for the order in sets with a tag of their own.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier
from msgspec import Struct

from fuki_build.errors import FormatError
from fuki_build.formats.asn1 import der
from fuki_build.formats.asn1 import pkcs7 as schema
from fuki_build.formats.asn1.object_identifiers import (
    CONTENT_TYPE,
    DIGESTS,
    ECDSA,
    INDIRECT_DATA,
    MESSAGE_DIGEST,
    NESTED_SIGNATURE,
    OPUS_INFO,
    PE_IMAGE_DATA,
    RSA,
    SIGNED_DATA,
    SIGNING_TIME,
    TIMESTAMP_TOKEN,
)
from fuki_build.formats.asn1.values import as_tlv, decode_as, object_identifier, parse_tlv

_DIGEST_NAMES = {oid: name for name, oid in DIGESTS.items()}
_FIRMWARE_LOOKS_AT = 32
"""Where edk2 (HashPeImageByType) expects the identifier of the first digest algorithm, without decoding the rest."""
_TWO_BYTE_LENGTH = 0x82
"""The bits that it requires of the outer length's first byte."""
_UTC_TIME_ENDS = 2050


class SignerInfo(Struct, frozen=True, kw_only=True):
    """One SignerInfo. `issuer` is a Name in DER; `attributes` has each signed attribute's DER value by identifier.

    `signed` is the content that the signature covers: the attributes as a SET OF in DER; None without attributes, where
    the signature covers the content itself. `nested` counts the complete signatures in the unsigned attributes.
    """

    issuer: bytes
    serial: int
    digest_algorithm: str
    attributes: Mapping[str, bytes]
    signed: bytes | None
    signature: bytes
    timestamp: bytes | None
    nested: int = 0


class SignedData(Struct, frozen=True, kw_only=True):
    """An Authenticode signature: the image's digest, certificates in DER, and signers.

    `algorithm` is the one stated for the digest, `digest_algorithms` those that the SignedData announces, unknown ones
    as dotted text. `firmware_algorithm` is the one that firmware hashes the image with, None where it cannot tell.
    `content` is covered by the signers' messageDigest: the indirect data without its outer tag and length.
    """

    algorithm: str
    digest: bytes
    content: bytes
    certificates: tuple[bytes, ...]
    signers: tuple[SignerInfo, ...]
    digest_algorithms: tuple[str, ...]
    firmware_algorithm: str | None

    def certificate_of(self, signer: SignerInfo) -> bytes | None:
        """The signer's certificate, or None if the signature does not include it."""
        identity = (signer.issuer, signer.serial)
        return next((c for c in self.certificates if issuer_and_serial(c) == identity), None)


def indirect_data(digest: bytes, algorithm: str) -> bytes:
    """SpcIndirectDataContent in DER: the digest of an image, computed with hashlib's `algorithm`."""
    # SpcLink of the file form, as every tool fills it in.
    text = "<<<Obsolete>>>".encode("utf-16-be")
    link = der.wrap(0xA0, der.wrap(0xA2, der.wrap(0x80, text)))
    image = schema.PeImageData(flags=asn1.BitString(b"", 0), file=parse_tlv(link))
    data = [as_tlv(ObjectIdentifier(PE_IMAGE_DATA)), as_tlv(image)]

    digest_info = schema.DigestInfo(algorithm=_digest_algorithm(algorithm), digest=digest)
    return asn1.encode_der(schema.IndirectData(data=data, message_digest=digest_info))


def signed_attributes(content: bytes, algorithm: str, time: datetime | None = None) -> bytes:
    """The signed attributes, as a SET OF in DER; `content` is the result of `indirect_data`."""
    digest = hashlib.new(algorithm, der.value(content)).digest()

    attributes = [
        _attribute(CONTENT_TYPE, ObjectIdentifier(INDIRECT_DATA)),
        _attribute(MESSAGE_DIGEST, digest),
        # An SpcSpOpusInfo without fields.
        schema.Attribute(
            type=ObjectIdentifier(OPUS_INFO),
            values=_set(der.wrap(der.SEQUENCE, b"")),
        ),
    ]

    # Dates from 2050 on do not fit a UTCTime (RFC 5652, 11.3).
    if time is not None:
        moment = time.astimezone(UTC)
        kind = asn1.UTCTime if moment.year < _UTC_TIME_ENDS else asn1.GeneralizedTime
        attributes.append(_attribute(SIGNING_TIME, kind(moment)))

    # DER orders the members of a SET OF by their encodings.
    return der.wrap(der.SET, b"".join(sorted(asn1.encode_der(attribute) for attribute in attributes)))


def encode(
    content: bytes,
    attributes: bytes,
    algorithm: str,
    signature: bytes,
    certificates: Sequence[bytes],
    *,
    rsa: bool,
    timestamp: bytes | None = None,
) -> bytes:
    """A ContentInfo in DER with one signer, whose certificate comes first. Raises `FormatError` if it is not one."""
    issuer, serial = issuer_and_serial(certificates[0])
    signature_algorithm = as_tlv(ObjectIdentifier(RSA if rsa else ECDSA[algorithm]))
    unsigned = (
        None
        if timestamp is None
        else [as_tlv(_attribute(TIMESTAMP_TOKEN, decode_as(asn1.TLV, timestamp, "the timestamp")))]
    )

    signer = schema.Asn1SignerInfo(
        version=1,
        sid=schema.IssuerAndSerial(issuer=parse_tlv(issuer), serial=serial),
        digest_algorithm=_digest_algorithm(algorithm),
        attributes=[parse_tlv(attribute) for attribute in der.items(der.value(attributes))],
        signature_algorithm=[signature_algorithm, as_tlv(asn1.Null())] if rsa else [signature_algorithm],
        signature=signature,
        unsigned_attributes=unsigned,
    )

    signed = schema.SignedDataContent(
        version=1,
        digest_algorithms=_set(der.wrap(der.SEQUENCE, b"".join(map(asn1.encode_der, _digest_algorithm(algorithm))))),
        content_info=_content_info(INDIRECT_DATA, content),
        certificates=[parse_tlv(c) for c in sorted(set(certificates))],
        crls=None,
        signer_infos=_set(asn1.encode_der(signer)),
    )

    return asn1.encode_der(_content_info(SIGNED_DATA, asn1.encode_der(signed)))


def decode(data: bytes) -> SignedData:
    """Decode a signature; bytes behind its outer length are padding. Raises `FormatError` for anything else."""
    outer = decode_as(schema.ContentInfo, data[: der.total_size(data)], "the signature")
    if outer.type.dotted_string != SIGNED_DATA:
        raise FormatError("the signature is no SignedData")

    signed = decode_as(schema.SignedDataContent, asn1.encode_der(outer.content), "the signature's SignedData")
    if signed.content_info.type.dotted_string != INDIRECT_DATA:
        raise FormatError("the signature is not about an image (no SpcIndirectDataContent)")

    content = asn1.encode_der(signed.content_info.content)
    image_digest = decode_as(schema.IndirectData, content, "the signature's digest").message_digest

    return SignedData(
        algorithm=_algorithm_name(image_digest.algorithm),
        digest=image_digest.digest,
        content=der.value(content),
        certificates=tuple(asn1.encode_der(certificate) for certificate in signed.certificates or ()),
        signers=tuple(
            _signer(decode_as(schema.Asn1SignerInfo, info, "a signer")) for info in _members(signed.signer_infos)
        ),
        digest_algorithms=tuple(_algorithm_name(_algorithm(item)) for item in _members(signed.digest_algorithms)),
        firmware_algorithm=firmware_algorithm(data),
    )


def _algorithm(data: bytes) -> schema.Algorithm:
    if data[0] != der.SEQUENCE:
        raise FormatError("a digest algorithm of the signature is none")
    return [parse_tlv(item) for item in der.items(der.value(data))]


def _algorithm_name(algorithm: schema.Algorithm) -> str:
    """Hashlib's name, or dotted text for an algorithm that is not known."""
    if not algorithm:
        raise FormatError("the signature does not name its digest algorithm")
    name = object_identifier(asn1.encode_der(algorithm[0]))
    return _DIGEST_NAMES.get(name, name)


def firmware_algorithm(data: bytes) -> str | None:
    """The algorithm that firmware hashes an image with for a signature, which it finds without decoding the latter.

    None where firmware skips the signature.
    """
    if len(data) < 2 or data[1] & _TWO_BYTE_LENGTH != _TWO_BYTE_LENGTH:
        return None

    values = {name: der.value(asn1.encode_der(ObjectIdentifier(oid))) for name, oid in DIGESTS.items()}
    return next((name for name, value in values.items() if data.startswith(value, _FIRMWARE_LOOKS_AT)), None)


def _signer(info: schema.Asn1SignerInfo) -> SignerInfo:
    attributes = _attributes(info.attributes or [])
    signed = None
    if info.attributes is not None:
        signed = der.wrap(der.SET, b"".join(map(asn1.encode_der, info.attributes)))
    unsigned = [_attribute_values(attribute) for attribute in info.unsigned_attributes or ()]

    return SignerInfo(
        issuer=asn1.encode_der(info.sid.issuer),
        serial=info.sid.serial,
        digest_algorithm=_digest_name(info.digest_algorithm),
        attributes=attributes,
        signed=signed,
        signature=info.signature,
        timestamp=next((values[0] for name, values in unsigned if name == TIMESTAMP_TOKEN and values), None),
        nested=sum(len(values) for name, values in unsigned if name == NESTED_SIGNATURE),
    )


def issuer_and_serial(certificate: bytes) -> tuple[bytes, int]:
    """How a SignerInfo identifies a certificate: by its issuer's name in DER, and its serial number."""
    tbs = decode_as(schema.Asn1Certificate, certificate, "a certificate").tbs
    return asn1.encode_der(tbs.issuer), tbs.serial


def _attributes(raw: Sequence[asn1.TLV]) -> dict[str, bytes]:
    """The first value of each attribute. Raises `FormatError` where one is repeated or empty."""
    attributes: dict[str, bytes] = {}

    for item in raw:
        name, values = _attribute_values(item)
        if len(values) != 1 or name in attributes:
            raise FormatError(f"the signature's attribute {name} does not have one value")
        attributes[name] = values[0]

    return attributes


def _attribute_values(raw: asn1.TLV) -> tuple[str, list[bytes]]:
    attribute = decode_as(schema.Attribute, asn1.encode_der(raw), "an attribute of the signature")
    return attribute.type.dotted_string, _members(attribute.values)


def _set(*members: bytes) -> asn1.TLV:
    return parse_tlv(der.wrap(der.SET, b"".join(members)))


def _members(values: asn1.TLV) -> list[bytes]:
    """The members of a SET OF, in any order. Raises `FormatError`."""
    data = asn1.encode_der(values)
    if data[0] != der.SET:
        raise FormatError("a part of the signature is not the set that it should be")
    return der.items(der.value(data))


def _attribute(name: str, value: object) -> schema.Attribute:
    return schema.Attribute(type=ObjectIdentifier(name), values=_set(asn1.encode_der(value)))


def _content_info(name: str, content: bytes) -> schema.ContentInfo:
    return schema.ContentInfo(type=ObjectIdentifier(name), content=parse_tlv(content))


def _digest_algorithm(name: str) -> schema.Algorithm:
    return [as_tlv(ObjectIdentifier(DIGESTS[name])), as_tlv(asn1.Null())]


def _digest_name(algorithm: schema.Algorithm) -> str:
    name = _algorithm_name(algorithm)
    if name not in DIGESTS:
        raise FormatError(f"the signature's digest algorithm {name} is not known")
    return name
