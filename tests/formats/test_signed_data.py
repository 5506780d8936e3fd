"""SignedData: what openssl reads of ours, what we read of others', and what is no signature at all."""

import hashlib
import subprocess
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fuki_build.errors import FormatError
from fuki_build.formats.asn1 import der, signed_data, values
from fuki_build.formats.asn1.object_identifiers import MESSAGE_DIGEST, SIGNING_TIME
from fuki_build.image.inspect import inspect
from fuki_build.image.signatures import certificates, read_certificate
from fuki_build.testing.secure_boot import make_identity, write_certificates, write_key
from tests.support import signature_shapes
from tests.support.signature_shapes import OIDS, SHAPES, Shape

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


@pytest.mark.parametrize("time", [datetime(year, 2, 3, 4, 5, 6, tzinfo=UTC) for year in (2026, 2049, 2050, 2051)])
def test_what_was_encoded_is_decoded(identity, time):
    signature = signed_data.decode(sign(identity, time) + bytes(7))
    (signer,) = signature.signers
    assert (signature.algorithm, signature.digest) == ("sha256", DIGEST)
    assert signature.certificate_of(signer) == identity.certificate.public_bytes(Encoding.DER)
    assert values.time_of(signer.attributes[SIGNING_TIME]) == time
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


ANNOUNCED = bytes.fromhex("310f" + "300d" + OIDS["sha256"] + "0500")
DOTTED = {"md5": "1.2.840.113549.2.5"}
ATTRIBUTES = {"content type": "1.2.840.113549.1.9.3", "message digest": MESSAGE_DIGEST}


def of(certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


@pytest.mark.parametrize("name", SHAPES)
def test_a_signature_made_byte_by_byte_is_decoded_to_what_it_is_made_of(identity, name):
    shape = SHAPES[name]
    authority = make_identity("Acme CA", "p256", authority=True)
    included = [of(identity.certificate), of(authority.certificate)]
    data = signature_shapes.signed_data(DIGEST, identity, included, shape)
    signature = signed_data.decode(data)

    assert (signature.digest, signature.algorithm) == (DIGEST, shape.about or shape.algorithm)
    assert signature.certificates == tuple(included)
    assert signature.digest_algorithms == tuple(DOTTED.get(algorithm, algorithm) for algorithm in shape.announced)

    (signer,) = signature.signers
    assert signature.certificate_of(signer) == included[0]
    assert (signer.digest_algorithm, signer.nested) == (shape.signers_algorithm, shape.nested)
    assert signer.timestamp is None
    assert set(signer.attributes) == {ATTRIBUTES[attribute] for attribute in shape.attributes or ()}
    assert (signer.signed is None) is (shape.attributes is None)
    if "message digest" in (shape.attributes or ()):
        digest = hashlib.new(shape.signers_algorithm, signature.content).digest()
        assert values.octet_string(signer.attributes[MESSAGE_DIGEST]) == digest


@pytest.mark.parametrize(
    ("announced", "found"),
    [(("sha1",), "sha1"), (("sha512", "sha256"), "sha512"), (("md5", "sha256"), None), ((), None)],
)
def test_firmware_finds_the_first_algorithm_that_is_announced(identity, announced, found):
    """edk2's HashPeImageByType, by offset."""
    included = [of(identity.certificate)]
    data = signature_shapes.signed_data(DIGEST, identity, included, Shape(announced=announced))
    assert signed_data.firmware_algorithm(data) == signed_data.decode(data).firmware_algorithm == found
    assert signed_data.firmware_algorithm(data[:1] + b"\x81" + data[2:]) is None
    assert signed_data.firmware_algorithm(data[:1]) is None


def test_what_is_signed_about_an_image_is_what_sbsign_signs(part, identity, tmp_path):
    key = write_key(tmp_path / "db.key", identity.key)
    certificate = write_certificates(tmp_path / "db.crt", identity.certificate)
    signed = tmp_path / "signed.efi"
    command = ["sbsign", "--key", key, "--cert", certificate, "--output", signed, part("addon-stub-x64")]
    subprocess.run(command, check=True, capture_output=True)

    layout = inspect(signed)
    signature = signed_data.decode(read_certificate(layout, certificates(layout)[0]))
    ours = signed_data.indirect_data(signature.digest, signature.algorithm)
    assert der.value(ours) == signature.content


@pytest.mark.parametrize(
    ("kind", "algorithm", "digest"), [("p256", "sha256", 2), ("p384", "sha384", 3), ("p521", "sha512", 4)]
)
def test_a_key_on_a_curve_is_told_with_its_digest(kind, algorithm, digest):
    """RFC 5758, 3.2: ecdsa-with-SHA256 and the others, without parameters."""
    signer = make_identity("Acme EC", kind)
    assert isinstance(signer.key, ec.EllipticCurvePrivateKey)
    content = signed_data.indirect_data(DIGEST, algorithm)
    attributes = signed_data.signed_attributes(content, algorithm)
    hash_ = getattr(signature_shapes.hashes, algorithm.upper())()
    made = signer.key.sign(attributes, ec.ECDSA(hash_))
    data = signed_data.encode(content, attributes, algorithm, made, [of(signer.certificate)], rsa=False)

    decoded = signed_data.decode(data).signers[0]
    assert decoded.signed
    signer.key.public_key().verify(decoded.signature, decoded.signed, ec.ECDSA(hash_))
    assert bytes.fromhex(f"300a06082a8648ce3d04030{digest}04") in data


def test_versions_and_algorithms_of_an_rsa_signature_are_those_of_pkcs7(identity):
    """RFC 2315, 9.1 and 9.2: version 1 of SignedData and of SignerInfo, and rsaEncryption with its NULL."""
    data = sign(identity)
    certificate = identity.certificate
    serial = der.wrap(0x02, certificate.serial_number.to_bytes(certificate.serial_number.bit_length() // 8 + 1))
    sid = der.wrap(der.SEQUENCE, certificate.issuer.public_bytes() + serial)
    assert b"\x02\x01\x01" + ANNOUNCED in data
    assert b"\x02\x01\x01" + sid in data
    assert bytes.fromhex("300d" + OIDS["rsa"] + "0500" + "04820100") in data


def test_certificates_are_a_set_in_the_order_of_der(identity):
    others = [of(make_identity(f"CA {number}", "p256", authority=True).certificate) for number in range(3)]
    own = of(identity.certificate)
    content = signed_data.indirect_data(DIGEST, "sha256")
    attributes = signed_data.signed_attributes(content, "sha256")
    data = signed_data.encode(content, attributes, "sha256", bytes(256), [own, *others, own], rsa=True)
    decoded = signed_data.decode(data)
    assert decoded.certificates == tuple(sorted([own, *others]))
    (signer,) = decoded.signers
    assert decoded.certificate_of(signer) == own
    assert replace(decoded, certificates=tuple(others)).certificate_of(signer) is None


@pytest.mark.parametrize(
    ("time", "printed"),
    [
        (datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), "UTCTIME           :491231235959Z"),
        (datetime(2050, 1, 1, tzinfo=UTC), "GENERALIZEDTIME   :20500101000000Z"),
        (datetime(2026, 6, 1, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))), "UTCTIME           :260531230203Z"),
    ],
)
def test_a_signing_time_is_of_the_type_that_its_year_asks_for(time, printed):
    """RFC 5652, 11.3, as openssl prints it."""
    attributes = signed_data.signed_attributes(signed_data.indirect_data(DIGEST, "sha256"), "sha256", time)
    command = ["openssl", "asn1parse", "-inform", "DER"]
    assert printed in subprocess.run(command, input=attributes, capture_output=True, check=True).stdout.decode()


