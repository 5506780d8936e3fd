"""PCR policies that are signed elsewhere: what of an image's `.pcrsig` wants a signature, and putting it there."""

import base64
import binascii
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from fuki_build.errors import FormatError, SigningError
from fuki_build.formats.asn1 import x509
from fuki_build.formats.uki import pcrsig
from fuki_build.formats.uki.pcrsig import PolicySignature
from fuki_build.image.blob import Blob
from fuki_build.image.inspect import read_layout
from fuki_build.image.layout import Layout, PlacedSection
from fuki_build.signing.authenticode.offline import PolicyItem
from fuki_build.signing.request import DigestAlgorithm

_PUBLIC_KEY = ".pcrpkey"
_MAX_KEY = 64 * 1024


def items(layout: Layout) -> Iterator[PolicyItem]:
    """The policies of an image that want a signature. Raises `FormatError` for a broken `.pcrsig`."""
    for placed in _sections(layout):
        for bank, entry in pcrsig.missing(_decode(placed)):
            yield PolicyItem(
                algorithm=DigestAlgorithm.SHA256,
                digest=hashlib.sha256(entry.message).hexdigest(),
                message=base64.b64encode(entry.message).decode(),
                profile=placed.section.profile,
                bank=bank,
                policy=entry.pol,
                key=entry.pkfp,
                reference=entry.ref,
            )


def _sections(layout: Layout) -> list[PlacedSection]:
    return [placed for placed in layout.sections if placed.name == pcrsig.SECTION]


def _decode(placed: PlacedSection) -> pcrsig.Signatures:
    return pcrsig.decode(placed.section.content.read_small(pcrsig.MAX_SIZE, "the .pcrsig section"))


def public_keys(layout: Layout, more: Sequence[bytes]) -> Mapping[str, bytes]:
    """The RSA keys that policies can be verified with, by fingerprint: those in the image, and `more`, in DER."""
    keys = {}
    for key in [*more, *_own_keys(layout)]:
        try:
            keys[x509.rsa_fingerprint(key)] = key
        except FormatError:
            continue
    return keys


def _own_keys(layout: Layout) -> Iterator[bytes]:
    for placed in layout.sections:
        if placed.name == _PUBLIC_KEY:
            try:
                yield x509.read_public_key(placed.section.content.read_small(_MAX_KEY, "the .pcrpkey section"))
            except FormatError:
                continue


def with_signatures(layout: Layout, signed: Sequence[tuple[str, PolicyItem]], keys: Mapping[str, bytes]) -> Layout:
    """The image with these signatures in its `.pcrsig`, nothing else of it changed.

    Each item comes with its place in the document. Raises `SigningError` there for a signature that does not hold, or
    that no policy of the image wants.
    """
    items = {(item.key, item.digest): (where, item) for where, item in signed}
    signatures = {key: _verified(where, item, keys) for key, (where, item) in items.items()}

    used: set[tuple[str, str]] = set()
    file = layout.file or Blob()

    for placed in _sections(layout):
        entries = {
            bank: tuple(_with_signature(entry, signatures, used) for entry in own)
            for bank, own in _decode(placed).items()
        }

        # Padded to the section's size, so that nothing behind it moves.
        content = pcrsig.encode(entries, placed.section.content.size)
        at = placed.header.raw_offset
        behind = at + len(content)
        file = file.slice(0, at) + Blob.of_bytes(content) + file.slice(behind, file.size - behind)

    unused = next((where for key, (where, _) in items.items() if key not in used), None)
    if unused is not None:
        hint = "ask for its digests again with 'fuki digests'"
        raise SigningError("the image has no policy that wants this signature", where=unused, hint=hint)
    return read_layout(file, Path(layout.where or layout.name))


def _with_signature(
    entry: PolicySignature, signatures: Mapping[tuple[str, str], str], used: set[tuple[str, str]]
) -> PolicySignature:
    key = (entry.pkfp, hashlib.sha256(entry.message).hexdigest())
    if entry.sig is not None or key not in signatures:
        return entry
    used.add(key)
    return replace(entry, tbs=None, sig=signatures[key])


def _verified(where: str, item: PolicyItem, keys: Mapping[str, bytes]) -> str:
    """The item's signature in base64, if its key made it."""
    try:
        signature = base64.b64decode(item.signature or "", validate=True)
    except binascii.Error:
        raise SigningError("the signature is not in base64", where=f"{where}.signature") from None
    key = keys.get(item.key)
    if key is None:
        hint = "give it, or a certificate for it, with --certificate"
        raise SigningError(f"the public key {item.key[:16]}… is not known", where=f"{where}.key", hint=hint)
    if not x509.verifies(key, signature, bytes.fromhex(item.digest), item.algorithm):
        raise SigningError("the signature was not made by the key of its policy", where=f"{where}.signature")
    return base64.b64encode(signature).decode()
