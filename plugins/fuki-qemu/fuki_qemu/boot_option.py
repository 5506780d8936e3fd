"""A boot option with a command line, and trust in one file, as variables of the firmware."""

from uuid import UUID

from fuki_build.formats.reader import Reader
from fuki_build.formats.uefi import efi_signature_list, efi_time, variable_store
from fuki_build.formats.uefi.authenticated_variable import GLOBAL_VENDOR, VENDORS
from fuki_build.formats.uefi.efi_signature_list import SignatureType
from fuki_build.formats.uefi.variable_store import StoredVariable

_OWNER = UUID("6a0f9c3e-3c6b-4d0e-9a53-2f0b8a7f5c11")
"""Marks the entry as ours."""
_NON_VOLATILE, _BOOT, _RUNTIME = 1, 2, 4
_ACTIVE = 1
_MEDIA_PATH, _FILE_PATH = 4, 4
_END_OF_PATH = bytes.fromhex("7fff0400")


def with_boot_option(store: bytes, path: str, options: str) -> bytes:
    """The store with an only boot option: the file at `path` of whatever disk has it, given `options`.

    Source: UEFI 2.10, 3.1.3 (EFI_LOAD_OPTION) and 3.1.2 (a path of a file alone). Raises `FormatError`.
    """
    name = _text(path)
    node = bytes([_MEDIA_PATH, _FILE_PATH]) + (4 + len(name)).to_bytes(2, "little") + name
    devices = node + _END_OF_PATH

    option = _ACTIVE.to_bytes(4, "little") + len(devices).to_bytes(2, "little") + _text("fuki") + devices
    for title, data in (("Boot0000", option + _text(options)), ("BootOrder", bytes(2))):
        variable = StoredVariable(
            name=title,
            vendor=GLOBAL_VENDOR,
            attributes=_NON_VOLATILE | _BOOT | _RUNTIME,
            timestamp=efi_time.NONE,
            data=data,
        )
        store = variable_store.assign(store, variable)

    return store


def with_trusted_hash(store: bytes, digest: bytes) -> bytes:
    """The store with an Authenticode SHA-256 digest in db, so that Secure Boot lets that file start.

    Raises `FormatError`.
    """
    variables = variable_store.decode(Reader.of(store)) or ()
    old = next((v for v in variables if (v.name, v.vendor) == ("db", VENDORS["db"])), None)
    if old is None:
        return store

    more = efi_signature_list.encode([efi_signature_list.hash_list(SignatureType.SHA256, [digest], _OWNER)])
    return variable_store.assign(
        store,
        StoredVariable(
            name="db", vendor=old.vendor, attributes=old.attributes, timestamp=old.timestamp, data=old.data + more
        ),
    )


def _text(text: str) -> bytes:
    return text.encode("utf-16-le") + b"\0\0"
