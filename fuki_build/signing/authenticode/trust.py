"""What verification trusts: certificates that are given, and what Secure Boot's db and dbx hold."""

from collections.abc import Iterable

from msgspec import Struct

from fuki_build.errors import FormatError
from fuki_build.formats.asn1 import x509
from fuki_build.formats.reader import Reader
from fuki_build.formats.uefi import authenticated_variable, efi_signature_list, variable_store
from fuki_build.formats.uefi.efi_signature_list import SignatureList, SignatureType

HASHES = {
    SignatureType.SHA1: "sha1",
    SignatureType.SHA256: "sha256",
    SignatureType.SHA384: "sha384",
    SignatureType.SHA512: "sha512",
}
_REVOCATIONS = {
    SignatureType.X509_SHA256: "sha256",
    SignatureType.X509_SHA384: "sha384",
    SignatureType.X509_SHA512: "sha512",
}
_EXPECTED = "EFI signature lists, an .auth file or a variable store of OVMF's can be read"
_IS_CERTIFICATE = "this is a certificate: trust it with --certificate, or make a signature list of it"

Hash = tuple[str, bytes]
"""hashlib's name of the algorithm, and the digest."""


class Database(Struct, frozen=True):
    """db or dbx: certificates in DER, digests of images, and digests of the to-be-signed parts of certificates."""

    certificates: tuple[bytes, ...] = ()
    images: frozenset[Hash] = frozenset()
    certificate_hashes: frozenset[Hash] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.certificates or self.images or self.certificate_hashes)

    def __or__(self, other: "Database") -> "Database":
        return Database(
            self.certificates + other.certificates,
            self.images | other.images,
            self.certificate_hashes | other.certificate_hashes,
        )

    def lists_hash(self, certificate: bytes) -> bool:
        """Whether a certificate is here by its hash. Firmware asks so for a signer's and for that of db behind it."""
        names = {name for name, _ in self.certificate_hashes}
        hashes = {(name, x509.to_be_signed_hash(certificate, name)) for name in names}
        return not hashes.isdisjoint(self.certificate_hashes)


class Trust(Struct, frozen=True):
    """What may sign, and what is revoked. `db` None: nobody said, so signatures are only held against the image."""

    db: Database | None = None
    dbx: Database = Database()


def decode_database(data: bytes, variable: str) -> Database:
    """The db or dbx (`variable`) of a file: EFI signature lists, an `.auth` file, or a variable store of OVMF's.

    The lists may have a variable's attributes before them, as files of efivarfs do. No bytes are an empty database.
    Raises `FormatError`.
    """
    variables = variable_store.decode(Reader.of(data))
    if variables is not None:
        vendor = authenticated_variable.VENDORS[variable]
        data = next((v.data for v in variables if (v.name, v.vendor) == (variable, vendor)), b"")
    else:
        data = authenticated_variable.value(data)
    try:
        return _database(efi_signature_list.decode(data))
    except FormatError as error:
        error.hint = error.hint or (_IS_CERTIFICATE if _is_certificate(data) else _EXPECTED)
        raise


def _is_certificate(data: bytes) -> bool:
    try:
        return bool(x509.decode_certificates(data))
    except FormatError:
        return False


def _database(lists: Iterable[SignatureList]) -> Database:
    items = [(list_.type, signature.data) for list_ in lists for signature in list_.signatures]
    names = {kind.guid: name for kind, name in HASHES.items()}
    revocations = {kind.guid: name for kind, name in _REVOCATIONS.items()}

    return Database(
        certificates=tuple(data for type_, data in items if type_ == SignatureType.X509.guid),
        images=frozenset((names[type_], data) for type_, data in items if type_ in names),
        certificate_hashes=frozenset(
            (revocations[type_], efi_signature_list.revocation(data)[0])
            for type_, data in items
            if type_ in revocations
        ),
    )
