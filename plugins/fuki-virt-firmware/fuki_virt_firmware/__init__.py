"""The enroller `virt-firmware`: Secure Boot keys into variable stores, with the program virt-fw-vars."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from fuki_build import programs
from fuki_build.errors import FukiError, PluginError
from fuki_build.formats.uefi import authenticated_variable, efi_signature_list, variable_store
from fuki_build.formats.uefi.authenticated_variable import AuthenticatedPayload
from fuki_build.formats.uefi.efi_time import EfiTime
from fuki_build.hooks import Enroller, SecureBootKeys, SourceContext, hookimpl

PROGRAM = "virt-fw-vars"
_TIMEOUT = 120.0
"""Seconds; it needs less than one."""
_REVOKED_AT = EfiTime(year=2010, month=1, day=1, hour=0, minute=0, second=0)
"""The time of dbx: older than any later update. For hashes, the program would otherwise use the current time."""


class VirtFirmware(Enroller):
    """virt-fw-vars of Gerd Hoffmann's virt-firmware; it knows Microsoft's certificates.

    >>> VirtFirmware.name
    'virt-firmware'
    """

    name = "virt-firmware"

    def enroll(self, source: Path, target: Path, keys: SecureBootKeys, context: SourceContext) -> None:
        command = [find_program(), "--input", str(source.absolute()), "--output", str(target)]
        _run([*command, *_arguments(keys, context.workspace)])


def find_program() -> str:
    """virt-fw-vars of this Python's environment, or else of PATH. Raises `PluginError`."""
    program = shutil.which(PROGRAM, path=Path(sys.executable).parent) or shutil.which(PROGRAM)
    if program is None:
        raise PluginError(f"there is no {PROGRAM}", hint="install it: pip install virt-firmware")
    return program


def _arguments(keys: SecureBootKeys, workspace: Path) -> Iterator[str]:
    """The program's arguments. Its own order is fixed: delete, Microsoft's keys, PK, KEK, db, dbx, the switch."""
    owner = str(keys.owner)
    for name in ("PK", "KEK", "db", "dbx"):
        yield from ("--delete", name)

    if keys.microsoft:
        # This also enrolls a PK of Microsoft's, which --set-pk replaces.
        yield "--enroll-microsoft"

    numbered = [("--set-pk", keys.pk), *(("--add-kek", der) for der in keys.kek), *(("--add-db", d) for d in keys.db)]
    for number, (option, der) in enumerate(numbered):
        path = workspace / f"enroll-{number}.der"
        path.write_bytes(der)
        yield from (option, owner, str(path))

    if keys.dbx:
        # The program reads the value from a file for SetVariable(), and ignores its signature.
        value = AuthenticatedPayload(_REVOKED_AT, b"\0", efi_signature_list.encode(keys.dbx))
        path = workspace / "enroll-dbx.auth"
        path.write_bytes(authenticated_variable.encode(value))
        yield from ("--set-dbx", str(path))

    yield from ["--secure-boot"] if keys.secure_boot else ["--set-false", "SecureBootEnable"]


def _run(command: Sequence[str]) -> None:
    completed = programs.run(
        command, environment=programs.environment("TMPDIR"), timeout=_TIMEOUT, largest_file=variable_store.MAX_SIZE
    )
    if completed.code:
        raise FukiError(f"{PROGRAM} {completed.how}: {completed.last_lines() or 'it said nothing'}")


@hookimpl
def fuki_enrollers() -> Sequence[type[Enroller]]:
    return [VirtFirmware]
