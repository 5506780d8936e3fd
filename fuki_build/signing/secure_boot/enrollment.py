"""Secure Boot keys from files into the variable store of a firmware image, through a plugin that writes it."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from uuid import NAMESPACE_OID, UUID, uuid5

from msgspec import Struct, structs

from fuki_build.errors import FormatError, FukiError, PluginError, RecipeError, raised_as
from fuki_build.formats.asn1 import x509
from fuki_build.formats.uefi import authenticated_variable, efi_signature_list, variable_store
from fuki_build.formats.uefi.authenticated_variable import VENDORS
from fuki_build.formats.uefi.efi_signature_list import SignatureList, SignatureType
from fuki_build.formats.uefi.variable_store import StoredVariable
from fuki_build.hooks.enrollers import Enroller, SecureBootKeys
from fuki_build.hooks.host import Contribution
from fuki_build.hooks.sources import SourceContext
from fuki_build.image.blob import Blob

_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")
_ENABLE = "SecureBootEnable", UUID("f0a30bc7-af08-4556-99c4-001009c93a44")
"""edk2's switch: gEfiSecureBootEnableDisableGuid."""
_LISTS = {*VENDORS, "MokList", "MokListX", "MokListRT", "MokListXRT", "TlsCaCertificate"}
"""Variables that hold signature lists, by edk2 and shim. Programs that edit stores go by the name alone."""
_OURS = {"PK", "KEK", "db", "dbx", _ENABLE[0], "CustomMode"}


class KeyFiles(Struct, frozen=True, kw_only=True):
    """Paths of certificates (PEM or DER), and for `dbx` of signature lists or `.auth` files too, or SHA-256 hashes."""

    pk: str
    kek: Sequence[str] = ()
    db: Sequence[str] = ()
    dbx: Sequence[str] = ()
    owner: UUID | None = None
    microsoft: bool = False
    secure_boot: bool = True


def load_keys(files: KeyFiles, read: Callable[[str, str], bytes], place: Callable[[str], str]) -> SecureBootKeys:
    """Read the files. `read(path, where)` gives a file's content, `place(key)` what errors call a key.

    Without an owner, the entries get a GUID that follows from the PK. Raises `RecipeError`.
    """

    def certificates(key: str, paths: Sequence[str]) -> Iterator[bytes]:
        for index, path in enumerate(paths):
            where = place(f"{key}[{index}]")
            with raised_as(RecipeError, where, of=FormatError, about=str(path)):
                yield from _usable(x509.decode_certificates(read(path, where)))

    if not (files.db or files.microsoft):
        raise RecipeError("with an empty db nothing would boot", where=place("db"), hint="name a certificate")

    where = place("pk")
    pk = _only_certificate(files.pk, read(files.pk, where), where)
    owner = files.owner or uuid5(NAMESPACE_OID, x509.fingerprint(pk))

    return SecureBootKeys(
        owner=owner,
        pk=pk,
        kek=tuple(certificates("kek", files.kek)),
        db=tuple(certificates("db", files.db)),
        dbx=tuple(load_lists("dbx", files.dbx, owner, read, place)),
        microsoft=files.microsoft,
        secure_boot=files.secure_boot,
    )


def _usable(certificates: list[bytes]) -> list[bytes]:
    """The certificates; `FormatError` for one whose key no firmware verifies anything with."""
    for certificate in certificates:
        x509.public_key_of(certificate)
    return certificates


def _only_certificate(path: str, data: bytes, where: str) -> bytes:
    """The one certificate of a file, in DER. Raises `RecipeError`."""
    with raised_as(RecipeError, where, of=FormatError, about=str(path)):
        certificates = _usable(x509.decode_certificates(data))
    if len(certificates) != 1:
        raise RecipeError(f"{path} holds {len(certificates)} certificates, and there is one PK", where=where)
    return certificates[0]


def load_lists(
    key: str, items: Sequence[str], owner: UUID, read: Callable[[str, str], bytes], place: Callable[[str], str]
) -> Iterator[SignatureList]:
    """The signature lists that `items` lead to: files of several kinds, and SHA-256 hashes. As `load_keys`."""
    for index, item in enumerate(items):
        where = place(f"{key}[{index}]")
        if _SHA256.fullmatch(item):
            yield efi_signature_list.hash_list(SignatureType.SHA256, [bytes.fromhex(item)], owner)
            continue
        try:
            yield from _decode_lists(read(item, where), owner)
        except FormatError as error:
            raise RecipeError(
                f"{item}: {error.message}",
                where=where,
                hint="signature lists (.esl), .auth files, certificates and SHA-256 hashes do",
            ) from error


