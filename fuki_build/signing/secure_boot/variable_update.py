"""`.auth` files: new values of Secure Boot's variables, signed by whoever may set them."""

import hashlib
from collections.abc import Callable

from fuki_build.errors import SigningError
from fuki_build.formats.asn1 import detached_signature, x509
from fuki_build.formats.uefi import authenticated_variable
from fuki_build.formats.uefi.authenticated_variable import (
    SECURE_BOOT_ATTRIBUTES,
    VENDORS,
    Attributes,
    AuthenticatedPayload,
)
from fuki_build.formats.uefi.efi_time import EfiTime

SIGNED_BY = {"PK": "PK", "KEK": "PK", "db": "KEK", "dbx": "KEK"}
"""Each variable, and whose key signs what it is set to (UEFI 2.10, section 32.3.5)."""


def authenticate(
    variable: str,
    value: bytes,
    time: EfiTime,
    sign: Callable[[bytes, str], bytes],
    certificate: bytes,
    *,
    append: bool = False,
) -> bytes:
    """The `.auth` file that sets a variable to signature lists, or appends them to it.

    Firmware takes a value whose `time` is later than that of the last one; what is appended may be of any time.
    `sign` is as `SigningKey.sign`, and `certificate`, in DER, of its key. Raises `SigningError` where it is not.
    """
    attributes = SECURE_BOOT_ATTRIBUTES | (Attributes.APPEND_WRITE if append else Attributes(0))
    covered = authenticated_variable.to_be_signed(variable, VENDORS[variable], attributes, time, value)
    algorithm = detached_signature.ALGORITHM
    digest = hashlib.new(algorithm, covered).digest()
    signature = sign(digest, algorithm)
    public_key = x509.public_key_of(certificate)
    if not x509.verifies(public_key, signature, digest, algorithm):
        raise SigningError(f"the signature was not made by the key of {x509.subject(certificate)}")
    signed = detached_signature.encode(signature, certificate, rsa=x509.is_rsa(public_key))
    return authenticated_variable.encode(AuthenticatedPayload(time, signed, value))
