"""The ASN.1 of PKCS #7 1.5 (RFC 2315) and X.509, as far as signatures of images need it.

Sets are lists or any values here: signers order them as they like, and OpenSSL takes them so.
"""

from typing import Annotated

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

Algorithm = list[asn1.TLV]
"""AlgorithmIdentifier: an object identifier, then parameters of any type, or none."""


@asn1.sequence
class Attribute:
    type: ObjectIdentifier
    values: asn1.TLV


@asn1.sequence
class ContentInfo:
    type: ObjectIdentifier
    content: Annotated[asn1.TLV, asn1.Explicit(0)]


@asn1.sequence
class IssuerAndSerial:
    issuer: asn1.TLV
    serial: int


@asn1.sequence
class Asn1SignerInfo:
    version: int
    sid: IssuerAndSerial
    digest_algorithm: Algorithm
    attributes: Annotated[list[asn1.TLV] | None, asn1.Implicit(0)]
    signature_algorithm: Algorithm
    signature: bytes
    unsigned_attributes: Annotated[list[asn1.TLV] | None, asn1.Implicit(1)]


@asn1.sequence
class SignedDataContent:
    version: int
    digest_algorithms: asn1.TLV
    content_info: ContentInfo
    certificates: Annotated[list[asn1.TLV] | None, asn1.Implicit(0)]
    crls: Annotated[list[asn1.TLV] | None, asn1.Implicit(1)]
    signer_infos: asn1.TLV


@asn1.sequence
class DigestInfo:
    algorithm: Algorithm
    digest: bytes


@asn1.sequence
class IndirectData:
    data: list[asn1.TLV]
    message_digest: DigestInfo


@asn1.sequence
class PeImageData:
    flags: asn1.BitString
    file: asn1.TLV


@asn1.sequence
class TbsCertificate:
    version: Annotated[int | None, asn1.Explicit(0)]
    serial: int
    signature: asn1.TLV
    issuer: asn1.TLV
    validity: asn1.TLV
    subject: asn1.TLV
    key: asn1.TLV
    issuer_id: Annotated[asn1.BitString | None, asn1.Implicit(1)]
    subject_id: Annotated[asn1.BitString | None, asn1.Implicit(2)]
    extensions: Annotated[list[asn1.TLV] | None, asn1.Explicit(3)]


@asn1.sequence
class Asn1Certificate:
    tbs: TbsCertificate
    algorithm: asn1.TLV
    signature: asn1.TLV
