"""JSON Web Signatures in compact form: RFC 7515 (7.1, 4.1), algorithms of RFC 7518 (3.3, 3.4)."""

import base64
import json
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from fuki_build.errors import FormatError, SigningError
from fuki_build.formats.asn1.x509 import UNREADABLE, decode_public_key
from msgspec import Struct

_SHORTEST_RSA = 2048


class JwsAlgorithm(Struct, frozen=True):
    """An algorithm, its digest by hashlib's name, and the bytes of each of a signature's two numbers (0 for RSA)."""

    name: str
    digest: str
    component: int


_RSA = JwsAlgorithm("RS256", "sha256", 0)
_CURVES = {
    "secp256r1": JwsAlgorithm("ES256", "sha256", 32),
    "secp384r1": JwsAlgorithm("ES384", "sha384", 48),
    "secp521r1": JwsAlgorithm("ES512", "sha512", 66),
}


def algorithm_of(spki: bytes) -> JwsAlgorithm:
    """The algorithm of a key, a SubjectPublicKeyInfo in DER. Raises `SigningError` for a key that has none."""
    hint = "keys on P-256, P-384 and P-521 sign tokens, and RSA of 2048 bits or more"
    key = decode_public_key(spki)
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < _SHORTEST_RSA:
            raise SigningError(f"an RSA key of {key.key_size} bits signs no token", hint=hint)
        return _RSA
    if key.curve.name not in _CURVES:
        raise SigningError(f"a key on the curve {key.curve.name} signs no token", hint=hint)
    return _CURVES[key.curve.name]


def signing_input(algorithm: JwsAlgorithm, certificates: Sequence[bytes], payload: bytes) -> bytes:
    """Header and payload, as they are signed. `certificates` are DER, the key's own first."""
    header: dict[str, object] = {"alg": algorithm.name, "typ": "JWT"}
    if certificates:
        header["x5c"] = [base64.b64encode(certificate).decode() for certificate in certificates]
    return f"{_base64url(json.dumps(header, separators=(',', ':')).encode())}.{_base64url(payload)}".encode()


def encode_signature(algorithm: JwsAlgorithm, signature: bytes) -> str:
    """A signature as a token has it: of ECDSA both numbers in full, not DER. Raises `FormatError`."""
    if not algorithm.component:
        return _base64url(signature)
    try:
        r, s = decode_dss_signature(signature)
        return _base64url(b"".join(number.to_bytes(algorithm.component, "big") for number in (r, s)))
    except (OverflowError, *UNREADABLE) as error:
        raise FormatError("this is no signature of ECDSA in DER") from error


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
