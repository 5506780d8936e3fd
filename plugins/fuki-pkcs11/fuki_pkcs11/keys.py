"""Keys on a token: finding one with its certificate and public key, and signing with it."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fuki_build.errors import FormatError, SigningError, raised_as
from fuki_build.formats import pkcs11_uri
from fuki_build.formats.asn1 import der, x509
from fuki_build.formats.pkcs11_uri import Pkcs11Uri
from fuki_build.hooks import CertificateOptions, SigningContext, SigningKey
from msgspec.structs import replace
from pkcs11.constants import Attribute, ObjectClass
from pkcs11.exceptions import PKCS11Error
from pkcs11.mechanisms import KeyType, Mechanism
from pkcs11.types import Object, SignMixin

from fuki_pkcs11.modules import LOCK
from fuki_pkcs11.reasons import refusal
from fuki_pkcs11.tokens import OpenToken, listed

# The bytes before the digest in a DigestInfo (RFC 8017, 9.2, note 1).
_DIGEST_INFO = {
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "sha384": bytes.fromhex("3041300d060960864801650304020205000430"),
    "sha512": bytes.fromhex("3051300d060960864801650304020305000440"),
}
_EC_PUBLIC_KEY = bytes.fromhex("06072a8648ce3d0201")  # id-ecPublicKey (RFC 5480, 2.1.1)
_BIT_STRING = 0x03
_POINTS: tuple[Callable[[bytes], bytes], ...] = (der.value, bytes)
"""CKA_EC_POINT is an OCTET STRING; some tokens omit its tag and length."""


class TokenKey(SigningKey):
    """A private key that stays on its token: digests go there, signatures come back."""

    def __init__(self, key: SignMixin, token: OpenToken, certificates: Sequence[bytes], public_key: bytes) -> None:
        self.certificates = certificates
        self.public_key = public_key

        self._key = key
        self._token = token
        self._public = x509.decode_public_key(public_key)
        self._wants_pin = bool(_attribute(key, Attribute.ALWAYS_AUTHENTICATE))
        self._name = pkcs11_uri.encode(_describe(key, token))

        if self._wants_pin and token.has_keypad:
            hint = "name a source by 'pin', if the token takes PINs from programs as well"
            message = f"{self._name} wants the PIN for each signature, and the token takes it on its keypad"
            raise SigningError(f"{message} only, which python-pkcs11 cannot do", where="key", hint=hint)

    def sign(self, digest: bytes, algorithm: str) -> bytes:
        if algorithm not in _DIGEST_INFO:
            raise SigningError(f"keys on tokens sign digests of {', '.join(_DIGEST_INFO)}, not of {algorithm}")
        with LOCK, refusal(f"{self._name} did not sign", "key"):
            if self._token.ended:
                # The number of its session may belong to another one by now.
                raise SigningError(
                    f"{self._name} did not sign: the signing context that opened it has ended", where="key"
                )
            if isinstance(self._public, rsa.RSAPublicKey):
                signature = self._ask(_DIGEST_INFO[algorithm] + digest, Mechanism.RSA_PKCS)
            else:
                # With CKM_ECDSA, a token need not accept a digest that is longer than the key.
                signature = _to_der(self._ask(digest[: (self._public.key_size + 7) // 8], Mechanism.ECDSA))

        if not x509.verifies(self.public_key, signature, digest, algorithm):
            whose = "the certificate's" if self.certificates else "its public"
            raise SigningError(f"the signature of {self._name} is not one of {whose} key", where="key")

        return signature

    def _ask(self, data: bytes, mechanism: Mechanism) -> bytes:
        # A key with CKA_ALWAYS_AUTHENTICATE requires a separate login for each signature.
        pin = self._token.pin.ask() if self._wants_pin else None
        return self._key.sign(data, mechanism=mechanism, pin=pin)


def _to_der(signature: bytes) -> bytes:
    """ECDSA's r and s, which tokens concatenate (PKCS #11 2.40 mechanisms, 2.3.1), in the form of RFC 3279."""
    half = len(signature) // 2
    return encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))


def open_key(token: OpenToken, uri: Pkcs11Uri, options: CertificateOptions, context: SigningContext) -> TokenKey:
    """The key that the URI identifies, with its certificate from a file or from the token. Raises `SigningError`."""
    certificates = context.certificates(options)

    with refusal("the token does not show its keys", "key"):
        key = _find_key(token, uri)
        public_key = _public_key_beside(key, token)

        # Intermediates from files follow the key's own certificate, which must come first.
        if options.certificate is None:
            key_certificates = _certificate_beside(key, public_key, token)
            if certificates and not key_certificates:
                hint = "name the key's own by 'certificate'"
                raise SigningError("the token has no certificate of the key", where="intermediates", hint=hint)
            certificates = [*key_certificates, *certificates]
        name = pkcs11_uri.encode(_describe(key, token))

    certified = _public_key_in(certificates[0]) if certificates else public_key
    if certified is None:
        hint = "name its certificate, or store certificate or public key on the token under the key's id"
        raise SigningError(f"the token does not tell the public key of {name}", where="certificate", hint=hint)
    if public_key not in {None, certified}:
        raise SigningError("the certificate is one of another key", where="certificate", hint=f"the key is {name}")

    return TokenKey(key, token, certificates, certified)


