"""New keys for Secure Boot (PK, KEK, db) and for PCR policies, and the files that firmware enrolls them from.

Everything but the keys follows from them and the names: validity and times are fixed, serial numbers are hashes.
"""

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import NamedTuple
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fuki_build.errors import RecipeError
from fuki_build.formats.asn1.private_key import PrivateKey
from fuki_build.formats.uefi import efi_signature_list, efi_time
from fuki_build.image.output_directory import NewFile
from fuki_build.signing.secure_boot.variable_update import SIGNED_BY, authenticate

_Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

NOT_BEFORE = datetime(2020, 1, 1, tzinfo=UTC)
"""Start of validity, and time of the `.auth` files. Firmware may have no clock worth the name; what it is given later
must be newer."""
NOT_AFTER = datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)
"""The last second that X.509 writes with a two-digit year."""
MAX_COMMON_NAME = 64
"""Of a certificate, in bytes of UTF-8 (RFC 5280, ub-common-name, counts characters; cryptography counts these)."""


class KeyType(StrEnum):
    RSA_2048 = "rsa2048"
    RSA_3072 = "rsa3072"
    RSA_4096 = "rsa4096"
    P256 = "p256"
    P384 = "p384"


_MAKERS: Mapping[KeyType, Callable[[], _Key]] = {
    KeyType.RSA_2048: partial(rsa.generate_private_key, 65537, 2048),
    KeyType.RSA_3072: partial(rsa.generate_private_key, 65537, 3072),
    KeyType.RSA_4096: partial(rsa.generate_private_key, 65537, 4096),
    KeyType.P256: partial(ec.generate_private_key, ec.SECP256R1()),
    KeyType.P384: partial(ec.generate_private_key, ec.SECP384R1()),
}

_VARIABLES = ("PK", "KEK", "db")


class _Identity(NamedTuple):
    key: _Key
    certificate: bytes


def make_secure_boot_keys(name: str, type_: KeyType, owner: UUID, passphrase: str | None = None) -> list[NewFile]:
    """PK, KEK and db: of each the key, certificate, signature list and `.auth` file; and the owner's GUID.

    `name` becomes the certificates' common name, with the variable's behind it. Raises `RecipeError` for one that is
    empty or too long.
    """
    identities = {}
    for variable in _VARIABLES:
        key = _MAKERS[type_]()
        identities[variable] = _Identity(key, make_certificate(f"{name} {variable}", key, signs_code=variable == "db"))

    files = [NewFile("owner.txt", f"{owner}\n".encode())]
    time = efi_time.of(NOT_BEFORE)

    for variable in _VARIABLES:
        key, certificate = identities[variable]
        signer = identities[SIGNED_BY[variable]]
        listed = efi_signature_list.encode([efi_signature_list.certificate_list(certificate, owner)])
        files += [
            NewFile(f"{variable}.key", encode_private_key(key, passphrase), secret=True),
            NewFile(f"{variable}.pem", x509.load_der_x509_certificate(certificate).public_bytes(Encoding.PEM)),
            NewFile(f"{variable}.esl", listed),
            NewFile(
                f"{variable}.auth",
                authenticate(variable, listed, time, PrivateKey(signer.key).sign, signer.certificate),
            ),
        ]

    return files


def make_pcr_key(type_: KeyType, passphrase: str | None = None) -> list[NewFile]:
    """A key for PCR policies, and its public half for `.pcrpkey`."""
    key = _MAKERS[type_]()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return [NewFile("pcr.key", encode_private_key(key, passphrase), secret=True), NewFile("pcr.pub", public)]


def encode_private_key(key: _Key, passphrase: str | None) -> bytes:
    """PKCS #8 in PEM, encrypted if there is a passphrase."""
    encryption = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase.encode())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def make_signing_key(common_name: str, validity: tuple[datetime, datetime]) -> tuple[bytes, bytes]:
    """A key that signs images, and its certificate, both in PEM. Raises as `make_certificate`."""
    key = _MAKERS[KeyType.RSA_2048]()
    certificate = make_certificate(common_name, key, signs_code=True, validity=validity)
    return encode_private_key(key, None), x509.load_der_x509_certificate(certificate).public_bytes(Encoding.PEM)


def make_certificate(
    common_name: str, key: _Key, *, signs_code: bool, validity: tuple[datetime, datetime] | None = None
) -> bytes:
    """A certificate in DER that signs itself. Raises `RecipeError` for a name that does not fit."""
    start, end = validity or (NOT_BEFORE, NOT_AFTER)

    if not common_name.isprintable() or len(common_name.encode()) > MAX_COMMON_NAME:
        raise RecipeError(
            f"{common_name!r} is no name for a certificate", hint=f"it has {MAX_COMMON_NAME} bytes at most"
        )

    public = key.public_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    encoded = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        # At most 20 bytes, and positive (RFC 5280, section 4.1.2.2).
        .serial_number(int.from_bytes(hashlib.sha256(encoded).digest()[:20]) >> 1)
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_DIGITAL_SIGNATURE, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )

    if signs_code:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
    return builder.sign(key, SHA256()).public_bytes(Encoding.DER)


_DIGITAL_SIGNATURE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
