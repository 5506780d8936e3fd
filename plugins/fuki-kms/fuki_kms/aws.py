"""AWS KMS, through boto3. Sources: the API's reference, and botocore's service model."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import urlsplit

import boto3
from botocore import exceptions
from botocore.awsrequest import AWSHTTPConnection, AWSHTTPSConnection
from botocore.config import Config
from botocore.httpsession import URLLib3Session
from botocore.parsers import ResponseParserError
from botocore.utils import get_environ_proxies
from fuki_build.errors import SigningError
from fuki_build.hooks import SigningContext
from fuki_build.network import is_local
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from fuki_kms.options import AwsOptions
from fuki_kms.remote import ATTEMPTS, CONNECT_TIMEOUT, READ_TIMEOUT, RemoteKey, Service, check_endpoint
from fuki_kms.transport import BoundedConnection, call, refuse_clear

_ARN = re.compile(r"arn:[^:]+:kms:([^:]+):")
_ALGORITHMS = {
    f"{scheme}_SHA_{size}": f"sha{size}" for scheme in ("RSASSA_PKCS1_V1_5", "ECDSA") for size in (256, 384, 512)
}
"""The service's signing algorithms that images use, with the digest of each."""

_SERVICE = Service(
    name="AWS KMS",
    login="set AWS_PROFILE, or 'profile' beside the key, or use the role of the machine or of the CI job",
    permissions="kms:GetPublicKey and kms:Sign",
    usage="its usage must be SIGN_VERIFY, its spec RSA_2048, RSA_3072, RSA_4096, ECC_NIST_P256 or ECC_NIST_P384",
    place="its spelling, its region and its account",
)

_OF_KEY: dict[str, Callable[[Service, str], SigningError]] = {
    "AccessDeniedException": Service.denied,
    "DisabledException": Service.disabled,
    "KMSInvalidStateException": Service.disabled,
    "InvalidKeyUsageException": Service.not_for_signing,
    "UnsupportedOperationException": Service.not_for_signing,
    "InvalidArnException": Service.absent,
    "NotFoundException": Service.absent,
}
_OF_SERVICE: dict[str, Callable[[Service], SigningError]] = {
    "ExpiredTokenException": Service.bad_credentials,
    "IncompleteSignatureException": Service.bad_credentials,
    "InvalidClientTokenId": Service.bad_credentials,
    "InvalidSignatureException": Service.bad_credentials,
    "UnrecognizedClientException": Service.bad_credentials,
    "ThrottlingException": Service.throttled,
}
_SKEWED = ("RequestExpired", "RequestInTheFuture", "RequestTimeTooSkewed")
_OUT_OF_TIME = re.compile(r"Signature (?:expired|not yet current)")
"""The service's message for a time problem, whose error code is that of all wrong signatures."""
_WITHOUT_CREDENTIALS = (
    exceptions.CredentialRetrievalError,
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.SSOError,
    exceptions.TokenRetrievalError,
)


class _Client(Protocol):
    """The part used of boto3's client, which is generated at run time from the service model."""

    def get_public_key(self, *, KeyId: str) -> Mapping[str, Any]: ...  # noqa: N803

    def sign(self, *, KeyId: str, Message: bytes, MessageType: str, SigningAlgorithm: str) -> Mapping[str, Any]: ...  # noqa: N803

    def close(self) -> None: ...


class AwsKey(RemoteKey):
    service = _SERVICE

    def __init__(self, client: _Client, name: str, certificates: list[bytes]) -> None:
        with _problems(name):
            answer = client.get_public_key(KeyId=name)
            # An alias may be moved to another key at any time, so signing uses the id of the key with this public key.
            self._id: str = answer["KeyId"]
            public_key: bytes = answer["PublicKey"]

        self._client = client
        self._algorithms = {
            _ALGORITHMS[algorithm]: algorithm
            for algorithm in answer.get("SigningAlgorithms", ())
            if algorithm in _ALGORITHMS
        }
        super().__init__(name, public_key, tuple(sorted(self._algorithms)), certificates)

    def request_signature(self, digest: bytes, algorithm: str) -> bytes:
        with _problems(self.name):
            answer = self._client.sign(
                KeyId=self._id,
                Message=digest,
                MessageType="DIGEST",
                SigningAlgorithm=self._algorithms[algorithm],
            )
            return bytes(answer["Signature"])


def check(options: AwsOptions) -> None:
    """Raise `FukiError` for an address of the service that is none."""
    if options.endpoint_url:
        check_endpoint(options.endpoint_url, "endpoint-url")


