"""Shared by all services: time limits, errors, and requirements on keys."""

import re
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from cryptography.hazmat.primitives.asymmetric import ec
from fuki_build.errors import FormatError, RecipeError, SigningError
from fuki_build.formats.asn1 import x509
from fuki_build.hooks import SigningKey
from msgspec import Struct

CONNECT_TIMEOUT = 10
READ_TIMEOUT = 30
"""Seconds for one attempt."""
ATTEMPTS = 3
MAX_PAUSE = 5
"""Longest pause in seconds between two attempts, whatever the service requests."""

_CURVES = ("secp256r1", "secp384r1")
_ENDPOINT = re.compile(r"https://[\w.-]+(:\d+)?/?|http://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?/?", re.ASCII)
_CODE = re.compile(r"[\w.:-]{1,80}", re.ASCII)


def check_endpoint(url: str, where: str) -> str:
    """A service's address without user and password. Raises `RecipeError`, which does not repeat the address."""
    if not _ENDPOINT.fullmatch(url):
        hint = "give https://HOST; http is for this machine only, because credentials go there"
        raise RecipeError("this is not the address of a service", where=where, hint=hint)
    return url.rstrip("/")


class Service(Struct, frozen=True, kw_only=True):
    """A service's terms, and the errors that all services share.

    Texts from a service's own errors are not repeated: they may quote the request, including credentials.
    """

    name: str
    login: str
    """How to provide credentials."""
    permissions: str
    """The permissions needed to read the public key and to sign."""
    usage: str
    """How a signing key must be created."""
    place: str
    """What identifies a key besides its name."""

    def without_credentials(self) -> SigningError:
        return SigningError(f"there are no usable credentials for {self.name}", hint=self.login)

    def bad_credentials(self) -> SigningError:
        hint = f"they may be wrong or have expired; {self.login}"
        return SigningError(f"the credentials for {self.name} are not accepted", hint=hint)

    def denied(self, key: str) -> SigningError:
        hint = f"the identity that fuki runs as needs {self.permissions}"
        return SigningError(f"{self.name} denies the use of the key {key}", where="key", hint=hint)

    def disabled(self, key: str) -> SigningError:
        hint = "it may be disabled, about to be deleted, or not ready yet; enable it, or name another one"
        return SigningError(f"the key {key} is not enabled in {self.name}", where="key", hint=hint)

    def not_for_signing(self, key: str) -> SigningError:
        return SigningError(f"the key {key} is not one to sign images with", where="key", hint=self.usage)

    def absent(self, key: str) -> SigningError:
        return SigningError(f"{self.name} has no key {key}", where="key", hint=f"look at {self.place}")

    def throttled(self) -> SigningError:
        return SigningError(f"{self.name} gets too many requests", hint="try again later, or have the quota raised")

    def broken(self) -> SigningError:
        return SigningError(f"{self.name} has a failure of its own", hint="try again later")

    def unreachable(self) -> SigningError:
        hint = "look at the network, at HTTPS_PROXY, and at the address of the service"
        return SigningError(f"{self.name} cannot be reached", hint=hint)

    def slow(self) -> SigningError:
        hint = "look at the network, and at the address of the service; what answers may be something else"
        return SigningError(f"{self.name} does not answer in time", hint=hint)

    def skewed(self) -> SigningError:
        hint = "set this machine's clock, for instance with a time service: requests are signed with its time"
        return SigningError(f"{self.name} does not accept the time of this machine", hint=hint)

    def untrusted(self, variable: str) -> SigningError:
        hint = f"{variable} names a file with further certificate authorities"
        return SigningError(f"the certificate of {self.name} is not trusted", hint=hint)

    def garbled(self) -> SigningError:
        hint = "the answer was damaged, or comes from something else: a proxy, or another address"
        return SigningError(f"{self.name} gave an answer that cannot be right", hint=hint)

    def refused(self, code: str) -> SigningError:
        """An error of the service without a function of its own; `code` is the service's."""
        known = code if _CODE.fullmatch(code) else "without a reason"
        return SigningError(f"{self.name} refuses the request: {known}", hint="its documentation tells more")


class RemoteKey(SigningKey):
    """A key that stays in a service. `algorithms` are the digests that it can sign, by hashlib's names."""

    service: ClassVar[Service]

    def __init__(self, name: str, public_key: bytes, algorithms: Sequence[str], certificates: Sequence[bytes]) -> None:
        if not algorithms or not _is_usable(public_key):
            raise self.service.not_for_signing(name)
        self.name = name
        self.public_key = public_key
        self.algorithms = algorithms
        self.certificates = certificates

    def sign(self, digest: bytes, algorithm: str) -> bytes:
        if algorithm not in self.algorithms:
            hint = f"it signs {' and '.join(self.algorithms)}"
            raise SigningError(f"the key {self.name} does not sign {algorithm} digests", where="key", hint=hint)

        signature = self.request_signature(digest, algorithm)
        if not x509.verifies(self.public_key, signature, digest, algorithm):
            raise self.service.garbled()
        return signature

    @abstractmethod
    def request_signature(self, digest: bytes, algorithm: str) -> bytes:
        """Have the service sign; returns a signature in the form of `SigningKey.sign`."""


def _is_usable(public_key: bytes) -> bool:
    """Whether a key is RSA, or on a curve that firmware may support."""
    try:
        key = x509.decode_public_key(public_key)
    except FormatError:
        return False
    return not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name in _CURVES
