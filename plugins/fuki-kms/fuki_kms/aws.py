"""AWS KMS, through boto3. Source: the API's reference, and the service model that botocore has of it."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from http import HTTPStatus
from typing import Any, Protocol

import boto3
from botocore import exceptions
from botocore.config import Config
from botocore.parsers import ResponseParserError
from fuki_build.errors import SigningError
from fuki_build.hooks import SigningContext

from fuki_kms.options import AwsOptions
from fuki_kms.remote import ATTEMPTS, CONNECT_TIMEOUT, READ_TIMEOUT, RemoteKey, Service, check_endpoint

_ARN = re.compile(r"arn:[^:]+:kms:([^:]+):")
_ALGORITHMS = {
    f"{scheme}_SHA_{size}": f"sha{size}" for scheme in ("RSASSA_PKCS1_V1_5", "ECDSA") for size in (256, 384, 512)
}
"""The service's signing algorithms that images use, and the digests of each."""

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
_WITHOUT_CREDENTIALS = (
    exceptions.CredentialRetrievalError,
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.SSOError,
    exceptions.TokenRetrievalError,
)


class _Client(Protocol):
    """What is used of boto3's client, which is made at run time from the service model."""

    def get_public_key(self, *, KeyId: str) -> Mapping[str, Any]: ...  # noqa: N803

    def sign(self, *, KeyId: str, Message: bytes, MessageType: str, SigningAlgorithm: str) -> Mapping[str, Any]: ...  # noqa: N803

    def close(self) -> None: ...


class AwsKey(RemoteKey):
    service = _SERVICE

    def __init__(self, client: _Client, name: str, certificates: list[bytes]) -> None:
        with _problems(name):
            answer = client.get_public_key(KeyId=name)
            # An alias may be given to another key at any time; signed is with the one whose public key is known.
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
        client: _Client = session.client("kms", endpoint_url=endpoint, config=config)
    return client


@contextmanager
def _problems(key: str) -> Iterator[None]:
    """Turn boto3's errors into one that says nothing of the request; they may quote it."""
    try:
        yield
    except exceptions.ClientError as error:
        raise _of_answer(error, key) from None
    except exceptions.BotoCoreError as error:
        raise _of_client(error) from None
    except (AttributeError, KeyError, TypeError, ValueError, ResponseParserError):
        # boto3 trips over an answer of another form, and does not ask for the fields that it should have.
        raise _SERVICE.garbled() from None


def _of_answer(error: exceptions.ClientError, key: str) -> SigningError:
    code = error.response.get("Error", {}).get("Code", "")
    if error.operation_name not in ("GetPublicKey", "Sign"):  # a role was to be assumed
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