def open_key(options: AwsOptions, context: SigningContext) -> AwsKey:
    region = options.region
    arn = _ARN.match(options.key)
    if region is None and arn:
        region = arn[1]

    shared = ("aws-kms", region, options.profile, options.endpoint_url)
    client = context.once(shared, lambda: closing(_connect(options, region)))
    return AwsKey(client, options.key, context.certificates(options))


def _connect(options: AwsOptions, region: str | None) -> _Client:
    endpoint = options.endpoint_url and check_endpoint(options.endpoint_url, "endpoint-url")
    config = Config(
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    )

    with _problems(options.key):
        session = boto3.session.Session(profile_name=options.profile, region_name=region)
        # The session also makes the clients for assuming roles.
        session.events.register("before-send", _Sender(session))
        client: _Client = session.client("kms", endpoint_url=endpoint, config=config)
    return client


class _HttpPool(HTTPConnectionPool):
    class ConnectionCls(BoundedConnection, AWSHTTPConnection):  # type: ignore[misc]
        pass


class _HttpsPool(HTTPSConnectionPool):
    class ConnectionCls(BoundedConnection, AWSHTTPSConnection):  # type: ignore[misc]
        pass


class _Session(URLLib3Session):  # type: ignore[misc]
    """botocore's own HTTP session, with connections that have limits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as botocore has them
        super().__init__(*args, **kwargs)
        self._pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
        self._manager.pool_classes_by_scheme = self._pool_classes_by_scheme


class _Sender:
    """Sends the requests of all clients of a session."""

    def __init__(self, session: Any) -> None:  # noqa: ANN401 - boto3 has no types
        self._verify = session._session.get_config_variable("ca_bundle") or True  # noqa: SLF001 - no other way
        self._sessions: dict[str, _Session] = {}

    def __call__(self, request: Any, **_: object) -> Any:  # noqa: ANN401 - of botocore
        refuse_clear(request.url, request.headers, _SERVICE)
        origin = request.url.partition("://")[0] + "://" + urlsplit(request.url).netloc
        if origin not in self._sessions:
            proxies = {} if is_local(request.url) else get_environ_proxies(request.url)
            timeouts = CONNECT_TIMEOUT, READ_TIMEOUT
            self._sessions[origin] = _Session(verify=self._verify, proxies=proxies, timeout=timeouts)
        return self._sessions[origin].send(request)


@contextmanager
def _problems(key: str) -> Iterator[None]:
    """Turn boto3's errors into one that says nothing of the request; they may quote it."""
    try:
        with call(_SERVICE):
            yield
    except exceptions.ClientError as error:
        raise _of_answer(error, key) from None
    except exceptions.BotoCoreError as error:
        raise _of_client(error) from None
    except (AttributeError, KeyError, TypeError, ValueError, ResponseParserError):
        # boto3 fails on an answer of another form, and does not check for required fields.
        raise _SERVICE.garbled() from None


def _of_answer(error: exceptions.ClientError, key: str) -> SigningError:
    code = error.response.get("Error", {}).get("Code", "")

    if code in _SKEWED or _OUT_OF_TIME.search(error.response.get("Error", {}).get("Message", "")):
        return _SERVICE.skewed()
    if error.operation_name not in ("GetPublicKey", "Sign"):  # a failure to assume a role
        return _SERVICE.bad_credentials()
    if code in _OF_KEY:
        return _OF_KEY[code](_SERVICE, key)
    if code in _OF_SERVICE:
        return _OF_SERVICE[code](_SERVICE)

    if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _SERVICE.broken()
    return _SERVICE.refused(code)


def _of_client(error: exceptions.BotoCoreError) -> SigningError:
    match error:
        case exceptions.ProfileNotFound():
            hint = "'aws configure list-profiles' lists them"
            return SigningError("AWS's configuration has no such profile", where="profile", hint=hint)
        case exceptions.NoRegionError() | exceptions.InvalidRegionError():
            return SigningError("the key's region is not known", where="region", hint='add region = "…"')
        case exceptions.SSLError():
            return _SERVICE.untrusted("AWS_CA_BUNDLE")
        case exceptions.ConnectionError() | exceptions.HTTPClientError():
            return _SERVICE.unreachable()

    if isinstance(error, _WITHOUT_CREDENTIALS):
        return _SERVICE.without_credentials()
    hint = "look at AWS's configuration files, and at the environment variables that begin with AWS_"
    return SigningError(f"boto3 cannot be used as it is configured: {type(error).__name__}", hint=hint)
