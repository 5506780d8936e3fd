"""That efitools makes the same bytes, and that OpenSSL verifies them, stands in tests/peers."""

import pytest

from fuki_build.errors import FormatError
from fuki_build.formats.asn1 import detached_signature
from fuki_build.testing.secure_boot import make_identity


def test_what_is_no_certificate_is_refused():
    with pytest.raises(FormatError):
        detached_signature.encode(b"signature", b"\x30\x00", rsa=True)


def test_edk2_finds_the_digest_algorithm_where_it_looks():
    """AuthService.c looks for the identifier of SHA-256 at byte 13, which asks for a length of two bytes before."""
    from cryptography.hazmat.primitives.serialization import Encoding

    certificate = make_identity("KEK").certificate.public_bytes(Encoding.DER)
    signed = detached_signature.encode(bytes(256), certificate, rsa=True)
    assert signed[:2] == b"\x30\x82"
    assert signed[13:22] == bytes.fromhex("608648016503040201")
