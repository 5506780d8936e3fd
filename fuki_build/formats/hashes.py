"""Hash algorithms by name: hashlib's, and SM3 where Python's OpenSSL was built without it."""

import hashlib
from collections.abc import Mapping
from typing import Any, Protocol, Self

SIZES: Mapping[str, int] = {
    "sha1": 20,
    "sha256": 32,
    "sha384": 48,
    "sha512": 64,
    "sm3": 32,
    "sha3_256": 32,
    "sha3_384": 48,
    "sha3_512": 64,
}
"""Algorithms of TPM banks, with the sizes of their digests in bytes (TCG, "Algorithm Registry")."""


class Hash(Protocol):
    """The interface of hashlib's hashes; a copy can be fed further without changing the original."""

    def update(self, data: bytes | memoryview, /) -> None: ...
    def copy(self) -> "Hash": ...
    def digest(self) -> bytes: ...
    def hexdigest(self) -> str: ...


def new_hash(algorithm: str, data: bytes = b"") -> Hash:
    """A hash that was fed `data`. Raises `ValueError` for an unknown algorithm."""
    if algorithm == "sm3" and algorithm not in hashlib.algorithms_available:
        return _Sm3.of(data)
    return hashlib.new(algorithm, data, usedforsecurity=False)


class _Sm3:
    """SM3 (GB/T 32905-2016) of cryptography's OpenSSL, with the methods of hashlib's hashes."""

    def __init__(self, context: Any) -> None:  # noqa: ANN401 - loaded where it is needed
        self._context = context

    @classmethod
    def of(cls, data: bytes) -> Self:
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - slow to load

        context = hashes.Hash(hashes.SM3())
        context.update(data)
        return cls(context)

    def update(self, data: bytes | memoryview, /) -> None:
        self._context.update(data)

    def copy(self) -> "_Sm3":
        return _Sm3(self._context.copy())

    def digest(self) -> bytes:
        return bytes(self._context.copy().finalize())

    def hexdigest(self) -> str:
        return self.digest().hex()
