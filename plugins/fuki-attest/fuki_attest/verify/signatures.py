"""Signatures in the forms that hardware gives them."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key
from fuki_build.errors import FormatError
from fuki_build.formats.asn1.x509 import HASHES, UNREADABLE

from fuki_attest.formats.tpm_quote import TpmSignature

_COMPONENT = 32


def verifies_p384(key: CertificatePublicKeyTypes, signature: tuple[int, int], signed: bytes) -> bool:
    """Whether an SNP report's signature is by a key: ECDSA P-384 with SHA-384, as r and s."""
    return isinstance(key, ec.EllipticCurvePublicKey) and _ecdsa(key, signature, signed, hashes.SHA384())


def verifies_p256(key: CertificatePublicKeyTypes | bytes, signature: bytes, signed: bytes) -> bool:
    """Whether a TDX quote's signature is by a key, which may be x and y in 64 bytes: ECDSA P-256 with SHA-256."""
    if isinstance(key, bytes):
        try:
            numbers = ec.EllipticCurvePublicNumbers(
                int.from_bytes(key[:_COMPONENT], "big"), int.from_bytes(key[_COMPONENT:], "big"), ec.SECP256R1()
            )
            key = numbers.public_key()
        except ValueError:
            return False
    pair = (int.from_bytes(signature[:_COMPONENT], "big"), int.from_bytes(signature[_COMPONENT:], "big"))
    return isinstance(key, ec.EllipticCurvePublicKey) and _ecdsa(key, pair, signed, hashes.SHA256())


def _ecdsa(
    key: ec.EllipticCurvePublicKey, signature: tuple[int, int], signed: bytes, algorithm: hashes.HashAlgorithm
) -> bool:
    try:
        key.verify(encode_dss_signature(*signature), signed, ec.ECDSA(algorithm))
    except (InvalidSignature, *UNREADABLE):
        return False
    return True


def verifies_tpm(spki: bytes, signature: TpmSignature, signed: bytes) -> bool:
    """Whether a TPM's signature is by a key. Raises `FormatError` for a hash that is not known."""
    if signature.algorithm not in HASHES:
        raise FormatError(f"the TPM's signature is over {signature.algorithm}, which is not known here")
    algorithm = HASHES[signature.algorithm]()

    try:
        key = load_der_public_key(spki)
        if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(signature.value, tuple):
            return _ecdsa(key, signature.value, signed, algorithm)
        if not isinstance(key, rsa.RSAPublicKey) or not isinstance(signature.value, bytes):
            return False
        if signature.scheme == "rsapss":
            scheme: padding.AsymmetricPadding = padding.PSS(padding.MGF1(algorithm), padding.PSS.AUTO)
        else:
            scheme = padding.PKCS1v15()
        key.verify(signature.value, signed, scheme, algorithm)
    except (InvalidSignature, *UNREADABLE):
        return False
    return True
