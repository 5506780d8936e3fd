"""Azure Key Vault: the operations get key and sign, and Microsoft Entra ID, which gives tokens.

Recorded from the REST API's reference, from what Azure's SDKs recorded of the real service (challenges, KeyNotFound),
and from its troubleshooting pages (KeyOperationForbidden, ForbiddenByRbac).
"""

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from kms_fakes.internet import Request, Response
from kms_fakes.keys import PrivateKey, private_key, sign

VAULT = "acme-images.vault.azure.net"
LOGIN = "login.microsoftonline.com"
TENANT = "12345678-1234-1234-1234-123456789012"
CLIENT = "00001111-aaaa-2222-bbbb-3333cccc4444"
SECRET = "qWgdYAmab0YSkuL1qKv5bPX-example"  # noqa: S105
TOKEN = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.example.token"  # noqa: S105
JOB_TOKEN = "eyJhbGciOiJSUzI1NiJ9.azure-job.token"  # noqa: S105
VERSION = "78deebed173b48e48f55abf87ed4cf71"
_CURVES = {"secp256r1": ("P-256", 32), "secp384r1": ("P-384", 48), "secp521r1": ("P-521", 66)}


def error(status: int, code: str, message: str, inner: str | None = None, **headers: str) -> Response:
    body: dict[str, Any] = {"code": code, "message": message}
    if inner:
        body["innererror"] = {"code": inner}
    return Response.of_json(status, {"error": body}, **headers)


def identifier(name: str, version: str = VERSION) -> str:
    return f"https://{VAULT}/keys/{name}/{version}".rstrip("/")


@dataclass
class Key:
    private: PrivateKey
    kty: str
    operations: list[str] = field(default_factory=lambda: ["sign", "verify"])
    enabled: bool = True
    version: str = VERSION


class KeyVault:
    def __init__(self) -> None:
        self.keys = {
            "rsa": Key(private_key("RSA"), "RSA"),
            "rsa-hsm": Key(private_key("RSA"), "RSA-HSM"),
            "p256": Key(private_key("P-256"), "EC"),
            "p384": Key(private_key("P-384"), "EC-HSM"),
            "p521": Key(private_key("P-521"), "EC"),
            "wrapper": Key(private_key("RSA"), "RSA", ["wrapKey", "unwrapKey"]),
        }

        self.resource = "https://vault.azure.net"
        """What the vault says that tokens are to be for."""
        self.chosen: Callable[[int, int], bool] = lambda _r, _s: True
        """Which ECDSA signatures it gives: all, or those with numbers that a test is about."""

    def __call__(self, request: Request) -> Response:
        assert "api-version=" in request.query
        if "authorization" not in request.headers:
            assert not request.body, "the client sends nothing before it is authenticated"
            return self.challenge("AKV10000: Request is missing a Bearer or PoP token.")
        if request.headers["authorization"] != f"Bearer {TOKEN}":
            return self.challenge("AKV10032: Invalid issuer.")

        _, keys, name, *rest = request.path.rstrip("/").split("/")
        assert keys == "keys"
        version = rest[0] if rest else ""

        key = self.keys.get(name)
        if key is None or version not in ("", key.version):
            shown = f"{name}/{version}" if version else name
            return error(404, "KeyNotFound", f"A key with (name/id) {shown} was not found in this key vault.")
        operation = rest[1] if len(rest) > 1 else "get"

        if not key.enabled:
            text = f"Operation {operation} is not allowed on a disabled key."
            return error(403, "Forbidden", text, "KeyDisabled")

        if request.method == "GET" and operation == "get":
            return Response.of_json(200, self.bundle(name, key))
        assert (request.method, operation) == ("POST", "sign")
        return self.sign(name, key, request.json)

    def challenge(self, text: str) -> Response:
        asked = f'Bearer authorization="https://{LOGIN}/{TENANT}", resource="{self.resource}"'
        return error(401, "Unauthorized", text, WWW_Authenticate=asked)

    def bundle(self, name: str, key: Key) -> dict[str, Any]:
        numbers = key.private.public_key().public_numbers()
        web_key: dict[str, Any] = {
            "kid": identifier(name, key.version),
            "kty": key.kty,
            "key_ops": key.operations,
        }

        if isinstance(numbers, rsa.RSAPublicNumbers):
            web_key.update(n=_encode(_bytes(numbers.n, 256)), e=_encode(_bytes(numbers.e, 3)))
        else:
            curve, size = _CURVES[numbers.curve.name]
            web_key.update(crv=curve, x=_encode(_bytes(numbers.x, size)), y=_encode(_bytes(numbers.y, size)))

        attributes = {
            "enabled": key.enabled,
            "created": 1493942451,
            "updated": 1493942451,
            "recoveryLevel": "Recoverable+Purgeable",
        }

        return {"key": web_key, "attributes": attributes}

    def sign(self, name: str, key: Key, body: dict[str, str]) -> Response:
        if "sign" not in key.operations:
            return error(403, "Forbidden", "Operation sign is not permitted on this key.", "KeyOperationForbidden")

        assert set(body) == {"alg", "value"}
        family, size = body["alg"][:2], body["alg"][2:]
        digest = base64.urlsafe_b64decode(body["value"] + "=" * (-len(body["value"]) % 4))
        if family != ("ES" if isinstance(key.private, ec.EllipticCurvePrivateKey) else "RS"):
            return error(400, "BadParameter", "Key and signing algorithm are incompatible.")

        signature = sign(key.private, digest, size)
        if isinstance(key.private, ec.EllipticCurvePrivateKey):
            numbers = decode_dss_signature(signature)
            while not self.chosen(*numbers):
                numbers = decode_dss_signature(sign(key.private, digest, size))
            width = _CURVES[key.private.curve.name][1]
            signature = b"".join(_bytes(number, width) for number in numbers)

        return Response.of_json(200, {"kid": identifier(name, key.version), "value": _encode(signature)})


def entra(request: Request) -> Response:
    """Client credentials, as MSAL asks for them: the tenant's metadata, then a token (RFC 6749, 4.4; RFC 7523)."""
    if request.path.endswith("/.well-known/openid-configuration"):
        return Response.of_json(200, _METADATA)
    if request.path == "/common/discovery/instance":
        discovered = {"tenant_discovery_endpoint": f"https://{LOGIN}/{TENANT}/v2.0/.well-known/openid-configuration"}
        return Response.of_json(200, {**discovered, "metadata": []})

    assert (request.method, request.path) == ("POST", f"/{TENANT}/oauth2/v2.0/token")
    form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    assert form["grant_type"] == "client_credentials"
    assert form["scope"] == "https://vault.azure.net/.default"
    assert form.get("client_assertion_type", _ASSERTION) == _ASSERTION

    known = form.get("client_secret") == SECRET or form.get("client_assertion") == JOB_TOKEN
    if form["client_id"] != CLIENT or not known:
        text = "AADSTS7000215: Invalid client secret provided."
        body = {"error": "invalid_client", "error_description": text, "error_codes": [7000215]}
        return Response.of_json(401, body)

    answer = {"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": TOKEN}
    return Response(200, json.dumps(answer).encode(), {"Content-Type": "application/json", "Date": time.ctime()})


_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_METADATA = {
    "token_endpoint": f"https://{LOGIN}/{TENANT}/oauth2/v2.0/token",
    "authorization_endpoint": f"https://{LOGIN}/{TENANT}/oauth2/v2.0/authorize",
    "issuer": f"https://{LOGIN}/{TENANT}/v2.0",
}


def _bytes(number: int, size: int) -> bytes:
    return number.to_bytes(size, "big")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
