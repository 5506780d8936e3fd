"""Results signed as JSON Web Tokens, by any backend that signs digests."""

import hashlib
from collections.abc import Sequence

from fuki_build import key_table, signing_key
from fuki_build.errors import SigningError, located
from fuki_build.formats.asn1 import x509
from fuki_build.hooks import SigningKey, encode_json

from fuki_attest.ear.result import AttestationResult
from fuki_attest.formats import jws


def in_text(result: AttestationResult, key: str | None, plugins: Sequence[str]) -> str:
    """The result as it is printed: a token signed with a key in inline TOML, or without one its claims in JSON.

    Raises `FukiError` for a key that cannot be used.
    """
    if key is None:
        return encode_json(result).decode()
    with signing_key(key_table(key, "--ear-key"), plugins, "ear-key") as opened:
        return f"{sign(result, opened)}\n"


def sign(result: AttestationResult, key: SigningKey) -> str:
    """The token in its compact form, with the key's certificates, if it has any. Raises `SigningError`."""
    with located("ear-key", SigningError):
        algorithm = jws.algorithm_of(key.public_key)
    signed = jws.signing_input(algorithm, key.certificates, encode_json(result, one_line=True).rstrip())

    digest = hashlib.new(algorithm.digest, signed).digest()
    signature = key.sign(digest, algorithm.digest)
    if not x509.verifies(key.public_key, signature, digest, algorithm.digest):
        raise SigningError("the signature is not one of the key over the token", where="ear-key")
    return f"{signed.decode()}.{jws.encode_signature(algorithm, signature)}"