def test_signed_attributes_are_what_others_expect_in_the_order_of_der():
    content = signed_data.indirect_data(DIGEST, "sha384")
    attributes = signed_data.signed_attributes(content, "sha384")
    members = der.items(der.value(attributes))
    assert members == sorted(members)
    digest = hashlib.sha384(der.value(content)).digest()
    opus = bytes.fromhex("060a2b060104018237" + "02010c" + "31023000")
    expected = [
        bytes.fromhex(OIDS["content type"]) + der.wrap(der.SET, bytes.fromhex(OIDS["indirect data"])),
        bytes.fromhex(OIDS["message digest"]) + der.wrap(der.SET, der.wrap(0x04, digest)),
        opus,
    ]
    assert sorted(map(der.value, members)) == sorted(expected)


@pytest.mark.parametrize("data", [b"", b"\x17", b"\x18\x00", b"\x17\x03abc", b"\x02\x01\x07"])
def test_what_is_no_time_is_refused(data):
    with pytest.raises(FormatError, match=r"^the signing time is not"):
        values.time_of(data)


def test_a_timestamp_is_carried_beside_the_signature(identity):
    token = der.wrap(der.SEQUENCE, bytes.fromhex(OIDS["signed data"]) + b"\xa0\x02\x30\x00")
    content = signed_data.indirect_data(DIGEST, "sha256")
    attributes = signed_data.signed_attributes(content, "sha256")
    own = [of(identity.certificate)]
    data = signed_data.encode(content, attributes, "sha256", bytes(256), own, rsa=True, timestamp=token)
    (signer,) = signed_data.decode(data).signers
    assert (signer.timestamp, signer.nested) == (token, 0)
    assert signed_data.decode(sign(identity)).signers[0].timestamp is None
    with pytest.raises(FormatError, match="the timestamp"):
        signed_data.encode(content, attributes, "sha256", bytes(256), own, rsa=True, timestamp=b"no DER")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda data: data.replace(ANNOUNCED, b"\x30" + ANNOUNCED[1:], 1), "not the set"),
        (lambda data: data.replace(ANNOUNCED, ANNOUNCED[:2] + b"\x31" + ANNOUNCED[3:], 1), "digest algorithm of the"),
        (lambda data: data.replace(ANNOUNCED, b"\x31\x0f\x30\x00\x04\x0b" + bytes(11), 1), "does not name its digest"),
        (
            lambda data: data.replace(bytes.fromhex(OIDS["sha512"]), bytes.fromhex(OIDS["sha512"])[:-1] + b"\x09"),
            "digest algorithm 2.16.840.1.101.3.4.2.9 is not known",
        ),
        (
            lambda data: data.replace(bytes.fromhex(OIDS["indirect data"]), bytes.fromhex(OIDS["image data"])),
            "not about an image",
        ),
    ],
)
def test_a_signature_with_a_wrong_part_is_refused(identity, change, problem):
    data = signature_shapes.signed_data(DIGEST, identity, [], Shape(signers_algorithm="sha512"))
    signed_data.decode(data)
    with pytest.raises(FormatError, match=problem):
        signed_data.decode(change(data))


@pytest.mark.parametrize("attributes", [("content type", "content type"), ("message digest",) * 3])
def test_an_attribute_that_is_there_twice_is_refused(identity, attributes):
    data = signature_shapes.signed_data(DIGEST, identity, [], Shape(attributes=attributes))
    with pytest.raises(FormatError, match="does not have one value"):
        signed_data.decode(data)
