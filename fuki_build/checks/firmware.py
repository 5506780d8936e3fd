"""Rules about firmware images: `.efifw` sections."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

from fuki_build.errors import FormatError
from fuki_build.formats.uefi import secure_boot_support, variable_store
from fuki_build.formats.uefi.firmware import FirmwareKind
from fuki_build.formats.uki.hwids import DeviceType
from fuki_build.hooks.rules import CheckSubject, Problem, Problems, Rule, Severity
from fuki_build.image.blob import Blob
from fuki_build.image.fact_cache import remembered
from fuki_build.image.firmware import FirmwareImage, Slice
from fuki_build.image.unwrapping import unwrap

_ROM_BLOCK = 64 * 1024
_STORE_REACH = 1024 * 1024
"""Where edk2's images for virtual machines have their variables: at the start, in up to 528 KiB."""


def images(subject: CheckSubject) -> Iterator[tuple[Slice, FirmwareImage, str]]:
    """Each firmware image with its slice and a name for people."""
    for part in subject.slices:
        at = "" if part.profile is None else f"@{part.profile} "
        for index, image in enumerate(part.firmware):
            yield part, image, f"{at}.efifw {image.fwid or index}"


def broken_header(subject: CheckSubject) -> Problems:
    for _, image, where in images(subject):
        if image.flaw:
            yield Problem(image.flaw.message, where=where, hint=image.flaw.hint)


def duplicate_id(subject: CheckSubject) -> Problems:
    for part in subject.slices:
        counts = Counter(image.fwid for image in part.firmware if image.fwid)
        for fwid, count in counts.items():
            if count == 1:
                continue
            yield Problem(
                f"{count} firmware images have the id {fwid!r}; only the first can be selected",
                where=".efifw",
                hint="give each its own id",
            )


def never_selected(subject: CheckSubject) -> Problems:
    for part, image, where in images(subject):
        if image.fwid and part.table is not None and image.fwid not in part.table.keys(DeviceType.UEFI_FW):
            yield Problem("no hardware id selects this firmware", where=where, hint="give it platforms, hwids or chids")
        elif image.fwid and part.table is None and part.profile is None:
            yield Problem(
                "no hardware id selects this firmware: there is no .hwids",
                where=where,
                hint="give it platforms, hwids or chids",
            )


def not_firmware(subject: CheckSubject) -> Problems:
    for _, image, where in images(subject):
        if image.content is None:
            continue
        if image.content.flaw:
            yield Problem(f"the payload is damaged: {image.content.flaw}", where=where)
        elif image.content.kind is FirmwareKind.VARIABLES:
            yield Problem(
                "the payload is a UEFI variable store, which has no code to start",
                where=where,
                hint="take the whole image (OVMF.fd), or the one with the code (OVMF_CODE…)",
            )
        elif image.content.kind is FirmwareKind.UNKNOWN:
            yield Problem(
                "the payload is not known to be firmware: no OVMF or edk2 volume, no IGVM, no capsule",
                where=where,
                hint="check the file; silence this if you know that it is firmware",
            )


def odd_size(subject: CheckSubject) -> Problems:
    for _, image, where in images(subject):
        raw = image.content and image.content.kind in (FirmwareKind.OVMF, FirmwareKind.EDK2)
        if raw and image.payload.size % _ROM_BLOCK:
            yield Problem(
                f"the ROM has {image.payload.size} bytes, which is no multiple of 64 KiB",
                where=where,
                hint="take the image with code and variables (OVMF.fd)",
            )


def ignored_keys(subject: CheckSubject) -> Problems:
    for _, image, where in images(subject):
        code = _bare(image)
        if code is not None and _has_platform_key(code) and _ignores_keys(code):
            yield Problem(
                "Secure Boot keys are enrolled in this firmware, which was built without Secure Boot and ignores them",
                where=where,
                hint="take a build with Secure Boot, of which Debian names the files secboot or ms",
            )


def _bare(image: FirmwareImage) -> Blob | None:
    """The firmware as it was built, unwrapped if need be; None if it is something else."""
    if image.content is not None and image.content.kind is FirmwareKind.IGVM:
        file = unwrap(image.payload)
        return file.firmware if file is not None else None
    raw = image.content is not None and image.content.kind in (FirmwareKind.OVMF, FirmwareKind.EDK2)
    return image.payload if raw else None


def _has_platform_key(code: Blob) -> bool:
    reader = code.reader
    with suppress(FormatError):
        variables = variable_store.decode(reader.window(0, min(reader.size, _STORE_REACH))) or ()
        return any(variable.name == "PK" for variable in variables)
    return False


def _ignores_keys(code: Blob) -> bool:
    with suppress(FormatError):
        data = code.read_small(variable_store.MAX_SIZE, "the firmware")
        return remembered("enforces-secure-boot-1", data, secure_boot_support.enforces_secure_boot) is False
    return False


RULES = (
    Rule(
        id="firmware-header",
        severity=Severity.ERROR,
        summary="Every .efifw section has a header that the stub accepts",
        explanation="The stub passes over a section whose magic, lengths or id do not fit, so its machines get no "
        "firmware. ukify of systemd 262 (not 262.1) wrote a header of 13 bytes that its own stub rejects.",
        check=broken_header,
    ),
    Rule(
        id="firmware-duplicate-id",
        severity=Severity.ERROR,
        summary="No two firmware images share an id",
        explanation="Of several .efifw sections with the selected id the stub takes the first; the others are dead "
        "weight.",
        check=duplicate_id,
    ),
    Rule(
        id="firmware-never-selected",
        severity=Severity.WARNING,
        summary="Some hardware id selects every firmware image",
        explanation="The stub finds firmware only through .hwids. An image that no record names is carried but never "
        "used.",
        check=never_selected,
    ),
    Rule(
        id="firmware-unknown",
        severity=Severity.ERROR,
        summary="Every payload is firmware",
        explanation="A payload should be an OVMF or edk2 image, an IGVM file or a UEFI capsule. Anything else would "
        "stop the guest at its reset into it.",
        check=not_firmware,
    ),
    Rule(
        id="firmware-rom-size",
        severity=Severity.WARNING,
        summary="A raw ROM's size is a multiple of 64 KiB",
        explanation="Hypervisors map a ROM so that it ends at 4 GiB, in blocks of 64 KiB; QEMU refuses other sizes.",
        check=odd_size,
    ),
    Rule(
        id="firmware-ignores-keys",
        severity=Severity.ERROR,
        summary="Firmware with Secure Boot keys enforces Secure Boot",
        explanation="edk2 built without Secure Boot has a variable store too, and starts anything whatever keys are "
        "in it. Builds that enforce Secure Boot hold the name of the variable SecureBootEnable in their drivers, "
        "others do not.",
        check=ignored_keys,
    ),
)
