"""SignedData: what openssl reads of ours, what we read of others', and what is no signature at all."""

import hashlib
import subprocess
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from fuki_build.errors import FormatError
from fuki_build.formats.asn1 import signed_data, values
from fuki_build.formats.asn1.object_identifiers import MESSAGE_DIGEST, SIGNING_TIME
from fuki_build.image.inspect import inspect
from fuki_build.image.signatures import certificates, read_certificate
from fuki_build.testing.secure_boot import make_identity

DIGEST = bytes(range(32))


@pytest.fixture(scope="module")
def identity():
    return make_identity("Acme db")


def sign(identity, time=None) -> bytes:
    content = signed_data.indirect_data(DIGEST, "sha256")
    attributes = signed_data.signed_attributes(content, "sha256", time)
    signature = identity.key.sign(attributes, padding.PKCS1v15(), SHA256())
    own = identity.certificate.public_bytes(Encoding.DER)
    return signed_data.encode(content, attributes, "sha256", signature, [own], rsa=True)


def test_openssl_reads_the_certificate_of_a_signature(identity):
    command = ["openssl", "pkcs7", "-inform", "DER", "-print_certs", "-noout"]
    assert b"CN = Acme db" in subprocess.run(command, input=sign(identity), capture_output=True, check=True).stdout


def test_what_was_encoded_is_decoded(identity):
    signature = signed_data.decode(sign(identity, datetime(2051, 2, 3, 4, 5, 6, tzinfo=UTC)) + bytes(7))
    (signer,) = signature.signers
    assert (signature.algorithm, signature.digest) == ("sha256", DIGEST)
    assert signature.certificate_of(signer) == identity.certificate.public_bytes(Encoding.DER)
    assert values.time_of(signer.attributes[SIGNING_TIME]).year == 2051
    digest = values.octet_string(signer.attributes[MESSAGE_DIGEST])
    assert digest == hashlib.sha256(signature.content).digest()
    identity.key.public_key().verify(signer.signature, signer.signed, padding.PKCS1v15(), SHA256())


@pytest.mark.parametrize(("name", "subject"), [("kernel-x64", "Debian Secure Boot Signer"), ("shim", "Microsoft")])
def test_signatures_that_others_made_are_decoded(part, name, subject):
    layout = inspect(part(name))
    for entry in certificates(layout):
        signature = signed_data.decode(read_certificate(layout, entry))
        own = signature.certificate_of(signature.signers[0])
        command = ["openssl", "x509", "-inform", "DER", "-noout", "-subject"]
        assert subject in subprocess.run(command, input=own, capture_output=True, check=True).stdout.decode()


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, 1500), value=st.integers(0, 255), cut=st.none() | st.integers(0, 1500))
def test_damaged_signatures_are_refused_or_decoded_and_nothing_else(identity, at, value, cut):
    data = bytearray(sign(identity))
    data[at % len(data)] = value
    try:
        signature = signed_data.decode(bytes(data[:cut]))
        for signer in signature.signers:
            signature.certificate_of(signer)
    except FormatError:
        pass


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "cut short"),
        (b"\x30", "cut short"),
        (b"\x30\x85\1\1\1\1\1", "no sensible length"),
        (b"\x30\x84\xff\xff\xff\xff", "claims 4294967295 bytes"),
        (b"\x30\x80\0\0", "no sensible length"),
        (bytes.fromhex("300f06092a864886f70d010701a0020400"), "no SignedData"),
    ],
)
def test_what_is_no_signature_is_refused(data, problem):
    with pytest.raises(FormatError, match=problem):
        signed_data.decode(data)
