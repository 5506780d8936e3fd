"""Policy files for event logs: TOML that names firmware, programs and variables by their files or digests."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from fuki_build.errors import FormatError, MismatchError, RecipeError, did_you_mean, located, raised_as
from fuki_build.formats import documents
from fuki_build.formats.hashes import SIZES, new_hash
from fuki_build.formats.tcg.event_log import EventLog
from fuki_build.formats.uefi import authenticated_variable, efi_signature_list
from fuki_build.formats.uefi.efi_signature_list import SignatureType
from fuki_build.image.blob import Blob, read_small_file
from fuki_build.measure.boot import Addon
from fuki_build.measure.boot_options import read_addon, read_firmware, read_program
from fuki_build.measure.chipset import Chipset
from fuki_build.measure.events import CONSTANT
from fuki_build.measure.log_policy import LogPolicy, firmware_registers, program_registers
from fuki_build.measure.pcr7 import SecureBootState
from fuki_build.measure.secure_boot_rule import Entry, SecureBootRule, entries
from fuki_build.measure.tolerated import EventKind
from fuki_build.recipe.convert import convert
from fuki_build.recipe.model import Table

_BANKS = tuple(bank for bank in ("sha256", "sha384", "sha512", *SIZES) if bank != "sha1")
"""Banks that a log is judged in, the first that it has, unless the policy names one: SHA-1 must be named."""
_DIGEST = r"^[a-z0-9_]+:([0-9a-fA-F]{2})+$"
_MAX_REGISTER = 23

DigestText = Annotated[str, msgspec.Meta(pattern=_DIGEST)]
"""`sha256:` and hex."""


class KnownFirmware(Table, frozen=True):
    """`files` are images of OVMF; `versions` are texts or GUIDs; `digests` of its volumes or of other events."""

    files: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    digests: tuple[DigestText, ...] = ()


class KnownPrograms(Table, frozen=True, kw_only=True):
    """`images` are UKIs, `addons` theirs; `loaders` other EFI programs, `digests` their Authenticode digests.

    `options` and `smbios_options` are command lines that boot loader and hypervisor may pass to an image.
    """

    images: tuple[str, ...] = ()
    addons: tuple[str, ...] = ()
    loaders: tuple[str, ...] = ()
    digests: tuple[DigestText, ...] = ()
    options: tuple[str, ...] = ()
    smbios_options: tuple[str, ...] = ()


class KnownVariables(Table, frozen=True, kw_only=True):
    """Secure Boot: lists as they are stored, `.auth` files or certificates, several files for one variable."""

    state: Literal["on", "off"] | None = None
    pk: tuple[str, ...] | None = None
    kek: tuple[str, ...] | None = None
    db: tuple[str, ...] | None = None
    dbx: tuple[str, ...] | None = None
    dbt: tuple[str, ...] | None = None
    dbr: tuple[str, ...] | None = None
    authorities: tuple[str, ...] = ()


class KnownEvent(Table, frozen=True):
    """Any event, by the register as the log numbers it."""

    register: Annotated[int, msgspec.Meta(ge=0, le=_MAX_REGISTER)]
    digest: DigestText
    what: str = ""


class LogPolicyFile(Table, frozen=True, kw_only=True):
    """What stands in the file; paths are relative to it."""

    bank: str | None = None
    tolerate: tuple[str, ...] = ()
    firmware: KnownFirmware = KnownFirmware()
    programs: KnownPrograms = KnownPrograms()
    secure_boot: KnownVariables = KnownVariables()
    events: tuple[KnownEvent, ...] = ()


class ReadLogPolicy(msgspec.Struct, frozen=True):
    """A policy with everything read but its images, which are named by their paths; and the addons beside them."""

    policy: LogPolicy
    images: tuple[Path, ...]
    addons: tuple[Addon, ...]


def decode_policy(data: bytes, where: str) -> LogPolicyFile:
    """The content of a policy file, which `where` names. Raises `RecipeError`."""
    with raised_as(RecipeError, where, of=FormatError):
        document = documents.decode_toml(data)
    try:
        file = convert(document, LogPolicyFile, "", "docs/how-to/judge-an-event-log.md has what each key takes")
    except RecipeError as error:
        error.where = f"{where}: {(error.where or '').removeprefix('.')}".removesuffix(": ")
        raise

    kinds = [kind.value for kind in EventKind]
    for number, kind in enumerate(file.tolerate):
        if kind not in kinds:
            hint = did_you_mean(kind, kinds) or f"the kinds are {', '.join(kinds)}"
            raise RecipeError(f"there is no kind {kind!r}", where=f"{where}: tolerate[{number}]", hint=hint)

    for key, texts in _digest_texts(file):
        for text in texts:
            bank, _, value = text.partition(":")
            if SIZES.get(bank) != len(value) // 2:
                hint = f"write sha256:… with {2 * SIZES['sha256']} digits, or {', '.join(SIZES)} likewise"
                raise RecipeError(f"{text!r} is no digest", where=f"{where}: {key}", hint=hint)
    return file


def _digest_texts(file: LogPolicyFile) -> Iterator[tuple[str, Iterable[str]]]:
    yield "firmware.digests", file.firmware.digests
    yield "programs.digests", file.programs.digests
    for number, event in enumerate(file.events):
        yield f"events[{number}].digest", (event.digest,)


def read_policy_file(path: Path, log: EventLog) -> ReadLogPolicy:
    """The policy in a file, for a log's banks and registers. Raises `FukiError`."""
    with located(str(path)):
        data = read_small_file(path, documents.MAX_TOML)
    file = decode_policy(data, str(path))
    bank = _bank(file, log, str(path))

    folder = path.parent
    firmware = dict(_firmware(file.firmware, folder, bank))
    programs = dict(_programs(file.programs, folder, bank))
    registers: dict[int, dict[bytes, str]] = {}
    for numbers, digests in ((firmware_registers(log.kind), firmware), (program_registers(log.kind), programs)):
        for number in numbers:
            registers.setdefault(number, {}).update(digests)
    for number, event in enumerate(file.events):
        words = f"events[{number}]" + (f": {event.what}" if event.what else "")
        for digest in _digests((event.digest,), bank):
            registers.setdefault(event.register, {})[digest] = words

    images = tuple(folder / image for image in file.programs.images)
    policy = LogPolicy(
        bank=bank,
        digests=registers,
        secure_boot=_secure_boot(file.secure_boot, folder),
        tolerated=frozenset(map(EventKind, file.tolerate)),
        options=file.programs.options,
        smbios_options=file.programs.smbios_options,
        firmware=frozenset(firmware),
        image_names=file.programs.images,
    )
    addons = tuple(read_addon(folder / name, (bank,)) for name in file.programs.addons)
    return ReadLogPolicy(policy, images, addons)


