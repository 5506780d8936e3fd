"""Signed images in all shapes that the world's programs may disagree on: structures, chains, digests, tables.

Everything is made here byte by byte, or by sbsign and osslsigncode: fuki's own signing is one maker among others.
"""

import hashlib
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from struct import pack_into, unpack_from
from typing import NamedTuple

import parts
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from fuki_build.formats.asn1 import der
from fuki_build.testing import succeed
from fuki_build.testing.secure_boot import Identity, PrivateKey, write_certificates, write_key
from tests.support.certificate_chains import Chain, chains, data_of, key_of

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


class Variant(NamedTuple):
    """An image, and what is trusted and revoked for its sake: certificates in DER, and SHA-256 hashes."""

    name: str
    image: bytes
    db: tuple[bytes, ...] = ()
    dbx: tuple[bytes, ...] = ()
    dbx_hashes: tuple[bytes, ...] = ()
    db_images: tuple[bytes, ...] = ()
    dbx_images: tuple[bytes, ...] = ()


# What is inside an image


def places(image: bytes) -> list[tuple[int, int]]:
    """Of each section its size and place in the file."""
    return _places(image)[2]


def _places(image: bytes) -> tuple[int, int, list[tuple[int, int]]]:
    """Offsets of the PE header and of the section table, and of each section its size and place in the file."""
    (start,) = unpack_from("<I", image, 60)
    count, optional = unpack_from("<H", image, start + 6)[0], unpack_from("<H", image, start + 20)[0]
    table = start + 24 + optional
    return start, table, [unpack_from("<II", image, table + 40 * index + 16) for index in range(count)]


def insert(image: bytes, at: int, more: bytes) -> bytes:
    """The image with bytes that belong to no section put in before offset `at`; sections behind it move."""
    data = bytearray(image)
    _, table, sections = _places(image)
    data[at:at] = more
    for index, (size, place) in enumerate(sections):
        if size and place >= at:
            pack_into("<I", data, table + 40 * index + 20, place + len(more))
    return bytes(data)


def _swap_headers(image: bytes) -> bytes:
    """The image with its section headers in another order than the sections stand in the file."""
    _, table, _ = _places(image)
    return image[:table] + image[table + 40 : table + 80] + image[table : table + 40] + image[table + 80 :]


def base() -> bytes:
    return parts.get("addon-stub-x64").read_bytes()


def _gap(size: int, which: int) -> Callable[[], bytes]:
    return lambda: insert(base(), sorted(place for _, place in _places(base())[2])[which], b"G" * size)


STRUCTURES: Mapping[str, Callable[[], bytes]] = {
    "plain": base,
    "gap of 512 between sections": _gap(512, 1),
    "gap of 512 behind the header": _gap(512, 0),
    "gap of 4096": _gap(4096, 1),
    "two gaps": lambda: insert(_gap(512, 1)(), 0x400, b"H" * 512),
    "gap and 1000 bytes behind": lambda: _gap(512, 1)() + b"T" * 1000,
    "gap of 7": _gap(7, 1),
    "1 byte behind": lambda: base() + b"T",
    "7 bytes behind": lambda: base() + b"T" * 7,
    "8 bytes behind": lambda: base() + b"T" * 8,
    "1000 bytes behind": lambda: base() + b"T" * 1000,
    "section headers swapped": lambda: _swap_headers(base()),
}


def digest_of(image: bytes, algorithm: str) -> bytes:
    """As edk2 hashes an image without a signature (HashPeImage), in words of our own."""
    start, _, sections = _places(image)
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
    pack_into("<II", data, _places(image)[0] + 24 + 112 + 8 * 4, len(image), len(table) if size is None else size)
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


_USUAL = Shape()


def _sign(key: PrivateKey, data: bytes, algorithm: str) -> bytes:
    return key.sign(data, padding.PKCS1v15(), _HASHES[algorithm]())  # type: ignore[call-arg, arg-type]


def signed_data(digest: bytes, signer: Identity, certificates: Sequence[bytes], shape: Shape = _USUAL) -> bytes:
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


def sign_image(image: bytes, signer: Identity, certificates: Sequence[bytes], shape: Shape = _USUAL) -> bytes:
    whole = padded(image)
    return with_table(whole, entry(signed_data(digest_of(whole, shape.algorithm), signer, certificates, shape)))


