"""What in db vouches for an image: the entry that firmware measures when it lets the image start."""

from collections.abc import Iterator

from fuki_build.errors import FormatError
from fuki_build.formats.asn1 import signed_data, x509
from fuki_build.formats.asn1.signed_data import SignedData
from fuki_build.formats.uefi import efi_signature_list
from fuki_build.formats.uefi.efi_signature_list import SignatureType
from fuki_build.image.assembly import Assembly
from fuki_build.image.layout import Layout
from fuki_build.image.signatures import signatures
from fuki_build.signing.authenticode.chain import Chains
from fuki_build.signing.authenticode.signature import made_by, signers_certificate
from fuki_build.signing.authenticode.trust import HASHES


def authority(layout: Layout, assembly: Assembly, db: bytes) -> bytes:
    """The EFI_SIGNATURE_DATA (owner and data) of `db` that vouches for an image; empty where none does.

    As in DxeImageVerificationLib: each signature in its order, through the first certificate of db that a chain leads
    to; then the image's digest. Revocations are not looked at. Raises `FormatError` where `db` is damaged.
    """
    lists = efi_signature_list.decode(db)
    known = [
        (s.owner.bytes_le, s.data) for list_ in lists if list_.type == SignatureType.X509.guid for s in list_.signatures
    ]

    for signature in _signatures(layout):
        chains = _chains(signature, assembly)
        for owner, certificate in known:
            if chains is not None and chains.lead_to(certificate):
                return owner + certificate

    for list_ in lists:
        name = next((name for kind, name in HASHES.items() if kind.guid == list_.type), None)
        for entry in list_.signatures if name in assembly.image_digests else ():
            if name is not None and entry.data.hex() == assembly.image_digests[name]:
                return entry.owner.bytes_le + entry.data
    return b""


def _signatures(layout: Layout) -> Iterator[SignedData]:
    for data in signatures(layout):
        try:
            yield signed_data.decode(data)
        except FormatError:
            continue


def _chains(signature: SignedData, assembly: Assembly) -> Chains | None:
    """The chains behind a signature about this image that its signer made."""
    if signature.digest.hex() != assembly.image_digests.get(signature.firmware_algorithm or ""):
        return None
    try:
        own = signers_certificate(signature)
        return Chains(own, signature.certificates) if made_by(x509.public_key_of(own), signature) else None
    except FormatError:
        return None
