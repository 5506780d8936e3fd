"""Rules about firmware that was wrapped as an IGVM file: what the firmware in it cannot do."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from msgspec.structs import replace

from fuki_build.checks.firmware import images
from fuki_build.formats.confidential import ovmf
from fuki_build.formats.confidential.igvm import IgvmPlatform
from fuki_build.formats.confidential.igvm.data_hobs import DataKind
from fuki_build.formats.confidential.ovmf import IgvmKind
from fuki_build.formats.uefi import secure_boot_support
from fuki_build.formats.uefi.firmware import FirmwareKind
from fuki_build.hooks.rules import CheckSubject, Finding, Problem, Problems, Rule, Severity
from fuki_build.image.blob import Blob
from fuki_build.image.unwrapping import Unwrapped, unwrap
from fuki_build.image.wrapping import MAX_FIRMWARE, igvm_section

_KEYS = (DataKind.PK, DataKind.KEK, DataKind.DB, DataKind.DBX)


def lacks_metadata(file: Unwrapped) -> Problems:
    table = ovmf.decode(file.firmware.reader)
    if table is not None and igvm_section(table, IgvmKind.HOB_AREA) is None:
        yield Problem(
            "the firmware has no IGVM metadata: it cannot be told of a UKI or keys in its IGVM file, nor of its memory",
            hint="take OVMF of edk2 stable202511 or later",
        )


def needs_flash(file: Unwrapped) -> Problems:
    if IgvmPlatform.NATIVE in file.settings.platforms and secure_boot_support.needs_system_management_mode(_code(file)):
        yield Problem(
            "the firmware needs system management mode, and flash for its variables, which a guest of an IGVM file "
            "does not have: it would hang",
            hint='take a build without SMM, such as OVMF.fd; SEV-SNP guests have no SMM: platforms = ["sev-snp"]',
        )


def ignores_keys(file: Unwrapped) -> Problems:
    if not _has_keys(file):
        return
    if secure_boot_support.takes_keys_through_igvm(_code(file)) is False:
        yield Problem(
            "the firmware has no driver for Secure Boot keys of an IGVM file (IgvmSecureBootDxe), and ignores them",
            hint="enroll them in its variable store instead: enroll = { … }",
        )

    if IgvmPlatform.SEV_SNP not in file.settings.platforms:
        yield Problem(
            "firmware takes Secure Boot keys of its IGVM file in confidential guests only, and this file is for none",
            hint='add the platform "sev-snp", or enroll the keys in the variable store: enroll = { … }',
        )


def keys_not_everywhere(file: Unwrapped) -> Problems:
    if _has_keys(file) and {IgvmPlatform.NATIVE, IgvmPlatform.SEV_SNP} <= set(file.settings.platforms):
        yield Problem(
            "guests that are not confidential start without the Secure Boot keys of this IGVM file",
            hint="enroll them in the variable store, too: enroll = { … }",
        )


def _has_keys(file: Unwrapped) -> bool:
    return any(piece.kind in _KEYS for piece in file.data)


def _code(file: Unwrapped) -> bytes:
    return file.firmware.read_small(MAX_FIRMWARE, "the firmware")


def _every_file(look: Callable[[Unwrapped], Problems]) -> Callable[[CheckSubject], Problems]:
    def check(subject: CheckSubject) -> Problems:
        for _, image, where in images(subject):
            if image.content is not None and image.content.kind is FirmwareKind.IGVM:
                file = unwrap(image.payload)
                if file is not None:
                    yield from (replace(problem, where=where) for problem in look(file))

    return check


_LOOKS: Mapping[str, Callable[[Unwrapped], Problems]] = MappingProxyType(
    {
        "igvm-no-metadata": lacks_metadata,
        "igvm-needs-flash": needs_flash,
        "igvm-keys-ignored": ignores_keys,
        "igvm-keys-confidential-only": keys_not_everywhere,
    }
)


def _rule(name: str, severity: Severity, summary: str, explanation: str) -> Rule:
    return Rule(id=name, severity=severity, summary=summary, explanation=explanation, check=_every_file(_LOOKS[name]))


RULES = (
    _rule(
        "igvm-no-metadata",
        Severity.WARNING,
        "Wrapped firmware has IGVM metadata",
        "Through the IGVM metadata of OVMF's GUID table (edk2 stable202511 and later) a file tells the firmware where "
        "a UKI, keys and the memory map are. Firmware without starts all the same, from a disk, and asks the "
        "hypervisor for the rest. Source: OvmfPkg/ResetVector/X64/IgvmMetadata.asm in edk2.",
    ),
    _rule(
        "igvm-needs-flash",
        Severity.ERROR,
        "Wrapped firmware starts without flash",
        "Builds of edk2 with SMM (Debian's OVMF_CODE_4M.secboot and its links) keep variables in flash that only SMM "
        "may write. A guest that starts from an IGVM file has its firmware in plain memory, and hangs (measured: "
        "edk2 2026.08).",
    ),
    _rule(
        "igvm-keys-ignored",
        Severity.ERROR,
        "Firmware takes the Secure Boot keys of its IGVM file",
        "The driver IgvmSecureBootDxe of edk2 enrolls PK, KEK, db and dbx that the launch measurement vouches for, and "
        "so in confidential guests only. Other firmware ignores them. Source: OvmfPkg in edk2 stable202511.",
    ),
    _rule(
        "igvm-keys-confidential-only",
        Severity.NOTE,
        "Keys of an IGVM file count in confidential guests only",
        "IgvmSecureBootDxe of edk2 does nothing where nothing vouches for the file: a native guest of the same file "
        "starts without Secure Boot. Source: OvmfPkg in edk2 stable202511.",
    ),
)


def findings_of(file: Blob) -> Iterator[Finding]:
    """What the rules say of an IGVM file that is in no image."""
    parts = unwrap(file)
    if parts is None:
        return
    for rule in RULES:
        for problem in _LOOKS[rule.id](parts):
            yield Finding(
                rule=rule.id, severity=rule.severity, message=problem.message, where=problem.where, hint=problem.hint
            )
