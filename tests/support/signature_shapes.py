"""Signatures and images that carry them, made byte by byte: structures, tables, and shapes of signatures."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from struct import pack_into, unpack_from
from typing import NamedTuple

import parts
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from fuki_build.formats.asn1 import der
from fuki_build.testing.secure_boot import Identity, PrivateKey

OIDS: Mapping[str, str] = {
    "md5": "06082a864886f70d0205",
    "sha1": "06052b0e03021a",
    "sha256": "0609608648016503040201",
    "sha384": "0609608648016503040202",
    "sha512": "0609608648016503040203",
    "data": "06092a864886f70d010701",
    "signed data": "06092a864886f70d010702",
    "content type": "06092a864886f70d010903",
    "message digest": "06092a864886f70d010904",
    "rsa": "06092a864886f70d010101",
    "ecdsa": "06082a8648ce3d040302",
    "indirect data": "060a2b060104018237020104",
    "image data": "060a2b06010401823702010f",
    "nested signature": "060a2b060104018237020401",
}
_NULL = b"\x05\0"
_HASHES: Mapping[str, type[hashes.HashAlgorithm]] = {
    "sha1": hashes.SHA1,
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}


# What is inside an image


def places(image: bytes) -> list[tuple[int, int]]:
    """Of each section its size and place in the file."""
    return layout_of(image)[2]


def layout_of(image: bytes) -> tuple[int, int, list[tuple[int, int]]]:
    """Offsets of the PE header and of the section table, and of each section its size and place in the file."""
    (start,) = unpack_from("<I", image, 60)
    count, optional = unpack_from("<H", image, start + 6)[0], unpack_from("<H", image, start + 20)[0]
    table = start + 24 + optional
    return start, table, [unpack_from("<II", image, table + 40 * index + 16) for index in range(count)]


def insert(image: bytes, at: int, more: bytes) -> bytes:
    """The image with bytes that belong to no section put in before offset `at`; sections behind it move."""
    data = bytearray(image)
    _, table, sections = layout_of(image)
    data[at:at] = more
    for index, (size, place) in enumerate(sections):
        if size and place >= at:
            pack_into("<I", data, table + 40 * index + 20, place + len(more))
    return bytes(data)


def _swap_headers(image: bytes) -> bytes:
    """The image with its section headers in another order than the sections stand in the file."""
    _, table, _ = layout_of(image)
    return image[:table] + image[table + 40 : table + 80] + image[table : table + 40] + image[table + 80 :]


def base() -> bytes:
    return parts.get("addon-stub-x64").read_bytes()


def with_gap(size: int, which: int) -> Callable[[], bytes]:
    return lambda: insert(base(), sorted(place for _, place in layout_of(base())[2])[which], b"G" * size)


STRUCTURES: Mapping[str, Callable[[], bytes]] = {
    "plain": base,
    "gap of 512 between sections": with_gap(512, 1),
    "gap of 512 behind the header": with_gap(512, 0),
    "gap of 4096": with_gap(4096, 1),
    "two gaps": lambda: insert(with_gap(512, 1)(), 0x400, b"H" * 512),
    "gap and 1000 bytes behind": lambda: with_gap(512, 1)() + b"T" * 1000,
    "gap of 7": with_gap(7, 1),
    "1 byte behind": lambda: base() + b"T",
    "7 bytes behind": lambda: base() + b"T" * 7,
    "8 bytes behind": lambda: base() + b"T" * 8,
    "1000 bytes behind": lambda: base() + b"T" * 1000,
    "section headers swapped": lambda: _swap_headers(base()),
}


def digest_of(image: bytes, algorithm: str) -> bytes:
    """As edk2 hashes an image without a signature (HashPeImage), in words of our own."""
    start, _, sections = layout_of(image)
    checksum, directory = start + 24 + 64, start + 24 + 112 + 8 * 4
    (header,) = unpack_from("<I", image, start + 24 + 60)
    digest = hashlib.new(algorithm, image[:checksum] + image[checksum + 4 : directory] + image[directory + 8 : header])
    hashed = header
    for size, place in sorted(sections, key=lambda section: section[1]):
        digest.update(image[place : place + size])
        hashed += size
    digest.update(image[hashed:])
    return digest.digest()


def padded(image: bytes) -> bytes:
    return image + bytes(-len(image) % 8)


def with_table(image: bytes, table: bytes, size: int | None = None) -> bytes:
    """An image whose size is a multiple of 8, or is meant not to be, with a certificate table behind it."""
    data = bytearray(image)
    pack_into("<II", data, layout_of(image)[0] + 24 + 112 + 8 * 4, len(image), len(table) if size is None else size)
    return bytes(data) + table


def entry(signature: bytes, revision: int = 0x200, kind: int = 2) -> bytes:
    head = bytearray(8)
    pack_into("<IHH", head, 0, 8 + len(signature), revision, kind)
    return padded(bytes(head) + signature)


def in_guid(signature: bytes) -> bytes:
    """An entry of the type WIN_CERT_TYPE_EFI_GUID with EFI_CERT_TYPE_PKCS7_GUID (UEFI 2.10, 32.2.4)."""
    return entry(bytes.fromhex("9dd2af4adf68ee498aa9347d375665a7") + signature, kind=0x0EF1)


# Signatures


def _sequence(*values: bytes) -> bytes:
    return der.wrap(der.SEQUENCE, b"".join(values))


def _oid(name: str) -> bytes:
    return bytes.fromhex(OIDS[name])


def _attribute(name: str, value: bytes) -> bytes:
    return _sequence(_oid(name), der.wrap(der.SET, value))


class Shape(NamedTuple):
    """How a SignedData is made; None for attributes means none."""

    algorithm: str = "sha256"
    signers_algorithm: str = "sha256"
    announced: tuple[str, ...] = ("sha256",)
    attributes: tuple[str, ...] | None = ("content type", "message digest")
    type_: str = "indirect data"
    nested: int = 0
    about: str = ""


USUAL = Shape()


def _sign(key: PrivateKey, data: bytes, algorithm: str) -> bytes:
    return key.sign(data, padding.PKCS1v15(), _HASHES[algorithm]())  # type: ignore[call-arg, arg-type]


def signed_data(digest: bytes, signer: Identity, certificates: Sequence[bytes], shape: Shape = USUAL) -> bytes:
    """A SignedData about an image's digest; `certificates` are all that it carries."""
    link = der.wrap(0xA0, der.wrap(0xA2, der.wrap(0x80, "<<<Obsolete>>>".encode("utf-16-be"))))
    image = _sequence(_oid("image data"), _sequence(b"\x03\x01\0", link))

    content = _sequence(
        image, _sequence(_sequence(_oid(shape.about or shape.algorithm), _NULL), der.wrap(0x04, digest))
    )
    values = {
        "content type": _oid(shape.type_),
        "message digest": der.wrap(0x04, hashlib.new(shape.signers_algorithm, der.value(content)).digest()),
    }

    signed = der.value(content)
    attributes = b""
    if shape.attributes is not None:
        attributes = b"".join(sorted(_attribute(name, values[name]) for name in shape.attributes))
        signed = der.wrap(der.SET, attributes)

    tbs = signer.certificate
    info = _sequence(
        b"\x02\x01\x01",
        _sequence(tbs.issuer.public_bytes(), _integer(tbs.serial_number)),
        _sequence(_oid(shape.signers_algorithm), _NULL),
        *([der.wrap(0xA0, attributes)] if shape.attributes is not None else []),
        _sequence(_oid("rsa"), _NULL),
        der.wrap(0x04, _sign(signer.key, signed, shape.signers_algorithm)),
        *_unsigned(digest, signer, certificates, shape),
    )

    announced = b"".join(_sequence(_oid(name), _NULL) for name in shape.announced)
    return _sequence(
        _oid("signed data"),
        der.wrap(
            0xA0,
            _sequence(
                b"\x02\x01\x01",
                der.wrap(der.SET, announced),
                _sequence(_oid("indirect data"), der.wrap(0xA0, content)),
                *([der.wrap(0xA0, b"".join(certificates))] if certificates else []),
                der.wrap(der.SET, info),
            ),
        ),
    )


