"""Azure Key Vault and Managed HSM, through Azure's clients. Sources: the REST API's reference and error codes."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import requests
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline.policies import RetryPolicy
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import DefaultAzureCredential
from azure.keyvault.keys import KeyClient, KeyVaultKey
from azure.keyvault.keys.crypto import CryptographyClient, SignatureAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fuki_build.errors import RecipeError, SigningError
from fuki_build.hooks import SigningContext

from fuki_kms.options import AzureOptions
from fuki_kms.remote import ATTEMPTS, CONNECT_TIMEOUT, MAX_PAUSE, READ_TIMEOUT, RemoteKey, Service
from fuki_kms.sessions import open_session
from fuki_kms.transport import call

# Each unsuccessful credential is logged as a warning, which would go to standard error.
logging.getLogger("azure").addHandler(logging.NullHandler())

_IDENTIFIER = re.compile(r"(https://[\w.-]+(?::\d+)?)/keys/([0-9A-Za-z-]{1,127})(?:/([0-9A-Za-z]+))?/?", re.ASCII)

_RSA = {
    "sha256": SignatureAlgorithm.rs256,
    "sha384": SignatureAlgorithm.rs384,
    "sha512": SignatureAlgorithm.rs512,
}
_CURVES: dict[str, tuple[type[ec.EllipticCurve], dict[str, SignatureAlgorithm]]] = {
    "P-256": (ec.SECP256R1, {"sha256": SignatureAlgorithm.es256}),
    "P-384": (ec.SECP384R1, {"sha384": SignatureAlgorithm.es384}),
}
"""Curve and signature algorithms of a key, by JSON Web Key's names of curves (RFC 7518, 3.4)."""

_SERVICE = Service(
    name="Azure Key Vault",
    login="set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, run 'az login', or use the identity of the "
    "machine or of the CI job; logging in needs the network",
    permissions="the role Key Vault Crypto User, or the key permissions get and sign, and the vault's firewall must "
    "let it in",
    usage="it must be RSA, or on the curve P-256 or P-384, and sign must be among its permitted operations",
    place="the vault, the name and the version",
)

_OUT_OF_TIME = "AADSTS700024"
"""The code for an assertion that is outside the issuer's time window."""

_OF_KEY: dict[str, Callable[[Service, str], SigningError]] = {
    "KeyDisabled": Service.disabled,
    "KeyOperationForbidden": Service.not_for_signing,
}
"""By the code of the inner error."""
_OF_STATUS: dict[int, Callable[[Service], SigningError]] = {
    401: Service.bad_credentials,
    429: Service.throttled,
    500: Service.broken,
    502: Service.broken,
    503: Service.broken,
    504: Service.broken,
}


class _Retries(RetryPolicy[Any, Any]):
    """A busy vault says when to retry; fuki does not wait for hours."""

    def get_retry_after(self, response: Any) -> float | None:  # noqa: ANN401 - a response of azure-core
        pause = super().get_retry_after(response)
        return pause and min(pause, MAX_PAUSE)


class AzureKey(RemoteKey):
    service = _SERVICE

    def __init__(self, key: KeyVaultKey, client: CryptographyClient, certificates: list[bytes]) -> None:
        public_key, self._algorithms = _public_key(key)
        self._client = client
        super().__init__(str(key.id), public_key, tuple(self._algorithms), certificates)

    def request_signature(self, digest: bytes, algorithm: str) -> bytes:
        with _problems(self.name):
            signature = self._client.sign(self._algorithms[algorithm], digest).signature
            return signature if self._algorithms is _RSA else _to_der(signature)


def check(options: AzureOptions) -> None:
    """Raise `RecipeError` for what no key is called."""
    _parts(options.key)


def _parts(key: str) -> Sequence[str]:
    """The vault, the name and the version of a key's identifier. Raises `RecipeError`."""
    identifier = _IDENTIFIER.fullmatch(key)
    if not identifier:
        hint = "give https://VAULT.vault.azure.net/keys/NAME/VERSION"
        raise RecipeError("this is not the identifier of a key", where="key", hint=hint)
    return identifier.groups()


def open_key(options: AzureOptions, context: SigningContext) -> AzureKey:
    vault, name, version = _parts(options.key)
    credential = context.once("azure-key-vault", _identity)

    with _problems(options.key):
        keys = context.once(("azure-key-vault", vault), lambda: KeyClient(vault, credential, **_limits()))
        key = keys.get_key(name, version)

        _check_identifier(str(key.id), options.key)
        # Sign with this version, even if another one becomes the current one meanwhile.
        shared = ("azure-key-vault", key.id)
        client = context.once(shared, lambda: CryptographyClient(key, credential, **_limits()))

    return AzureKey(key, client, context.certificates(options))