# All of them

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


def variants(directory: Path) -> list[Variant]:
    """All of them; `directory` is for what signing programs leave."""
    known = chains()
    return [
        *_crossed(known["root in db"], known["root in dbx, not carried"], known["not in db"]),
        *(_of_chain(name, chain) for name, chain in known.items()),
        *_of_programs(directory, known["self-signed in db"]),
        *_tables(known["self-signed in db"], known["leaf in dbx"], known["not in db"]),
        *_contents(known["self-signed in db"]),
    ]


def _of_chain(name: str, chain: Chain, image: bytes | None = None, shape: Shape = _USUAL) -> Variant:
    carried = [data_of(identity) for identity in chain.carried]
    signed = sign_image(image or base(), chain.signer, carried, shape)
    db, dbx = (tuple(map(data_of, identities)) for identities in (chain.db, chain.dbx))
    hashed = tuple(hashlib.sha256(i.certificate.tbs_certificate_bytes).digest() for i in chain.dbx_hashes)
    return Variant(name, signed, db, dbx, hashed)


def _crossed(*chosen: Chain) -> Iterator[Variant]:
    """Structure by digest under a good chain, and each structure under a revoked and an unknown one."""
    good, revoked, unknown = chosen
    for structure, make in STRUCTURES.items():
        for words, shape in SHAPES.items() if structure in {"plain", "gap and 1000 bytes behind"} else [("", Shape())]:
            yield _of_chain(f"{structure}; {words}".rstrip("; "), good, make(), shape)
        yield _of_chain(f"{structure}; revoked", revoked, make())
        yield _of_chain(f"{structure}; unknown", unknown, make())


def _of_programs(directory: Path, chain: Chain) -> Iterator[Variant]:
    write_key(directory / "own.key", chain.signer.key)
    write_certificates(directory / "own.pem", chain.signer.certificate)
    for structure, make in STRUCTURES.items():
        (directory / "in.efi").write_bytes(make())
        for program, command in {
            "sbsign": "sbsign --key own.key --cert own.pem --output out.efi in.efi",
            "osslsigncode": "osslsigncode sign -h sha256 -certs own.pem -key own.key -in in.efi -out out.efi",
            "fuki": "fuki sign in.efi --key own.key --certificate own.pem -o out.efi",
        }.items():
            (directory / "out.efi").unlink(missing_ok=True)
            _run(directory, command)
            db = tuple(map(data_of, chain.db))
            yield Variant(f"{structure}; signed by {program}", (directory / "out.efi").read_bytes(), db)


def _run(directory: Path, command: str) -> None:
    program, *words = command.split()
    if program == "fuki":
        succeed(directory, *words)
    else:
        subprocess.run([program, *words], cwd=directory, check=True, capture_output=True)


