"""AWS KMS: the operations GetPublicKey and Sign in AWS JSON 1.1; and STS, which gives credentials for a job's token.

Recorded from the API's reference and botocore's service model (kms, 2014-11-01): targets, fields, which exceptions an
operation has, and the messages of the real service. Requests are held against the model.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import validate_parameters

from kms_fakes.internet import Request, Response
from kms_fakes.keys import PrivateKey, private_key, public_key, sign

ACCOUNT = "111122223333"
REGION = "eu-central-1"
HOST = f"kms.{REGION}.amazonaws.com"
STS = f"sts.{REGION}.amazonaws.com"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/release"
JOB_TOKEN = "eyJhbGciOiJSUzI1NiJ9.aws-job.token"  # noqa: S105
ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"  # noqa: S105 - the one of AWS's documentation

_MODEL = ServiceModel(Loader().load_service_model("kms", "service-2"))
_RSA = [f"RSASSA_{scheme}_SHA_{size}" for scheme in ("PKCS1_V1_5", "PSS") for size in ("256", "384", "512")]
_ALGORITHMS = {
    "RSA_2048": _RSA,
    "ECC_NIST_P256": ["ECDSA_SHA_256"],
    "ECC_NIST_P384": ["ECDSA_SHA_384"],
    "ECC_NIST_P521": ["ECDSA_SHA_512"],
    "ECC_SECG_P256K1": ["ECDSA_SHA_256"],
}


def arn(resource: str) -> str:
    return f"arn:aws:kms:{REGION}:{ACCOUNT}:{resource}"


@dataclass
class Key:
    id: str
    spec: str
    private: PrivateKey | None
    usage: str = "SIGN_VERIFY"
    state: str = "Enabled"


def _key(number: int, spec: str, kind: str, **more: str) -> Key:
    return Key(f"1234abcd-12ab-34cd-56ef-{number:012}", spec, private_key(kind), **more)


def error(name: str, message: str, status: int = 400) -> Response:
    """As KMS answers: `__type` is the exception's shape."""
    return Response.of_json(status, {"__type": name, "message": message}, x_amzn_RequestId="7e1b3e1f")


def quoting(name: str, status: int = 400) -> Callable[[Request], Response]:
    """An error of AWS that quotes the request's authorization, as the real service's does for some."""
    return lambda request: error(name, f"refused: Authorization={request.headers['authorization']}", status)


class Refused(Exception):  # noqa: N818
    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.response = error(name, message)