def _public_key_in(certificate: bytes) -> bytes:
    with raised_as(SigningError, "certificate", of=FormatError):
        return x509.public_key_of(certificate)


def _find_key(token: OpenToken, uri: Pkcs11Uri) -> SignMixin:
    template: dict[Attribute, Any] = {Attribute.CLASS: ObjectClass.PRIVATE_KEY}
    label = None if uri.object is None else uri.object.encode()
    keys = _objects(token, template, label, uri.id)

    if len(keys) != 1:
        others = keys or _objects(token, template)
        names = listed([_describe(other, token) for other in others])
        if keys:
            hint = f"say more in the URI: {names}"
            raise SigningError(f"{len(keys)} keys are what the PKCS #11 URI asks for", where="key", hint=hint)
        hint = f"there are: {names}" if others else "the token shows no private key at all"
        raise SigningError("no private key is what the PKCS #11 URI asks for", where="key", hint=hint)

    (key,) = keys
    name = pkcs11_uri.encode(_describe(key, token))
    if key[Attribute.KEY_TYPE] not in {KeyType.RSA, KeyType.EC}:
        raise SigningError(f"{name} is neither an RSA nor an elliptic curve key", where="key")
    if not isinstance(key, SignMixin):
        hint = "it was made for other purposes: CKA_SIGN is false"
        raise SigningError(f"{name} may not sign", where="key", hint=hint)
    return key


def _objects(
    token: OpenToken, template: dict[Attribute, Any], label: bytes | None = None, id_: bytes | None = None
) -> list[Object]:
    """All matching objects; a list, because nothing else can be done while a search is open."""
    more = {Attribute.LABEL: label, Attribute.ID: id_}
    criteria = {**template, **{attribute: value for attribute, value in more.items() if value is not None}}
    return list(token.session.get_objects(criteria))


def _attribute(object_: Object, attribute: Attribute) -> Any:  # noqa: ANN401 - as the attribute is
    """An attribute's value; None if the object does not have or reveal it."""
    try:
        return object_[attribute]
    except PKCS11Error:
        return None


def _describe(object_: Object, token: OpenToken) -> Pkcs11Uri:
    label, id_ = _attribute(object_, Attribute.LABEL), _attribute(object_, Attribute.ID)
    text = label.decode(errors="replace") if label else None
    return replace(token.uri, object=text, id=id_ or None, serial=None)


def _beside(key: SignMixin, token: OpenToken, kind: ObjectClass) -> list[Object]:
    """The objects of a kind with the key's id; if there are none, those with its label."""
    template: dict[Attribute, Any] = {Attribute.CLASS: kind}
    id_, label = _attribute(key, Attribute.ID), _attribute(key, Attribute.LABEL)
    return (id_ and _objects(token, template, id_=id_)) or (label and _objects(token, template, label=label)) or []


def _certificate_beside(key: SignMixin, public_key: bytes | None, token: OpenToken) -> list[bytes]:
    """The key's certificate on the token in DER; empty if it has none."""
    values = {
        _attribute(certificate, Attribute.VALUE) or b"" for certificate in _beside(key, token, ObjectClass.CERTIFICATE)
    }
    fitting = [value for value in values if value and public_key in {None, _public_key_in(value)}]
    if len(fitting) > 1:
        hint = "name the one to use by 'certificate'"
        raise SigningError(f"the token has {len(fitting)} certificates of the key", where="certificate", hint=hint)
    return fitting


def _public_key_beside(key: SignMixin, token: OpenToken) -> bytes | None:
    """The public key, from the private one, which contains it if it is RSA, else from the object beside it."""
    for object_ in (key, *_beside(key, token, ObjectClass.PUBLIC_KEY)):
        public_key = _rsa(object_) or _elliptic(object_)
        if public_key:
            return public_key
    return None


def _rsa(object_: Object) -> bytes | None:
    modulus, exponent = _attribute(object_, Attribute.MODULUS), _attribute(object_, Attribute.PUBLIC_EXPONENT)
    if not (modulus and exponent):
        return None
    numbers = rsa.RSAPublicNumbers(int.from_bytes(exponent), int.from_bytes(modulus))
    return _encode(numbers.public_key())


def _elliptic(object_: Object) -> bytes | None:
    parameters, point = _attribute(object_, Attribute.EC_PARAMS), _attribute(object_, Attribute.EC_POINT)
    if not (parameters and point):
        return None

    algorithm = der.wrap(der.SEQUENCE, _EC_PUBLIC_KEY + parameters)
    for content in _POINTS:
        with suppress(FormatError):
            info = der.wrap(der.SEQUENCE, algorithm + der.wrap(_BIT_STRING, b"\0" + content(point)))
            return _encode(x509.decode_public_key(info))

    return None


def _encode(key: x509.PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
