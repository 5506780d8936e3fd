"""Secure Boot as PCR 7 is predicted from it: its variables out of a store, signature lists and .auth files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fuki_build.errors import FormatError, FukiError, RecipeError, located
from fuki_build.image.blob import Blob
from fuki_build.measure.pcr7 import OPTIONAL, VENDORS, SecureBootPolicy, SecureBootState

_NAMES = (*list(VENDORS)[1:], *OPTIONAL)
_ENABLE = "SecureBootEnable"
"""edk2's variable by which a machine's owner turns Secure Boot off or on; where it is missing, as in Debian's stores
with Microsoft's keys, firmware makes it and turns Secure Boot on (AuthVariableLib; seen with 2026.08)."""
_ON = b"\1"


def split_variable(text: str, where: str = "--variable") -> tuple[str, str]:
    """The name and the file of NAME=FILE. Raises `RecipeError` at `where`."""
    name, equals, file = text.partition("=")
    if not equals or name not in _NAMES:
        raise RecipeError(f"{text!r} is not NAME=FILE with a name of {', '.join(_NAMES)}", where=where)
    return name, file


def read_policy(store: Path | None, lists: Sequence[str], state: SecureBootState | None) -> SecureBootPolicy | None:
    """Secure Boot's variables out of a store and files; None where nothing was given. Raises `FukiError`."""
    if store is None and not lists:
        return None

    variables: dict[str, bytes] = {}
    enabled = False
    if store is not None:
        stored = _read_store(store)
        variables = {name: stored[name] for name in _NAMES if name in stored}
        # Without a PK the firmware is in setup mode, whatever its owner chose; with one, it is on unless turned off.
        enabled = bool(variables.get("PK")) and stored.get(_ENABLE, _ON) == _ON

    for text in lists:
        name, file = split_variable(text)
        variables[name] = _read_lists(Path(file))
    return SecureBootPolicy(state or (SecureBootState.ON if enabled else SecureBootState.OFF), variables)


def _read_store(path: Path) -> Mapping[str, bytes]:
    from fuki_build.formats.uefi import variable_store  # noqa: PLC0415 - only where it is asked for

    with located(str(path), FormatError):
        variables = variable_store.decode(Blob.of_file(path).reader)
    if variables is None:
        raise FukiError("it has no variable store", where=str(path), hint="OVMF_VARS.fd has one")
    return {variable.name: variable.data for variable in variables}


def _read_lists(path: Path) -> bytes:
    """Signature lists as they are stored: an .auth file has a signature before them, efivarfs attributes."""
    from fuki_build.formats.uefi import authenticated_variable, efi_signature_list  # noqa: PLC0415

    with located(str(path), FormatError):
        data = Blob.of_file(path).read_small(efi_signature_list.MAX_SIZE, "the file")
        data = authenticated_variable.value(data)
        efi_signature_list.decode(data)
    return data