class AwsKms:
    def __init__(self) -> None:
        keys = [
            _key(1, "RSA_2048", "RSA"),
            _key(2, "ECC_NIST_P256", "P-256"),
            _key(3, "ECC_NIST_P384", "P-384"),
            _key(4, "ECC_NIST_P521", "P-521"),
            _key(5, "ECC_SECG_P256K1", "P-256K"),
            _key(6, "RSA_2048", "RSA", usage="ENCRYPT_DECRYPT"),
            Key("1234abcd-12ab-34cd-56ef-000000000007", "SYMMETRIC_DEFAULT", None, usage="ENCRYPT_DECRYPT"),
        ]

        self.keys = {key.id: key for key in keys}
        names = ("rsa", "p256", "p384", "p521", "p256k1", "rsa-encrypt", "symmetric")
        self.aliases = {f"alias/{name}": key.id for name, key in zip(names, keys, strict=True)}

    def __getitem__(self, alias: str) -> Key:
        return self.keys[self.aliases[alias]]

    def __call__(self, request: Request) -> Response:
        service, _, name = request.headers["x-amz-target"].partition(".")
        assert service == "TrentService"
        assert request.headers["content-type"] == "application/x-amz-json-1.1"
        authorization = request.headers["authorization"]
        if f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/" not in authorization:
            return error("UnrecognizedClientException", "The security token included in the request is invalid.")
        assert f"/{REGION}/kms/aws4_request" in authorization

        operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "GetPublicKey": self.get_public_key,
            "Sign": self.sign,
        }

        parameters = request.json
        for field in ("Message",):
            if field in parameters:
                parameters[field] = base64.b64decode(parameters[field], validate=True)

        operation = _MODEL.operation_model(name)
        validate_parameters(parameters, operation.input_shape)

        try:
            answer = operations[name](parameters)
        except Refused as refused:
            return refused.response

        validate_parameters(answer, operation.output_shape)
        encoded = {k: base64.b64encode(v).decode() if isinstance(v, bytes) else v for k, v in answer.items()}
        return Response(200, Response.of_json(200, encoded).content, {"Content-Type": "application/x-amz-json-1.1"})

    def find(self, name: str) -> Key:
        full = arn("")
        short = name.removeprefix(full).removeprefix("key/")
        if short.startswith("alias/"):
            if short not in self.aliases:
                raise Refused("NotFoundException", f"Alias {arn(short)} is not found.")
            short = self.aliases[short]

        key = self.keys.get(short)
        if key is None:
            raise Refused("NotFoundException", f"Key '{arn('key/' + short)}' does not exist")

        if key.state == "Disabled":
            raise Refused("DisabledException", f"{arn('key/' + short)} is disabled.")
        if key.state == "PendingDeletion":
            raise Refused("KMSInvalidStateException", f"{arn('key/' + short)} is pending deletion.")

        return key

    def get_public_key(self, parameters: dict[str, Any]) -> dict[str, Any]:
        key = self.find(parameters["KeyId"])
        if key.private is None:
            raise Refused("UnsupportedOperationException", f"{arn('key/' + key.id)} is not an asymmetric key.")

        answer = {
            "KeyId": arn(f"key/{key.id}"),
            "PublicKey": public_key(key.private),
            "CustomerMasterKeySpec": key.spec,
            "KeySpec": key.spec,
            "KeyUsage": key.usage,
        }

        if key.usage == "SIGN_VERIFY":
            return {**answer, "SigningAlgorithms": _ALGORITHMS[key.spec]}
        return {**answer, "EncryptionAlgorithms": ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"]}

    def sign(self, parameters: dict[str, Any]) -> dict[str, Any]:
        key = self.find(parameters["KeyId"])
        algorithm = parameters["SigningAlgorithm"]
        if key.usage != "SIGN_VERIFY" or algorithm not in _ALGORITHMS[key.spec]:
            raise Refused("InvalidKeyUsageException", f"{arn('key/' + key.id)} key usage is {key.usage}.")

        assert parameters["MessageType"] == "DIGEST"
        assert "PSS" not in algorithm
        assert key.private is not None

        try:
            signature = sign(key.private, parameters["Message"], algorithm[-3:])
        except ValueError:
            raise Refused("ValidationException", f"Digest is invalid length for algorithm {algorithm}.") from None

        return {"KeyId": arn(f"key/{key.id}"), "Signature": signature, "SigningAlgorithm": algorithm}


def sts(request: Request) -> Response:
    """AssumeRoleWithWebIdentity, in AWS's query protocol."""
    form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    assert form["Action"] == "AssumeRoleWithWebIdentity"
    assert form["RoleArn"] == ROLE

    if form["WebIdentityToken"] != JOB_TOKEN:
        fault = f"<Code>InvalidIdentityToken</Code><Message>{form['WebIdentityToken']} is not signed</Message>"
        return Response(400, f"<ErrorResponse><Error><Type>Sender</Type>{fault}</Error></ErrorResponse>".encode())

    credentials = (
        f"<AccessKeyId>{ACCESS_KEY}</AccessKeyId><SecretAccessKey>{SECRET_KEY}</SecretAccessKey>"
        "<SessionToken>AQoDYXdzEE0a8ANXXXXXXXXNO1ewxE5TijQyp</SessionToken><Expiration>2049-01-01T00:00:00Z</Expiration>"
    )

    result = (
        f"<AssumeRoleWithWebIdentityResult><Credentials>{credentials}</Credentials></AssumeRoleWithWebIdentityResult>"
    )

    name = "AssumeRoleWithWebIdentityResponse"
    namespace = "https://sts.amazonaws.com/doc/2011-06-15/"
    return Response(200, f'<{name} xmlns="{namespace}">{result}</{name}>'.encode(), {"Content-Type": "text/xml"})
