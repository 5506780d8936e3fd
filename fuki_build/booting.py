"""How images are booted, as command lines describe it: profiles, programs beside the image, Secure Boot's variables.

Verbs that predict, and programs that boot, ask here.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from fuki_build.errors import FormatError, FukiError, RecipeError, located, raised_as
from fuki_build.formats.uefi.firmware import FirmwareKind
from fuki_build.hardware.machine import Machine
from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.records import SourceContext
from fuki_build.image.assemble import assemble
from fuki_build.image.blob import Blob
from fuki_build.image.describe import describe
from fuki_build.image.firmware import slices
from fuki_build.image.inspect import inspect
from fuki_build.image.layout import Layout
from fuki_build.measure.boot import Addon, Boot, BootMethod
from fuki_build.measure.pcr7 import OPTIONAL, VENDORS, SecureBootPolicy, SecureBootState
from fuki_build.measure.predict import Prediction, cases, predict
from fuki_build.measure.section_digests import SectionDigests

_MAX_FILE = 16 * 1024 * 1024
_MAX_IGVM = 1024 * 1024 * 1024
_NAMES = (*list(VENDORS)[1:], *OPTIONAL)
_ENABLE = "SecureBootEnable"
"""edk2's variable by which a machine's owner turns Secure Boot on."""


def find_profiles(layout: Layout, text: str | None) -> Sequence[int | None]:
    """The profiles that `text` names by number or id; all where it is None, and `[None]` for an image without any.

    Raises `RecipeError` where there is none.
    """
    if text is None:
        return layout.profiles or (None,)
    profiles = describe(layout).profiles
    found = [p.number for p in profiles if text in (p.id, str(p.number))]
    if not found:
        there = ", ".join(f"{p.number} ({p.id})" for p in profiles) or "none"
        raise RecipeError(f"there is no profile {text!r}", where=layout.where, hint=f"there are: {there}")
    return found


def read_program(path: Path, banks: Iterable[str]) -> Addon:
    """An addon or EFI program beside the image, digested in these banks. Raises `FukiError`."""
    with located(str(path)):
        layout = inspect(path)
        return Addon(path.name, layout, assemble(layout, algorithms=banks, measured=True))


def read_boot(  # noqa: PLR0913 - one for each option of the command line
    banks: Sequence[str],
    *,
    direct: bool = False,
    options: str | None = None,
    smbios_options: str | None = None,
    console: str | None = None,
    secure_boot: str | None = None,
    variables: Path | None = None,
    lists: Sequence[str] = (),
    shim: bool = False,
    no_boot_secret: bool = False,
    loaders: Sequence[Path] = (),
    addons: Sequence[Path] = (),
    global_addons: Sequence[Path] = (),
    disk: Path | None = None,
) -> Boot:
    """The boot that options of the command line describe.

    Programs and addons are read, and digested in these banks; `variables` is a variable store, `lists` are NAME=FILE
    of Secure Boot's variables, `disk` is the disk's raw data. Raises `FukiError`.
    """
    policy = read_policy(variables, lists, SecureBootState(secure_boot) if secure_boot else None)
    return Boot(
        method=BootMethod.DIRECT if direct else BootMethod.DISK,
        options=options,
        smbios=smbios_options,
        secure_boot=policy.state is SecureBootState.ON if policy else secure_boot == SecureBootState.ON,
        shim=shim,
        secret=not no_boot_secret,
        console=console,
        loaders=tuple(read_program(path, banks) for path in loaders),
        global_addons=tuple(read_program(path, banks) for path in global_addons),
        addons=tuple(read_program(path, banks) for path in addons),
        policy=policy,
        partitions=None if disk is None else _read_partitions(disk),
    )


def _read_partitions(path: Path) -> bytes:
    from fuki_build.formats.uefi import gpt  # noqa: PLC0415 - only where it is asked for

    with located(str(path), FormatError):
        return gpt.measured(Blob.of_file(path).reader)


def read_policy(store: Path | None, lists: Sequence[str], state: SecureBootState | None) -> SecureBootPolicy | None:
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
            raise RecipeError(f"{text!r} is not NAME=FILE with a name of {', '.join(_NAMES)}", where="--variable")
        found[name] = _read_lists(Path(file))
    return SecureBootPolicy(state or (SecureBootState.ON if enabled else SecureBootState.OFF), found)


def _read_store(path: Path) -> dict[str, bytes]:
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


def with_authorities(boot: Boot, contents: SectionDigests) -> Boot:
    """The boot with what in db vouches for the image and everything that starts beside it."""
    if boot.policy is None or boot.policy.state is not SecureBootState.ON:
        return boot
    from fuki_build.signing.secure_boot.authority import authority  # noqa: PLC0415 - cryptography is slow to load

    db = boot.policy.variables.get("db", b"")
    programs = [(addon.name, addon.layout, addon.assembly) for addon in (*boot.loaders,)]
    programs.append(("the image", contents.layout, contents.assembly))
    programs += [(addon.name, addon.layout, addon.assembly) for addon in boot.loaded_addons]
    found = {name: authority(layout, assembly, db) for name, layout, assembly in programs}
    return replace(boot, policy=replace(boot.policy, authorities=found))


def predict_boot(
    layout: Layout, machine: Machine, profile: int | None, boot: Boot, banks: tuple[str, ...]
) -> Prediction:
    """What one machine measures when it boots one profile of an image. Raises `FukiError`."""
    contents = SectionDigests(layout, assemble(layout, algorithms=banks, measured=True), banks)
    how = with_authorities(boot, contents)
    (prediction,) = predict(contents, cases(layout, [machine], [profile]), how)
    return prediction


def enroll_directory(store: Path, target: Path, keys: Path, host: PluginHost, workspace: Path) -> None:
    """Write the variable store `store` to `target` with the keys of a directory that `fuki keys generate` made.

    Its PK, KEK and db are used, and every `dbx.*`. The loaded plugins' enroller writes. Raises `FukiError`.
    """
    from fuki_build.signing.secure_boot import enrollment  # noqa: PLC0415 - cryptography is slow to load

    found = {name: keys / f"{name}.pem" for name in ("PK", "KEK", "db")}
    for name, path in found.items():
        if not path.is_file():
            hint = "make such a directory: fuki keys generate DIRECTORY"
            raise RecipeError(f"there is no {name}.pem, the certificate of {name}", where=str(keys), hint=hint)
    names = host.names("fuki_enrollers")
    if not names:
        hint = "load a plugin that can: --plugin virt-firmware"
        raise RecipeError("no loaded plugin can enroll Secure Boot keys", where=str(keys), hint=hint)

    def read(path: str, where: str) -> bytes:
        with raised_as(RecipeError, where):
            return Blob.of_file(Path(path)).read_small(_MAX_FILE, path)

    revoked = tuple(str(path) for path in sorted(keys.glob("dbx.*")))
    wanted = enrollment.KeyFiles(str(found["PK"]), (str(found["KEK"]),), (str(found["db"]),), revoked)
    loaded = enrollment.load_keys(wanted, read, lambda _: str(keys))
    enrollment.enroll(store, target, loaded, host.enroller(names[0]), SourceContext(keys, workspace))


def native_igvm(firmware: Path) -> bytes:
    """The IGVM file that a host starts native guests from: `firmware` itself, or made of an OVMF image.

    Raises `FukiError`.
    """
    from fuki_build.formats.confidential import igvm  # noqa: PLC0415 - only where it is asked for
    from fuki_build.image.wrapping import WrapSettings, wrap  # noqa: PLC0415

    content = Blob.of_file(firmware)
    try:
        if igvm.decode_header(content.read_at(0, igvm.HEADER_SIZE)) is None:
            content = wrap(content, WrapSettings(platforms=(igvm.IgvmPlatform.NATIVE,)))
        return content.read_small(_MAX_IGVM, str(firmware))
    except FormatError as error:
        raise error.at(str(firmware)) from error


def igvm_payloads(layout: Layout, profile: int | None) -> Mapping[str, bytes]:
    """The IGVM files that a profile's machines may select as firmware, by fwid: the profile's own before the base's."""
    files: dict[str, bytes] = {}
    for part in sorted(slices(layout.plain_sections), key=lambda part: part.profile is None):
        for image in part.firmware if part.profile in {None, profile} else ():
            if image.fwid is not None and image.content is not None and image.content.kind is FirmwareKind.IGVM:
                files.setdefault(image.fwid, image.payload.read_small(_MAX_IGVM, image.fwid))
    return files
