"""What fuki, OVMF, sbverify and osslsigncode say of each variant."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import parts
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from fuki_build.errors import FukiError
from fuki_build.formats.uefi import efi_signature_list
from fuki_build.formats.uefi.efi_signature_list import Signature, SignatureList, SignatureType
from fuki_build.image.inspect import inspect
from fuki_build.signing.authenticode.signature import SignatureVerdict
from fuki_build.signing.authenticode.trust import Trust, decode_database
from fuki_build.signing.authenticode.verify import verify
from fuki_build.testing import succeed
from tests.support.firmware_verdicts import starts
from tests.support.signature_variants import Variant

_OWNER = UUID("f5a96b31-dba0-4faa-a42a-7a0c9832768e")


class Verdicts(NamedTuple):
    """What each says; `fuki` in its own words, the others whether they accept."""

    variant: Variant
    fuki: str
    reason: str
    ovmf: bool
    sbverify: bool
    osslsigncode: bool


class Lists(NamedTuple):
    """db and dbx for all variants at once: whom each trusts has a name of its own."""

    certificates: tuple[bytes, ...]
    images: tuple[bytes, ...]
    db: bytes
    dbx: bytes


def lists_of(variants: Sequence[Variant]) -> Lists:
    certificates = tuple(dict.fromkeys(der for variant in variants for der in variant.db))
    images = tuple(dict.fromkeys(digest for variant in variants for digest in variant.db_images))
    revoked = tuple(dict.fromkeys(der for variant in variants for der in variant.dbx))
    hashes = [digest + bytes(16) for variant in variants for digest in variant.dbx_hashes]

    allowed = [efi_signature_list.certificate_list(der, _OWNER) for der in certificates]
    if images:
        allowed.append(efi_signature_list.hash_list(SignatureType.SHA256, images, _OWNER))

    denied = [efi_signature_list.certificate_list(der, _OWNER) for der in revoked]
    refused = [digest for variant in variants for digest in variant.dbx_images]
    if refused:
        denied.append(efi_signature_list.hash_list(SignatureType.SHA256, refused, _OWNER))
    if hashes:
        entries = tuple(Signature(_OWNER, data) for data in hashes)
        denied.append(SignatureList(SignatureType.X509_SHA256.guid, entries))

    encode = efi_signature_list.encode
    return Lists(certificates, images, encode(allowed), encode(denied))


def enrolled(directory: Path, lists: Lists) -> Path:
    """A variable store with all that, and `db.pem` of `keys`, which signs the program that asks."""
    succeed(directory, "keys", "generate", "keys", "--name", "Verdicts")
    (directory / "dbx.esl").write_bytes(lists.dbx)
    db = ["--db", "keys/db.pem"]
    for number, der in enumerate(lists.certificates):
        name = f"db-{number}.pem"
        (directory / name).write_bytes(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM))
        db += ["--db", name]
    keys = ("--pk", "keys/PK.pem", "--kek", "keys/KEK.pem", *db, "--dbx", "dbx.esl")
    enroll = ("--plugin", "virt-firmware", "keys", "enroll", parts.get("ovmf-vars"))
    succeed(directory, *enroll, "-o", "keys.fd", *keys)
    from fuki_virt_firmware import find_program

    hashes = [word for digest in lists.images for word in ("--add-db-hash", str(_OWNER), digest.hex())]
    command = [find_program(), "--input", "keys.fd", "--output", "vars.fd", *hashes]
    subprocess.run(command, cwd=directory, check=True, capture_output=True)
    return directory / "vars.fd"


def verdicts(directory: Path, variants: Sequence[Variant]) -> list[Verdicts]:
    """One guest answers for OVMF; sbverify and osslsigncode trust what each variant trusts."""
    lists = lists_of(variants)
    store = enrolled(directory, lists)
    started = starts(directory, [variant.image for variant in variants], store, directory / "keys")

    trust = Trust(decode_database(lists.db, "db"), decode_database(lists.dbx, "dbx"))
    verdicts = []
    for variant, firmware in zip(variants, started, strict=True):
        path = directory / "variant.efi"
        path.write_bytes(variant.image)
        said, reason = fuki_says(path, trust)
        verdicts.append(
            Verdicts(
                variant, said, reason, firmware, accepts_sbverify(path, variant), accepts_osslsigncode(path, variant)
            )
        )

    return verdicts


def fuki_says(path: Path, trust: Trust) -> tuple[str, str]:
    """fuki's verdict and reason."""
    try:
        report = verify(inspect(path), trust)
    except FukiError as error:
        return "refused", error.message
    return report.verdict, report.reason


def accepts_sbverify(path: Path, variant: Variant) -> bool:
    """With any of the trusted certificates; it knows no dbx."""
    for number, der in enumerate(variant.db):
        certificate = path.with_name(f"trusted-{number}.pem")
        certificate.write_bytes(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM))
        done = subprocess.run(["sbverify", "--cert", certificate, path], capture_output=True, check=False)
        assert done.returncode in {0, 1}, done
        if not done.returncode:
            return True
    return False


def accepts_osslsigncode(path: Path, variant: Variant) -> bool:
    """With all of the trusted certificates; it knows no dbx."""
    if not variant.db:
        return False
    trusted = path.with_name("trusted.pem")
    pem = (x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in variant.db)
    trusted.write_bytes(b"".join(pem))
    command: list[str | Path] = ["osslsigncode", "verify", "-CAfile", trusted, "-in", path]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.returncode == 0


class Difference(NamedTuple):
    """Why a program says of some variants, by a pattern of their names, the opposite of what OVMF says."""

    program: str
    variants: str
    reason: str


