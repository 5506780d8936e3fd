"""Google Cloud KMS, through its REST API (v1) and google-auth.

The generated client would bring gRPC and Protocol Buffers, ten times the size, for two requests, and would also leave
checking the checksums to its caller. Sources: the API's reference and discovery document.
"""

import base64
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import google.auth
import google_crc32c
import msgspec
import requests
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from fuki_build.errors import RecipeError, SigningError
from fuki_build.hooks import SigningContext
from google.auth import exceptions
from google.auth.transport.requests import AuthorizedSession, Request
from urllib3.util import Retry

from fuki_kms.options import GcpOptions
from fuki_kms.remote import ATTEMPTS, CONNECT_TIMEOUT, READ_TIMEOUT, RemoteKey, Service, check_endpoint
from fuki_kms.sessions import mount, open_session
from fuki_kms.transport import call

# A missing metadata server is logged as a warning, which would go to standard error.
logging.getLogger("google").addHandler(logging.NullHandler())

_NAME = re.compile(r"projects/[^/?#]+/locations/[^/?#]+/keyRings/[^/?#]+/cryptoKeys/[^/?#]+/cryptoKeyVersions/[0-9]+")
_ALGORITHM = re.compile(r"(?:RSA_SIGN_PKCS1_[0-9]+|EC_SIGN_P(?:256|384))_SHA(256|384|512)")
_SCOPES = ["https://www.googleapis.com/auth/cloudkms"]

_SERVICE = Service(
    name="Google Cloud KMS",
    login="run 'gcloud auth application-default login', set GOOGLE_APPLICATION_CREDENTIALS, or use the service account "
    "of the machine or of the CI job",
    permissions="the role roles/cloudkms.signerVerifier on it",
    usage="its purpose must be ASYMMETRIC_SIGN, its algorithm RSA_SIGN_PKCS1_… or EC_SIGN_P256_SHA256 or "
    "EC_SIGN_P384_SHA384",
    place="its project, location, key ring, name and version",
)


class _PublicKey(msgspec.Struct):
    """The fields used of the answer. 64-bit integers are strings in its JSON."""

    name: str
    pem: str
    algorithm: str
    pem_checksum: str = msgspec.field(name="pemCrc32c")


class _Signature(msgspec.Struct):
    name: str
    signature: bytes
    signature_checksum: str = msgspec.field(name="signatureCrc32c")
    digest_arrived: bool = msgspec.field(name="verifiedDigestCrc32c", default=False)


class _Detail(msgspec.Struct):
    """google.rpc.ErrorInfo, of which only the reason is used, or another type."""

    reason: str = ""


class _Status(msgspec.Struct):
    """google.rpc.Status, in JSON."""

    status: str = ""
    message: str = ""
    details: tuple[_Detail, ...] = ()


class _Failure(msgspec.Struct):
    error: _Status


T = TypeVar("T")

_OF_KEY: dict[str, Callable[[Service, str], SigningError]] = {
    "NOT_FOUND": Service.absent,
    "PERMISSION_DENIED": Service.denied,
}
_OF_PRECONDITION: dict[str, Callable[[Service, str], SigningError]] = {
    "has incorrect key purpose": Service.not_for_signing,
    "is not enabled": Service.disabled,
}
"""By a part of the message; the details of such an error are not documented."""
_OF_SERVICE: dict[str, Callable[[Service], SigningError]] = {
    "INTERNAL": Service.broken,
    "RESOURCE_EXHAUSTED": Service.throttled,
    "UNAUTHENTICATED": Service.bad_credentials,
    "UNAVAILABLE": Service.broken,
}


class GcpKey(RemoteKey):
    service = _SERVICE

    def __init__(self, session: AuthorizedSession, endpoint: str, name: str, certificates: list[bytes]) -> None:
        self._session = session
        self._url = f"{endpoint}/v1/{name}"
        answer = _ask(session, "GET", f"{self._url}/publicKey", None, name, _PublicKey)

        if not _is_same(answer.name, name) or not _is_intact(answer.pem.encode(), answer.pem_checksum):
            raise _SERVICE.garbled()

        algorithm = _ALGORITHM.fullmatch(answer.algorithm)
        if algorithm is None:
            raise _SERVICE.not_for_signing(name)

        super().__init__(name, _der(answer.pem), (f"sha{algorithm[1]}",), certificates)

    def request_signature(self, digest: bytes, algorithm: str) -> bytes:
        body = {
            "digest": {algorithm: base64.b64encode(digest).decode()},
            "digestCrc32c": str(google_crc32c.value(digest)),
        }

        answer = _ask(self._session, "POST", f"{self._url}:asymmetricSign", body, self.name, _Signature)
        intact = answer.digest_arrived and _is_intact(answer.signature, answer.signature_checksum)
        if not intact or not _is_same(answer.name, self.name):
            raise _SERVICE.garbled()
        return answer.signature