def _tables(good: Chain, revoked: Chain, unknown: Chain) -> Iterator[Variant]:
    """What stands in a certificate table, and where it stands."""
    whole = base()
    digest = digest_of(whole, "sha256")

    def signature(chain: Chain, about: bytes = digest, shape: Shape = _USUAL) -> bytes:
        return signed_data(about, chain.signer, [data_of(identity) for identity in chain.carried], shape)

    db = tuple(map(data_of, (*good.db, *revoked.db)))
    dbx = tuple(map(data_of, revoked.dbx))
    own, denied, strange = entry(signature(good)), entry(signature(revoked)), entry(signature(unknown))
    other = entry(signature(good, bytes(32)))
    md5 = entry(signature(good, digest, Shape(announced=("md5",))))
    bare = entry(signed_data(digest, good.signer, []))

    def made(name: str, image: bytes, *images: bytes) -> Variant:
        return Variant(name, image, db, dbx, (), images)

    for name, table in {
        "good, unknown": own + strange,
        "unknown, good": strange + own,
        "good, revoked": own + denied,
        "revoked, good": denied + own,
        "good, of another image": own + other,
        "of another image, good": other + own,
        "announces MD5, good": md5 + own,
        "good, announces MD5": own + md5,
        "no certificates": bare,
        "good, no certificates": own + bare,
        "good, cut short inside": own + entry(signature(unknown)[:-300]),
        "no certificates, good": bare + own,
        "good, nonsense": own + entry(b"\x30\x82\x01\x00" + b"x" * 300),
        "nonsense, good": entry(b"\x30\x82\x01\x00" + b"x" * 300) + own,
        "of a kind that nobody knows, good": entry(b"x" * 64, kind=0x7777) + own,
        "good, of a kind that nobody knows": own + entry(b"x" * 64, kind=0x7777),
        "of the kind EFI_GUID": in_guid(signature(good)),
        "good, revoked of the kind EFI_GUID": own + in_guid(signature(revoked)),
        "revision 1": entry(signature(good), revision=0x100),
        "zeros behind the signature": entry(signature(good) + bytes(40)),
        "of another image": other,
        "8 zeros behind the last entry": own + bytes(8),
        "16 zeros behind the last entry": own + bytes(16),
    }.items():
        yield made(f"table: {name}", with_table(whole, table))
    unpadded = (8 + len(signature(good))) % 8
    assert unpadded, "the signature's size is a multiple of 8 by chance"
    yield made("table: the last entry's padding is not counted", with_table(whole, own, len(own) - 8 + unpadded))
    yield made("table: cut in the last entry", with_table(whole, own[:-16]))
    yield made("bytes behind the table", with_table(whole, own) + b"B" * 64)
    odd = base() + b"T" * 5
    about = digest_of(padded(odd), "sha256")
    yield made("odd size, padding cut, table moved up", with_table(odd, entry(signature(good, about))))
    about = digest_of(odd, "sha256")
    yield made("odd size, table right behind it", with_table(odd, entry(signature(good, about))))
    yield made("unsigned", whole)

    listed = _unlike(1)
    yield made("unsigned, digest in db", listed, digest_of(listed, "sha256"))
    listed = _unlike(2) + b"T" * 5
    yield made("unsigned, odd size, digest of the file in db", listed, digest_of(listed, "sha256"))
    listed = _unlike(3) + b"T" * 5
    yield made("unsigned, odd size, digest of the padded file in db", listed, digest_of(padded(listed), "sha256"))
    listed = _unlike(4)
    about = digest_of(listed, "sha256")
    yield made("unknown signer, digest in db", with_table(listed, entry(signature(unknown, about))), about)
    listed = _unlike(5)
    about = digest_of(listed, "sha256")
    announced = signature(good, about, Shape(announced=("md5",)))
    yield made("announces MD5, digest in db", with_table(listed, entry(announced)), about)
    for number, words in ((7, "SHA-256"), (8, "SHA-384")):
        listed = _unlike(number)
        made_with = sign_image(listed, good.signer, db[:1], SHAPES[words])
        yield Variant(
            f"signed with {words}, SHA-256 in dbx", made_with, db, dbx, dbx_images=(digest_of(listed, "sha256"),)
        )
    listed = _unlike(6)
    about = digest_of(listed, "sha256")
    yield made("signed with SHA-384 by a stranger, SHA-256 in db", _by_stranger(listed, unknown), about)


def _by_stranger(image: bytes, chain: Chain) -> bytes:
    return sign_image(image, chain.signer, [data_of(identity) for identity in chain.carried], SHAPES["SHA-384"])


def _unlike(number: int) -> bytes:
    """The image with another digest than all others have."""
    return base() + number.to_bytes(8)


def _contents(good: Chain) -> Iterator[Variant]:
    """Changes after signing."""
    db = tuple(map(data_of, good.db))
    gap = _gap(512, 1)()
    signed = sign_image(gap, good.signer, db)
    at = signed.index(b"G" * 512)
    yield Variant("gap: its bytes changed after signing", signed[:at] + b"X" * 512 + signed[at + 512 :], db)
    _, _, sections = _places(signed)
    last = max(place + size for size, place in sections)
    yield Variant("gap: a byte of the last section changed", signed[: last - 1] + b"X" + signed[last:], db)
    plain = sign_image(base(), good.signer, db)
    start = _places(plain)[0]
    yield Variant("the checksum changed", plain[: start + 88] + b"\1\2\3\4" + plain[start + 92 :], db)
    yield Variant("a byte of a section changed", plain[:0x401] + b"X" + plain[0x402:], db)
    forged = Identity(key_of(4), good.signer.certificate)
    yield Variant("signed by another key", sign_image(base(), forged, db), db)