def _bank(file: LogPolicyFile, log: EventLog, where: str) -> str:
    if file.bank is not None:
        if file.bank not in SIZES:
            hint = f"the banks are {', '.join(SIZES)}"
            raise RecipeError(f"there is no bank {file.bank!r}", where=f"{where}: bank", hint=hint)
        if file.bank not in log.banks:
            raise MismatchError(f"the log has no bank {file.bank}; it has {', '.join(log.banks)}", where=where)
        return file.bank

    bank = next((bank for bank in _BANKS if bank in log.banks), None)
    if bank is None:
        hint = 'bank = "sha1" in the policy judges by SHA-1, for which others can make the same digest'
        raise MismatchError(f"the log has no bank to be judged in, only {', '.join(log.banks)}", where=where, hint=hint)
    return bank


def _firmware(known: KnownFirmware, folder: Path, bank: str) -> Iterator[tuple[bytes, str]]:
    """Digests of firmware, each with what names it."""
    for name, chipset in product(known.files, Chipset):
        for event in read_firmware(folder / name, (bank,), chipset=chipset, is_unchanged=True):
            if event.source != CONSTANT and not event.unknown:
                yield event.digests[bank], f'firmware.files "{name}": {event.what}'
    for version in known.versions:
        yield _digest(_version(version), bank), f'firmware.versions "{version}"'
    for digest in _digests(known.digests, bank):
        yield digest, f'firmware.digests "{bank}:{digest.hex()}"'


def _version(text: str) -> bytes:
    """A version as it is measured: a GUID, or UTF-16 with a NUL (10.4.5.5 of TCG's profile)."""
    try:
        return UUID(text).bytes_le
    except ValueError:
        return text.encode("utf-16-le", "surrogatepass") + b"\0\0"


def _programs(known: KnownPrograms, folder: Path, bank: str) -> Iterator[tuple[bytes, str]]:
    """Authenticode digests of programs, each with what names it."""
    for name in known.loaders:
        program = read_program(folder / name, (bank,))
        yield program.assembly.image_hash(bank).digest(), f'programs.loaders "{name}"'
    for digest in _digests(known.digests, bank):
        yield digest, f'programs.digests "{bank}:{digest.hex()}"'


def _digest(data: bytes, bank: str) -> bytes:
    return new_hash(bank, data).digest()


def _digests(texts: Iterable[str], bank: str) -> Iterator[bytes]:
    """The digests of one bank; those of others are for logs with that one."""
    for text in texts:
        name, _, value = text.partition(":")
        if name == bank:
            yield bytes.fromhex(value)


def _secure_boot(known: KnownVariables, folder: Path) -> SecureBootRule:
    keys = {"PK": known.pk, "KEK": known.kek, "db": known.db, "dbx": known.dbx, "dbt": known.dbt, "dbr": known.dbr}
    lists: Mapping[str, frozenset[Entry]] = {
        name: _entries(files, folder) for name, files in keys.items() if files is not None
    }
    return SecureBootRule(
        state=SecureBootState(known.state) if known.state else None,
        lists=lists,
        authorities=frozenset(data for _, data in _entries(known.authorities, folder)),
    )


def _entries(files: Sequence[str], folder: Path) -> frozenset[Entry]:
    """The signatures in lists, `.auth` files and certificates. Raises `FukiError`."""
    signatures: set[Entry] = set()
    for name in files:
        path = folder / name
        with located(str(path)):
            data = Blob.of_file(path).read_small(efi_signature_list.MAX_SIZE, "the file")
            if data.startswith(b"-----BEGIN") or data[:2] == b"\x30\x82":
                from fuki_build.formats.asn1.x509 import decode_certificates  # noqa: PLC0415 - slow to load

                signatures.update((SignatureType.X509.guid, certificate) for certificate in decode_certificates(data))
            else:
                signatures.update(entries(authenticated_variable.value(data)))
    return frozenset(signatures)