def check(options: GcpOptions) -> None:
    """Raise `FukiError` for a name that no key version has, and for an address of the service that is none."""
    if not _NAME.fullmatch(options.key):
        hint = "give projects/…/locations/…/keyRings/…/cryptoKeys/…/cryptoKeyVersions/…"
        raise RecipeError("this is not the resource name of a key version", where="key", hint=hint)

    check_endpoint(options.endpoint, "endpoint")


def open_key(options: GcpOptions, context: SigningContext) -> GcpKey:
    check(options)
    endpoint = check_endpoint(options.endpoint, "endpoint")
    session = context.once("gcp-kms", _connect)
    return GcpKey(session, endpoint, options.key, context.certificates(options))


def _connect() -> AuthorizedSession:
    with _problems():
        login = Request(open_session(_SERVICE, Retry(total=ATTEMPTS - 1, backoff_factor=0.5)))
        credentials, _ = google.auth.default(scopes=_SCOPES, request=login)

    retry = Retry(
        total=ATTEMPTS - 1,
        allowed_methods=None,  # signing twice does no harm
        backoff_factor=0.5,
        raise_on_status=False,
        respect_retry_after_header=False,  # it may ask for hours
        status_forcelist=(429, 500, 502, 503, 504),
    )

    session = AuthorizedSession(credentials, auth_request=login)
    mount(session, _SERVICE, retry)
    return session


def _ask(session: AuthorizedSession, method: str, url: str, body: object, key: str, to: type[T]) -> T:
    """One request, and its decoded answer. Raises `SigningError`."""
    with _problems():
        response = session.request(
            method,
            url,
            json=body,
            allow_redirects=False,
            timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
            max_allowed_time=ATTEMPTS * (CONNECT_TIMEOUT + READ_TIMEOUT),
        )

    try:
        if response.status_code != requests.codes.ok:
            raise _of_answer(msgspec.json.decode(response.content, type=_Failure).error, key)
        return msgspec.json.decode(response.content, type=to)
    except (msgspec.MsgspecError, RecursionError):
        raise _SERVICE.garbled() from None


def _of_answer(status: _Status, key: str) -> SigningError:
    if status.status == "FAILED_PRECONDITION":
        for text, problem in _OF_PRECONDITION.items():
            if text in status.message:
                return problem(_SERVICE, key)

    if any(detail.reason == "SERVICE_DISABLED" for detail in status.details):
        hint = "enable cloudkms.googleapis.com in the project that is charged for the requests"
        return SigningError("the API of Google Cloud KMS is not enabled", hint=hint)

    if status.status in _OF_KEY:
        return _OF_KEY[status.status](_SERVICE, key)
    if status.status in _OF_SERVICE:
        return _OF_SERVICE[status.status](_SERVICE)

    return _SERVICE.refused(status.status)


@contextmanager
def _problems() -> Iterator[None]:
    """Turn google-auth's and requests' errors into one without details of the request, which they may quote."""
    try:
        with call(_SERVICE):
            yield
    except exceptions.DefaultCredentialsError:
        raise _SERVICE.without_credentials() from None
    except (exceptions.TransportError, requests.RequestException) as error:
        raise _of_transport(error) from None
    except exceptions.GoogleAuthError as error:
        # The issuer of tokens says this of an assertion outside its time window.
        raise (_SERVICE.skewed() if "reasonable timeframe" in str(error) else _SERVICE.bad_credentials()) from None


def _of_transport(error: BaseException) -> SigningError:
    """Either the service's or the token issuer's certificate is not trusted, or there is no connection."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, requests.exceptions.SSLError):
            return _SERVICE.untrusted("REQUESTS_CA_BUNDLE")
        cause = cause.__cause__
    return _SERVICE.unreachable()


def _is_same(one: str, other: str) -> bool:
    """Whether two names refer to one key version; a project has both a name and a number."""
    return one.partition("/locations/")[2] == other.partition("/locations/")[2]


def _is_intact(data: bytes, checksum: str) -> bool:
    return str(google_crc32c.value(data)) == checksum


def _der(pem: str) -> bytes:
    try:
        return load_pem_public_key(pem.encode()).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        raise _SERVICE.garbled() from None