def _unsigned(digest: bytes, signer: Identity, certificates: Sequence[bytes], shape: Shape) -> Iterator[bytes]:
    if shape.nested:
        inner = signed_data(digest, signer, certificates, shape._replace(nested=0))
        yield der.wrap(0xA1, _sequence(_oid("nested signature"), der.wrap(der.SET, inner * shape.nested)))


def _integer(value: int) -> bytes:
    return der.wrap(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def sign_image(image: bytes, signer: Identity, certificates: Sequence[bytes], shape: Shape = USUAL) -> bytes:
    whole = padded(image)
    return with_table(whole, entry(signed_data(digest_of(whole, shape.algorithm), signer, certificates, shape)))


SHAPES: Mapping[str, Shape] = {
    "SHA-256": Shape(),
    "SHA-1": Shape("sha1", "sha1", ("sha1",)),
    "SHA-384": Shape("sha384", "sha384", ("sha384",)),
    "SHA-512": Shape("sha512", "sha512", ("sha512",)),
    "SHA-256 of the image, SHA-384 of the attributes": Shape(
        signers_algorithm="sha384", announced=("sha256", "sha384")
    ),
    "the same, announced the other way round": Shape(signers_algorithm="sha384", announced=("sha384", "sha256")),
    "SHA-384 of the attributes, not announced": Shape(signers_algorithm="sha384"),
    "announces MD5": Shape(announced=("md5",)),
    "announces SHA-1": Shape(announced=("sha1",)),
    "announces nothing": Shape(announced=()),
    "announces SHA-256 and MD5": Shape(announced=("sha256", "md5")),
    "announces MD5 and SHA-256": Shape(announced=("md5", "sha256")),
    "no signed attributes": Shape(attributes=None),
    "no contentType": Shape(attributes=("message digest",)),
    "no messageDigest": Shape(attributes=("content type",)),
    "empty attributes": Shape(attributes=()),
    "contentType of data": Shape(type_="data"),
    "one nested signature": Shape(nested=1),
    "two nested signatures": Shape(nested=2),
    "digest is said to be SHA-1's": Shape(about="sha1"),
}
