"""CMS SignedData as Authenticode uses it: signatures in EFI images.

Sources: RFC 2315 (PKCS #7 1.5, which Authenticode follows), and Microsoft's "Windows Authenticode Portable Executable
Signature Format", 2008. What is read must be DER, but for the order in sets with a tag of their own.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier
from msgspec import Struct

from fuki_build.errors import FormatError
from fuki_build.formats.asn1 import der
from fuki_build.formats.asn1 import pkcs7 as schema

T = TypeVar("T")

SIGNED_DATA = "1.2.840.113549.1.7.2"
INDIRECT_DATA = "1.3.6.1.4.1.311.2.1.4"
_PE_IMAGE_DATA = "1.3.6.1.4.1.311.2.1.15"
_OPUS_INFO = "1.3.6.1.4.1.311.2.1.12"
CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
SIGNING_TIME = "1.2.840.113549.1.9.5"
NESTED_SIGNATURE = "1.3.6.1.4.1.311.2.4.1"
TIMESTAMP_TOKEN = "1.3.6.1.4.1.311.3.3.1"  # noqa: S105 - an object identifier
RSA = "1.2.840.113549.1.1.1"
ECDSA = {
    "sha256": "1.2.840.10045.4.3.2",
    "sha384": "1.2.840.10045.4.3.3",
    "sha512": "1.2.840.10045.4.3.4",
}
DIGESTS = {
    "sha1": "1.3.14.3.2.26",
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
}
"""Object identifiers by hashlib's names."""
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
    image = schema.PeImageData(flags=asn1.BitString(b"", 0), file=_raw(link))
    data = [_tlv(ObjectIdentifier(_PE_IMAGE_DATA)), _tlv(image)]

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
            type=ObjectIdentifier(_OPUS_INFO),
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
    signature_algorithm = _tlv(ObjectIdentifier(RSA if rsa else ECDSA[algorithm]))
    unsigned = (
        None
        if timestamp is None
        else [_tlv(_attribute(TIMESTAMP_TOKEN, _decode(asn1.TLV, timestamp, "the timestamp")))]
    )

    signer = schema.Asn1SignerInfo(
        version=1,
        sid=schema.IssuerAndSerial(issuer=_raw(issuer), serial=serial),
        digest_algorithm=_digest_algorithm(algorithm),
        attributes=[_raw(attribute) for attribute in der.items(der.value(attributes))],
        signature_algorithm=[signature_algorithm, _tlv(asn1.Null())] if rsa else [signature_algorithm],
        signature=signature,
        unsigned_attributes=unsigned,
    )

    signed = schema.SignedDataContent(
        version=1,
        digest_algorithms=_set(der.wrap(der.SEQUENCE, b"".join(map(asn1.encode_der, _digest_algorithm(algorithm))))),
        content_info=_content_info(INDIRECT_DATA, content),
        certificates=[_raw(c) for c in sorted(set(certificates))],
        crls=None,
        signer_infos=_set(asn1.encode_der(signer)),
    )

    return asn1.encode_der(_content_info(SIGNED_DATA, asn1.encode_der(signed)))


def decode(data: bytes) -> SignedData:
    """Decode a signature; bytes behind its outer length are padding. Raises `FormatError` for anything else."""
    outer = _decode(schema.ContentInfo, data[: der.total_size(data)], "the signature")
    if outer.type.dotted_string != SIGNED_DATA:
        raise FormatError("the signature is no SignedData")

    signed = _decode(schema.SignedDataContent, asn1.encode_der(outer.content), "the signature's SignedData")
    if signed.content_info.type.dotted_string != INDIRECT_DATA:
        raise FormatError("the signature is not about an image (no SpcIndirectDataContent)")

    content = asn1.encode_der(signed.content_info.content)
    image_digest = _decode(schema.IndirectData, content, "the signature's digest").message_digest

    return SignedData(
        algorithm=_algorithm_name(image_digest.algorithm),
        digest=image_digest.digest,
        content=der.value(content),
        certificates=tuple(asn1.encode_der(certificate) for certificate in signed.certificates or ()),
        signers=tuple(
            _signer(_decode(schema.Asn1SignerInfo, info, "a signer")) for info in _members(signed.signer_infos)
        ),
        digest_algorithms=tuple(_algorithm_name(_algorithm(item)) for item in _members(signed.digest_algorithms)),
        firmware_algorithm=firmware_algorithm(data),
    )


def _algorithm(data: bytes) -> schema.Algorithm:
    if data[0] != der.SEQUENCE:
        raise FormatError("a digest algorithm of the signature is none")
    return [_raw(item) for item in der.items(der.value(data))]


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


def octet_string(data: bytes) -> bytes:
    """The content of an OCTET STRING in DER, such as a messageDigest. Raises `FormatError`."""
    return _decode(bytes, data, "an octet string")


def object_identifier(data: bytes) -> str:
    """An OBJECT IDENTIFIER in DER as dotted text. Raises `FormatError`."""
    return _decode(ObjectIdentifier, data, "an object identifier").dotted_string


def time_of(data: bytes) -> datetime:
    """A signingTime in DER. Raises `FormatError`."""
    if data[:1] == b"\x17":
        return _decode(asn1.UTCTime, data, "the signing time").as_datetime()
    return _decode(asn1.GeneralizedTime, data, "the signing time").as_datetime()


def issuer_and_serial(certificate: bytes) -> tuple[bytes, int]:
    """How a SignerInfo identifies a certificate: by its issuer's name in DER, and its serial number."""
    tbs = _decode(schema.Asn1Certificate, certificate, "a certificate").tbs
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
    attribute = _decode(schema.Attribute, asn1.encode_der(raw), "an attribute of the signature")
    return attribute.type.dotted_string, _members(attribute.values)


def _set(*members: bytes) -> asn1.TLV:
    return _raw(der.wrap(der.SET, b"".join(members)))


def _members(values: asn1.TLV) -> list[bytes]:
    """The members of a SET OF, in any order. Raises `FormatError`."""
    data = asn1.encode_der(values)
    if data[0] != der.SET:
        raise FormatError("a part of the signature is not the set that it should be")
    return der.items(der.value(data))


def _attribute(name: str, value: object) -> schema.Attribute:
    return schema.Attribute(type=ObjectIdentifier(name), values=_set(asn1.encode_der(value)))


def _content_info(name: str, content: bytes) -> schema.ContentInfo:
    return schema.ContentInfo(type=ObjectIdentifier(name), content=_raw(content))


def _digest_algorithm(name: str) -> schema.Algorithm:
    return [_tlv(ObjectIdentifier(DIGESTS[name])), _tlv(asn1.Null())]


def _digest_name(algorithm: schema.Algorithm) -> str:
    name = _algorithm_name(algorithm)
    if name not in DIGESTS:
        raise FormatError(f"the signature's digest algorithm {name} is not known")
    return name


def _tlv(value: object) -> asn1.TLV:
    return asn1.decode_der(asn1.TLV, asn1.encode_der(value))


def _raw(data: bytes) -> asn1.TLV:
    return _decode(asn1.TLV, data, "a part of the signature")


def _decode(kind: type[T], data: bytes, description: str) -> T:
    try:
        return asn1.decode_der(kind, data)
    except (ValueError, OverflowError) as error:
        raise FormatError(f"{description} is not what DER and PKCS #7 ask for") from error