def _decode_lists(data: bytes, owner: UUID) -> Iterator[SignatureList]:
    if data.startswith((b"-----", b"\x30")):
        for certificate in x509.decode_certificates(data):
            yield efi_signature_list.certificate_list(certificate, owner)
    else:
        yield from efi_signature_list.decode(authenticated_variable.value(data))


def enroll(
    source: Path, target: Path, keys: SecureBootKeys, enroller: Contribution[type[Enroller]], context: SourceContext
) -> None:
    """Write the firmware image at `source` to `target` with Secure Boot's variables set to `keys`.

    PK, KEK and db are replaced, and dbx is added to: what was revoked stays so. Raises `FukiError` where the image has
    no variable store, and `PluginError` where what was written is not what was asked for.
    """
    before = read_variables(source)
    _check_lists(source)
    revoked = tuple(_union(_lists(before, "dbx"), keys.dbx))
    whole = structs.replace(keys, dbx=revoked)
    with enroller.running():
        enroller.thing().enroll(source, target, whole, context)
    wrong = _wrong(source, target, before, whole)
    if wrong:
        raise PluginError(f"{enroller.plugin} was to enroll Secure Boot keys in {source.name}, and wrote {wrong}")


def _check_lists(source: Path) -> None:
    """Refuse a store with a list that cannot be read: programs that edit stores read all of them, and do not expect it.

    Raises `FormatError`.
    """
    for variable in variable_store.decode_written(Blob.of_file(source).reader):
        if variable.name in _LISTS:
            try:
                efi_signature_list.decode(variable.data)
            except FormatError as error:
                hint = "the store is damaged; take a fresh one from the firmware's package"
                raise FormatError(f"{source}: {variable.name} is damaged: {error.message}", hint=hint) from error


def _wrong(source: Path, target: Path, before: Sequence[StoredVariable], keys: SecureBootKeys) -> str | None:
    """What is wrong with the image that was written, in words; None for nothing."""
    try:
        if Blob.of_file(target).size != Blob.of_file(source).size:
            return "a file of another size"
        return _difference(before, read_variables(target), keys)
    except FukiError as error:
        return f"no firmware ({error.message})"


def read_variables(path: Path) -> tuple[StoredVariable, ...]:
    """The variables in a firmware image's store. Raises `FormatError` where there is none."""
    with raised_as(FormatError, of=FormatError, about=str(path)):
        variables = variable_store.decode(Blob.of_file(path).reader)
    if variables is None:
        hint = "keys are enrolled in OVMF_VARS.fd, or in an OVMF.fd that holds code and variables"
        raise FormatError(f"{path} has no UEFI variable store", hint=hint)
    return variables


def _lists(variables: Iterable[StoredVariable], name: str) -> tuple[SignatureList, ...]:
    data = _value(variables, name, VENDORS[name])
    return () if data is None else efi_signature_list.decode(data)


def _value(variables: Iterable[StoredVariable], name: str, vendor: UUID) -> bytes | None:
    return next((v.data for v in variables if (v.name, v.vendor) == (name, vendor)), None)


def _union(old: Iterable[SignatureList], new: Iterable[SignatureList]) -> Iterator[SignatureList]:
    """Old lists as they are, then what is new in new ones."""
    seen: set[tuple[UUID, bytes]] = set()
    for one in (*old, *new):
        fresh = tuple(s for s in one.signatures if (one.type, s.data) not in seen)
        seen.update((one.type, s.data) for s in fresh)
        if fresh:
            yield structs.replace(one, signatures=fresh)


def _difference(before: Sequence[StoredVariable], after: Sequence[StoredVariable], keys: SecureBootKeys) -> str | None:
    """What is wrong with a store, in words; None for nothing."""
    expected = {
        "PK": {(SignatureType.X509.guid, keys.pk)},
        "KEK": {(SignatureType.X509.guid, der) for der in keys.kek},
        "db": {(SignatureType.X509.guid, der) for der in keys.db},
        "dbx": _entries(keys.dbx),
    }

    for name, entries in expected.items():
        enrolled = _entries(_lists(after, name))
        may_have_more = name == "dbx" or (keys.microsoft and name != "PK")
        if not (entries <= enrolled if may_have_more else entries == enrolled):
            return f"another {name}"

    if _value(after, *_ENABLE) != bytes([keys.secure_boot]):
        return f"another {_ENABLE[0]}"

    # Enrolling must not lose other variables of the store.
    left = {variable for variable in before if variable.name not in _OURS}
    return None if left <= set(after) else "a store that lacks other variables"


def _entries(lists: Iterable[SignatureList]) -> set[tuple[UUID, bytes]]:
    return {(one.type, signature.data) for one in lists for signature in one.signatures}
