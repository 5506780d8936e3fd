"""Single values in DER, from and to Python's own types."""

from datetime import datetime
from typing import TypeVar

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

from fuki_build.errors import FormatError

T = TypeVar("T")


def decode_as(kind: type[T], data: bytes, description: str) -> T:
    """A value of a type that `asn1` knows. Raises `FormatError`, which names what it was to be by `description`."""
    try:
        return asn1.decode_der(kind, data)
    except (ValueError, OverflowError) as error:
        raise FormatError(f"{description} is not what DER and PKCS #7 ask for") from error


def octet_string(data: bytes) -> bytes:
    """The content of an OCTET STRING in DER, such as a messageDigest. Raises `FormatError`."""
    return decode_as(bytes, data, "an octet string")


def object_identifier(data: bytes) -> str:
    """An OBJECT IDENTIFIER in DER as dotted text. Raises `FormatError`."""
    return decode_as(ObjectIdentifier, data, "an object identifier").dotted_string


def time_of(data: bytes) -> datetime:
    """A signingTime in DER. Raises `FormatError`."""
    if data[:1] == b"\x17":
        return decode_as(asn1.UTCTime, data, "the signing time").as_datetime()
    return decode_as(asn1.GeneralizedTime, data, "the signing time").as_datetime()


def as_tlv(value: object) -> asn1.TLV:
    """A value with its tag and length."""
    return asn1.decode_der(asn1.TLV, asn1.encode_der(value))


def parse_tlv(data: bytes) -> asn1.TLV:
    """Any one value in DER. Raises `FormatError`."""
    return decode_as(asn1.TLV, data, "a part of the signature")