DIFFERENCES = (
    Difference(
        "fuki",
        "signed with SHA-384, SHA-256 in dbx",
        "a digest in dbx revokes whatever the signature's digest is, "
        "as UEFI 2.10 (32.5.3.3) has it; edk2 looks for the digest of the signature's kind only",
    ),
    Difference(
        "sbverify", ".*; revoked|.* in dbx(,.*| reissued)?|table: (good, revoked.*|revoked, good)", "it knows no dbx"
    ),
    Difference(
        "sbverify",
        "table: (good, |)(no certificates|cut short inside)(, good|)",
        "it knows no dbx; because of it, edk2 refuses an image with a signature whose signer it cannot find",
    ),
    Difference("sbverify", ".*; SHA-(1|384|512)|signed with SHA-384, SHA-256 in dbx", "it makes SHA-256 digests only"),
    Difference(
        "sbverify",
        ".*; (the same, announced the other way round|announces MD5 and SHA-256)",
        "edk2 hashes with the algorithm that is announced first, others with that of the digest",
    ),
    Difference("sbverify", ".*; digest is said to be SHA-1's", "edk2 does not look at what the digest says of itself"),
    Difference("sbverify", "leaf (for servers|without digitalSignature)", "it asks what a signer's certificate is for"),
    Difference(
        "sbverify",
        "cross-signed, one root in db",
        "it takes the chain, which OpenSSL itself refuses: its first issuer is not there",
    ),
    Difference(
        "sbverify",
        "table: (of another image|nonsense|of a kind that nobody knows), good",
        "it looks no further than a signature that it can do nothing with",
    ),
    Difference(
        "sbverify", "table: (revision 1|of the kind EFI_GUID)", "it takes entries of revision 2 and type 2 only"
    ),
    Difference(
        "sbverify", "table: (8|16) zeros behind the last entry", "it does not ask that the entries fill the table"
    ),
    Difference("sbverify", "un.*, digest.* in db", "it knows no digests in db"),
    Difference(
        "osslsigncode", "(gap|two gaps).*", "it hashes a file from its start to its end, bytes of no section too"
    ),
    Difference("osslsigncode", ".* in dbx( reissued)?|signed with SHA-256, SHA-256 in dbx", "it knows no dbx"),
    Difference("osslsigncode", "(intermediate|leaf) in db", "it wants a root of the chain to be trusted"),
    Difference(
        "osslsigncode",
        ".*; (the same, announced the other way round|announces MD5 and SHA-256)",
        "edk2 hashes with the algorithm that is announced first, others with that of the digest",
    ),
    Difference(
        "osslsigncode", ".*; digest is said to be SHA-1's", "edk2 does not look at what the digest says of itself"
    ),
    Difference("osslsigncode", "leaf for servers", "it asks what a signer's certificate is for"),
    Difference("osslsigncode", "(leaf|intermediate) (expired|not yet valid)", "it looks at times"),
    Difference("osslsigncode", "two roots of one name in db", "it takes the first root of that name"),
    Difference("osslsigncode", "table: .*, .*", "it reads one signature, which fills the table"),
    Difference(
        "osslsigncode", "table: (revision 1|of the kind EFI_GUID)", "it takes entries of revision 2 and type 2 only"
    ),
    Difference("osslsigncode", "un.*, digest.* in db", "it knows no digests in db"),
)


def disagreeing(verdicts: Verdicts) -> dict[str, str]:
    """The programs that say the opposite of OVMF, and why; no reason where none is known."""
    says = {
        "fuki": verdicts.fuki == SignatureVerdict.VALID,
        "sbverify": verdicts.sbverify,
        "osslsigncode": verdicts.osslsigncode,
    }
    return {
        program: next((d.reason for d in DIFFERENCES if (d.program, True) == (program, _is_about(d, verdicts))), "")
        for program, accepts in says.items()
        if accepts != verdicts.ovmf
    }


def _is_about(difference: Difference, verdicts: Verdicts) -> bool:
    return bool(re.fullmatch(difference.variants, verdicts.variant.name))


def page(variants: Sequence[Verdicts]) -> str:
    """The page of the documentation."""
    notes: dict[str, int] = {}
    rows = []
    for one in variants:
        why = {program: notes.setdefault(why, len(notes) + 1) for program, why in disagreeing(one).items()}
        cells = {
            "fuki": str(one.fuki),
            "OVMF": "starts" if one.ovmf else "refuses",
            "sbverify": "accepts" if one.sbverify else "refuses",
            "osslsigncode": "accepts" if one.osslsigncode else "refuses",
        }
        words = (text + (f" ({why[program]})" if program in why else "") for program, text in cells.items())
        rows.append(f"| {one.variant.name} | {' | '.join(words)} |")

    reasons = "\n".join(f"{number}. {why[0].upper()}{why[1:]}." for why, number in notes.items())
    return _PAGE.format(count=len(variants), rows="\n".join(rows), reasons=reasons)


_PAGE = """\
# What programs say of signed images

Written by `make verdict-table`. Each line is an image that the test suite makes
([tests/boot/test_signature_verdicts.py](../tests/boot/test_signature_verdicts.py)): {count} combinations of structures,
chains, digests and certificate tables. OVMF of edk2 2026.08 loaded each of them under Secure Boot, with all their
certificates in one `db` and one `dbx`; `fuki verify` was asked with the same lists, sbverify and osslsigncode with what
the image's own line trusts. A number leads to the reason why a program disagrees with OVMF.

"Gap" means bytes between the header and the last section's end that belong to no section; "behind" is behind the last
section. Where nothing else is said, an image is the addon stub of systemd 262.1, signed by a leaf that an intermediate
issued, which its root issued, with that root in `db`.

| image | fuki | OVMF | sbverify | osslsigncode |
|---|---|---|---|---|
{rows}

{reasons}
"""
