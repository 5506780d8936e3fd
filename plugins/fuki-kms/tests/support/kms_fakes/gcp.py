"""Google Cloud KMS: cryptoKeyVersions.getPublicKey and asymmetricSign of the REST API v1, and the issuer of tokens.

Recorded from the discovery document (revision 20260803), google.rpc's error model, and errors of the real service as
its users report them. The issuer checks the assertion of a service account (RFC 7523).
"""

import base64
import json
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs

import google_crc32c
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kms_fakes.internet import Request, Response
from kms_fakes.keys import PrivateKey, private_key, public_key, sign

HOST = "cloudkms.googleapis.com"
TOKENS = "oauth2.googleapis.com"
EXCHANGE = "sts.googleapis.com"
POOL = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/ci/providers/ci"
JOB_TOKEN = "eyJhbGciOiJSUzI1NiJ9.google-job.token"  # noqa: S105
TOKEN = "ya29.c.c0ASRK0GZexampletoken"  # noqa: S105
ACCOUNT = "builder@acme-images.iam.gserviceaccount.com"
RING = "projects/acme-images/locations/europe-west3/keyRings/images"
_STATUS = {
    "FAILED_PRECONDITION": 400,
    "INTERNAL": 500,
    "INVALID_ARGUMENT": 400,
    "NOT_FOUND": 404,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "UNAUTHENTICATED": 401,
    "UNAVAILABLE": 503,
}


def error(status: str, message: str, *details: object) -> Response:
    code = _STATUS[status]
    body = {"error": {"code": code, "message": message, "status": status, "details": list(details)}}
    return Response.of_json(code, body)


def version(key: str, number: int = 1) -> str:
    return f"{RING}/cryptoKeys/{key}/cryptoKeyVersions/{number}"


@dataclass
class Version:
    algorithm: str
    private: PrivateKey | None
    state: str = "ENABLED"
    denied: bool = False


