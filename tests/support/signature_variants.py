"""Signed images in all shapes that the world's programs may disagree on: structures, chains, digests, tables.

Everything is made here byte by byte, or by sbsign and osslsigncode: fuki's own signing is one maker among others.
"""

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fuki_build.testing import succeed
from fuki_build.testing.secure_boot import Identity, write_certificates, write_key
from tests.support.certificate_chains import Chain, chains, data_of, key_of
from tests.support.signature_shapes import (
    SHAPES,
    STRUCTURES,
    USUAL,
    Shape,
    base,
    digest_of,
    entry,
    in_guid,
    layout_of,
    padded,
    sign_image,
    signed_data,
    with_gap,
    with_table,
)


class Variant(NamedTuple):
    """An image, and what is trusted and revoked for its sake: certificates in DER, and SHA-256 hashes."""

    name: str
    image: bytes
    db: tuple[bytes, ...] = ()
    dbx: tuple[bytes, ...] = ()
    dbx_hashes: tuple[bytes, ...] = ()
    db_images: tuple[bytes, ...] = ()
    dbx_images: tuple[bytes, ...] = ()


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


def _of_chain(name: str, chain: Chain, image: bytes | None = None, shape: Shape = USUAL) -> Variant:
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

    def signature(chain: Chain, about: bytes = digest, shape: Shape = USUAL) -> bytes:
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
    gap = with_gap(512, 1)()
    signed = sign_image(gap, good.signer, db)
    at = signed.index(b"G" * 512)
    yield Variant("gap: its bytes changed after signing", signed[:at] + b"X" * 512 + signed[at + 512 :], db)
    _, _, sections = layout_of(signed)
    last = max(place + size for size, place in sections)
    yield Variant("gap: a byte of the last section changed", signed[: last - 1] + b"X" + signed[last:], db)
    plain = sign_image(base(), good.signer, db)
    start = layout_of(plain)[0]
    yield Variant("the checksum changed", plain[: start + 88] + b"\1\2\3\4" + plain[start + 92 :], db)
    yield Variant("a byte of a section changed", plain[:0x401] + b"X" + plain[0x402:], db)
    forged = Identity(key_of(4), good.signer.certificate)

    yield Variant("signed by another key", sign_image(base(), forged, db), db)
