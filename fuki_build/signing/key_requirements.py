"""Which keys, certificates and digests can be used, and which of them firmware may not know."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric import ec

from fuki_build.errors import FormatError, SigningError, raised_as
from fuki_build.formats.asn1 import x509

_SHORTEST_RSA = 2048
_SECONDS = re.compile("[0-9]{1,20}")
_COMMON_RSA = (2048, 3072, 4096)
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


def source_date() -> datetime | None:
    """SOURCE_DATE_EPOCH (reproducible-builds.org). Raises `SigningError` where it is no time from 1970 on."""
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if not text:
        return None
    if _SECONDS.fullmatch(text):
        with suppress(ValueError, OverflowError, OSError):
            return datetime.fromtimestamp(int(text), UTC)
    hint = "it is a whole number, 0 or more, as 'date +%s' prints it"
    raise SigningError("SOURCE_DATE_EPOCH is not a number of seconds since 1970", hint=hint)


def check_usable(certificate: bytes) -> None:
    """Raise `SigningError` for a certificate that has expired, or whose key is too short or of an unknown kind.

    Where SOURCE_DATE_EPOCH is set, it is the time to judge by, so that an old build can be redone.
    """
    with raised_as(SigningError, "certificate", of=FormatError):
        expires, subject = x509.expires(certificate), x509.subject(certificate)
        key = x509.decode_public_key(x509.public_key_of(certificate))

    if expires < (source_date() or datetime.fromtimestamp(time.time(), UTC)):
        raise SigningError(f"the certificate {subject} expired on {expires:%Y-%m-%d}", where="certificate")

    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in _CURVES:
            hint = f"one of {', '.join(_CURVES.values())} can be used"
            raise SigningError(f"the key of {subject} is on the curve {key.curve.name}", where="key", hint=hint)
    elif key.key_size < _SHORTEST_RSA:
        hint = f"firmware asks for {_SHORTEST_RSA} bits or more"
        raise SigningError(f"the key of {subject} has {key.key_size} bits", where="key", hint=hint)


def firmware_doubts(public_key: bytes, algorithm: str) -> Iterator[str]:
    """What of a signature firmware may not know (formats that edk2 and shim of 2026 verify; older ones know less)."""
    key = x509.decode_public_key(public_key)
    if isinstance(key, ec.EllipticCurvePublicKey):
        curve = _CURVES.get(key.curve.name, key.curve.name)
        yield f"most firmware does not verify ECDSA ({curve}); RSA of 2048 bits is sure"
    elif key.key_size not in _COMMON_RSA:
        yield f"firmware may not verify RSA of {key.key_size} bits; 2048 bits are sure"
    if algorithm != "sha256":
        yield f"firmware may not know signatures over {algorithm.upper().replace('SHA', 'SHA-')}; SHA-256 is sure"
