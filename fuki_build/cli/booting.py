"""Boots as options describe them: programs and addons read, Secure Boot's variables gathered."""

from collections.abc import Sequence
from pathlib import Path

import click
from msgspec.structs import replace

from fuki_build.errors import FormatError, FukiError
from fuki_build.image.assemble import assemble
from fuki_build.image.blob import Blob
from fuki_build.image.inspect import inspect
from fuki_build.measure.boot import Addon, Boot, Way
from fuki_build.measure.contents import Contents
from fuki_build.measure.pcr7 import OPTIONAL, VENDORS, Policy, State

_MAX_STORE = 64 * 1024 * 1024
_NAMES = (*list(VENDORS)[1:], *OPTIONAL)
_ENABLE = "SecureBootEnable"
"""edk2's variable by which a machine's owner turns Secure Boot on."""


def read_boot(
    banks: Sequence[str],
    *,
    direct: bool,
    options: str | None,
    smbios_options: str | None,
    console: str | None,
    secure_boot: str | None,
    variables: Path | None,
    lists: Sequence[str],
    shim: bool,
    no_boot_secret: bool,
    loaders: Sequence[Path],
    addons: Sequence[Path],
    global_addons: Sequence[Path],
) -> Boot:
    """The boot that `boot_options` describe; programs and addons are read, and digested in these banks."""
    policy = read_policy(variables, lists, State(secure_boot) if secure_boot else None)
    return Boot(
        way=Way.DIRECT if direct else Way.DISK,
        options=options,
        smbios=smbios_options,
        secure_boot=policy.state is State.ON if policy else secure_boot == State.ON,
        shim=shim,
        secret=not no_boot_secret,
        console=console,
        loaders=tuple(_program(path, banks) for path in loaders),
        global_addons=tuple(_program(path, banks) for path in global_addons),
        addons=tuple(_program(path, banks) for path in addons),
        policy=policy,
    )


def _program(path: Path, banks: Sequence[str]) -> Addon:
    try:
        layout = inspect(path)
        return Addon(path.name, layout, assemble(layout, algorithms=banks, measured=True))
    except FukiError as error:
        raise error.at(str(path)) from error


def read_policy(store: Path | None, lists: Sequence[str], state: State | None) -> Policy | None:
    """Secure Boot's variables out of a store and files; None where nothing was given. Raises `FukiError`."""
    if store is None and not lists:
        return None
    found: dict[str, bytes] = {}
    enabled = False
    if store is not None:
        stored = _read_store(store)
        found = {name: stored[name] for name in _NAMES if name in stored}
        enabled = bool(found.get("PK")) and stored.get(_ENABLE) == b"\1"
    for text in lists:
        name, equals, file = text.partition("=")
        if not equals or name not in _NAMES:
            raise click.UsageError(f"{text!r} is not NAME=FILE with a name of {', '.join(_NAMES)}.")
        found[name] = _read_lists(Path(file))
    return Policy(state or (State.ON if enabled else State.OFF), found)


def _read_store(path: Path) -> dict[str, bytes]:
    from fuki_build.formats import variable_store  # noqa: PLC0415 - only where it is asked for

    try:
        variables = variable_store.decode(Blob.of_file(path).reader)
    except FormatError as error:
        raise error.at(str(path)) from error
    if variables is None:
        raise FukiError("it has no variable store", where=str(path), hint="OVMF_VARS.fd has one")
    return {variable.name: variable.data for variable in variables}


def _read_lists(path: Path) -> bytes:
    """Signature lists as they are stored: an .auth file has a signature in front of them."""
    from fuki_build.formats import authenticated_variable, efi_signature_list  # noqa: PLC0415

    try:
        data = Blob.of_file(path).read_small(efi_signature_list.MAX_SIZE, "the file")
        if authenticated_variable.is_authenticated(data):
            data = authenticated_variable.decode(data).payload
        efi_signature_list.decode(data)
    except FormatError as error:
        raise error.at(str(path)) from error
    return data


def with_authorities(boot: Boot, contents: Contents) -> Boot:
    """The boot with what in db vouches for the image and everything that starts beside it."""
    if boot.policy is None or boot.policy.state is not State.ON:
        return boot
    from fuki_build.signing.authority import authority  # noqa: PLC0415 - cryptography is slow to load

    db = boot.policy.variables.get("db", b"")
    programs = [(addon.name, addon.layout, addon.assembly) for addon in (*boot.loaders,)]
    programs.append(("the image", contents.layout, contents.assembly))
    programs += [(addon.name, addon.layout, addon.assembly) for addon in boot.loaded_addons]
    found = {name: authority(layout, assembly, db) for name, layout, assembly in programs}
    return replace(boot, policy=replace(boot.policy, authorities=found))