def _check_identifier(returned: str, asked: str) -> None:
    """Refuse an answer about another key: its identifier is the address for subsequent digests and credentials."""
    parts, requested = _IDENTIFIER.fullmatch(returned), _IDENTIFIER.fullmatch(asked)
    if parts is None or requested is None or parts[3] is None:
        raise _SERVICE.garbled()

    same = (parts[1].lower(), parts[2].lower()) == (requested[1].lower(), requested[2].lower())
    if not same or requested[3] not in {None, parts[3]}:
        raise _SERVICE.garbled()


def _identity() -> DefaultAzureCredential:
    try:
        return DefaultAzureCredential(transport=_transport(), retry_total=ATTEMPTS - 1)
    except (OSError, ValueError):  # a variable with an invalid value, or the name of an unreadable file
        raise _SERVICE.without_credentials() from None


def _limits() -> dict[str, Any]:
    return {
        "retry_policy": _Retries(retry_total=ATTEMPTS - 1),
        "permit_redirects": False,
        "transport": _transport(),
    }


def _transport() -> RequestsTransport:
    # A client takes its timeouts from the transport that it is given, not from its own arguments.
    return RequestsTransport(
        session=open_session(_SERVICE),
        session_owner=False,
        connection_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
    )


def _public_key(key: KeyVaultKey) -> tuple[bytes, dict[str, SignatureAlgorithm]]:
    """A SubjectPublicKeyInfo in DER, and the service's algorithms by digest."""
    web_key: Any = key.key  # a JSON Web Key, with attributes by the names of RFC 7517
    operations = web_key.key_ops or ()

    try:
        if web_key.kty in ("RSA", "RSA-HSM") and "sign" in operations:
            numbers = rsa.RSAPublicNumbers(_integer(web_key.e), _integer(web_key.n))
            return _der(numbers.public_key()), _RSA
        if web_key.kty in ("EC", "EC-HSM") and "sign" in operations and web_key.crv in _CURVES:
            curve, algorithms = _CURVES[web_key.crv]
            point = ec.EllipticCurvePublicNumbers(_integer(web_key.x), _integer(web_key.y), curve())
            return _der(point.public_key()), algorithms
    except (TypeError, ValueError):  # numbers that are missing or invalid
        raise _SERVICE.garbled() from None

    raise _SERVICE.not_for_signing(str(key.id))


def _integer(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _der(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _to_der(signature: bytes) -> bytes:
    """An ECDSA signature in DER from concatenated r and s (RFC 7518, 3.4)."""
    half = len(signature) // 2
    return encode_dss_signature(_integer(signature[:half]), _integer(signature[half:]))


@contextmanager
def _problems(key: str) -> Iterator[None]:
    """Turn the clients' errors into one without details of the request, which they may quote."""
    try:
        with call(_SERVICE):
            yield
    except ClientAuthenticationError as error:
        if _OUT_OF_TIME in str(error):
            raise _SERVICE.skewed() from None
        # Without a response from the vault, no credential in the chain gave a token, for whatever reason.
        raise (_SERVICE.bad_credentials() if error.response else _SERVICE.without_credentials()) from None
    except HttpResponseError as error:
        raise _of_answer(error, key) from None
    except (ServiceRequestError, ServiceResponseError) as error:
        raise _of_transport(error) from None
    except (AzureError, AttributeError, TypeError, ValueError):
        # The clients fail on an answer without required fields; a ValueError may also be a challenge
        # for a token that is not the vault's.
        raise _SERVICE.garbled() from None


def _of_answer(error: HttpResponseError, key: str) -> SigningError:
    codes = _codes(error)
    for code in codes:
        if code in _OF_KEY:
            return _OF_KEY[code](_SERVICE, key)

    match error.status_code:
        case 403:
            return _SERVICE.denied(key)
        case 404:
            return _SERVICE.absent(key)
        case int(status) if status in _OF_STATUS:
            return _OF_STATUS[status](_SERVICE)
        case 200:
            return _SERVICE.garbled()

    return _SERVICE.refused(codes[0] if codes else str(error.status_code))


def _codes(error: HttpResponseError) -> list[str]:
    """The codes of an answer's error, innermost first."""
    inner = (error.error and error.error.innererror) or {}
    return [str(code) for code in (inner.get("code"), error.error and error.error.code) if code]


def _of_transport(error: AzureError) -> SigningError:
    if isinstance(error.inner_exception, requests.exceptions.SSLError):
        return _SERVICE.untrusted("REQUESTS_CA_BUNDLE")
    return _SERVICE.unreachable()