class GcpKms:
    def __init__(self) -> None:
        self.versions = {
            version("rsa"): Version("RSA_SIGN_PKCS1_2048_SHA256", private_key("RSA")),
            version("rsa-sha512"): Version("RSA_SIGN_PKCS1_4096_SHA512", private_key("RSA")),
            version("rsa-pss"): Version("RSA_SIGN_PSS_2048_SHA256", private_key("RSA")),
            version("rsa-decrypt"): Version("RSA_DECRYPT_OAEP_2048_SHA256", private_key("RSA")),
            version("p256"): Version("EC_SIGN_P256_SHA256", private_key("P-256")),
            version("p384"): Version("EC_SIGN_P384_SHA384", private_key("P-384")),
            version("p256k1"): Version("EC_SIGN_SECP256K1_SHA256", private_key("P-256K")),
            version("symmetric"): Version("GOOGLE_SYMMETRIC_ENCRYPTION", None),
        }

        self.tamper: dict[str, object] = {}
        """Fields of the next answers, as something on the way makes them."""

    def __call__(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return error("UNAUTHENTICATED", "Request had invalid authentication credentials.")
        path = request.path.removeprefix("/v1/")
        assert path != request.path
        if request.method == "GET" and path.endswith("/publicKey"):
            return self.get_public_key(path.removesuffix("/publicKey"))
        assert request.method == "POST"
        assert path.endswith(":asymmetricSign")
        return self.asymmetric_sign(path.removesuffix(":asymmetricSign"), request)

    def find(self, name: str, permission: str) -> Version | Response:
        key_version = self.versions.get(name)
        if key_version is None:
            return error("NOT_FOUND", f"CryptoKeyVersion {name} not found.")

        if key_version.denied:
            text = f"Permission '{permission}' denied on resource '{name}' (or it may not exist)."
            return error("PERMISSION_DENIED", text)

        if key_version.state != "ENABLED":
            violation = {"type": f"KEY_{key_version.state}", "subject": name}
            detail = {"@type": "type.googleapis.com/google.rpc.PreconditionFailure", "violations": [violation]}
            return error(
                "FAILED_PRECONDITION", f"{name} is not enabled, current state is: {key_version.state}.", detail
            )

        if key_version.private is None:
            text = f"Operation requested for Key {name} has incorrect key purpose: ENCRYPT_DECRYPT"
            return error("FAILED_PRECONDITION", text)

        return key_version

    def get_public_key(self, name: str) -> Response:
        key_version = self.find(name, "cloudkms.cryptoKeyVersions.viewPublicKey")
        if isinstance(key_version, Response):
            return key_version
        assert key_version.private is not None

        pem = public_key(key_version.private, Encoding.PEM)
        answer = {
            "pem": pem.decode(),
            "algorithm": key_version.algorithm,
            "pemCrc32c": str(google_crc32c.value(pem)),
            "name": name,
            "protectionLevel": "HSM",
        }

        return Response.of_json(200, {**answer, **self.tamper})

    def asymmetric_sign(self, name: str, request: Request) -> Response:
        key_version = self.find(name, "cloudkms.cryptoKeyVersions.useToSign")
        if isinstance(key_version, Response):
            return key_version
        assert key_version.private is not None

        body = request.json
        assert set(body) == {"digest", "digestCrc32c"}
        ((kind, encoded),) = body["digest"].items()
        digest = base64.b64decode(encoded, validate=True)

        size = key_version.algorithm[-3:]
        if kind != f"sha{size}" or len(digest) * 8 != int(size):
            return error("INVALID_ARGUMENT", "digest does not have the algorithm of the key version.")
        if body["digestCrc32c"] != str(google_crc32c.value(digest)):
            return error("INVALID_ARGUMENT", "The checksum in field digest_crc32c did not match the data in digest.")

        signature = sign(key_version.private, digest, size)
        answer = {
            "signature": base64.b64encode(signature).decode(),
            "signatureCrc32c": str(google_crc32c.value(signature)),
            "verifiedDigestCrc32c": True,
            "name": name,
            "protectionLevel": "HSM",
        }

        return Response.of_json(200, {**answer, **self.tamper})


class Tokens:
    """Gives a token to the service account whose key it knows."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(65537, 2048)

    def credentials(self, path: Path) -> Path:
        """The service account's file, as the console makes it."""
        pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        content = {
            "type": "service_account",
            "project_id": "acme-images",
            "private_key_id": "7c9f",
            "private_key": pem,
            "client_email": ACCOUNT,
            "client_id": "117600000000000000000",
            "token_uri": f"https://{TOKENS}/token",
        }

        path.write_text(json.dumps(content))
        return path

    def __call__(self, request: Request) -> Response:
        assert (request.method, request.path) == ("POST", "/token")
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        signed, _, signature = form["assertion"].rpartition(".")
        self.key.public_key().verify(_decode(signature), signed.encode(), padding.PKCS1v15(), SHA256())
        claims = json.loads(_decode(signed.partition(".")[2]))
        assert claims["iss"] == ACCOUNT
        assert claims["aud"] == f"https://{TOKENS}/token"
        assert claims["scope"] == "https://www.googleapis.com/auth/cloudkms"
        assert claims["exp"] > time.time()
        return Response.of_json(200, {"access_token": TOKEN, "expires_in": 3599, "token_type": "Bearer"})


def job_credentials(directory: Path) -> Path:
    """What 'gcloud iam workload-identity-pools create-cred-config' writes for a job with its token in a file."""
    (directory / "token").write_text(JOB_TOKEN)
    content = {
        "type": "external_account",
        "audience": POOL,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"https://{EXCHANGE}/v1/token",
        "credential_source": {"file": str(directory / "token")},
    }
    (directory / "job.json").write_text(json.dumps(content))
    return directory / "job.json"


def exchange(request: Request) -> Response:
    """A token of Google's for that of a job (RFC 8693)."""
    assert (request.method, request.path) == ("POST", "/v1/token")
    form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"
    assert (form["audience"], form["subject_token"]) == (POOL, JOB_TOKEN)
    kind = "urn:ietf:params:oauth:token-type:access_token"
    answer = {"access_token": TOKEN, "issued_token_type": kind, "token_type": "Bearer", "expires_in": 3599}
    return Response.of_json(200, answer)


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
