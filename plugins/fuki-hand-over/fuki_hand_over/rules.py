"""Rules about what vm-launch-update takes."""

from contextlib import suppress

from fuki_build.errors import FormatError
from fuki_build.formats.uefi.firmware import FirmwareKind
from fuki_build.formats.uki import hand_over_program
from fuki_build.hooks import CheckSubject, Problem, Problems, Rule, Severity

from fuki_hand_over.vm_launch_update import VmLaunchUpdate


def _uses_interface(subject: CheckSubject) -> bool:
    for section in subject.sections(".fuki"):
        head = section.content.read_at(0, hand_over_program.TABLE_SIZE)
        with suppress(FormatError):
            return hand_over_program.decode(head, section.content.size).interface == VmLaunchUpdate.name
    return False


def not_igvm(subject: CheckSubject) -> Problems:
    if not _uses_interface(subject):
        return
    for part in subject.slices:
        at = "" if part.profile is None else f"@{part.profile} "
        for image in part.firmware:
            if image.content is not None and image.content.kind is not FirmwareKind.IGVM:
                yield Problem(
                    "the payload is no IGVM file, and the device takes nothing else",
                    where=f"{at}.efifw {image.fwid}",
                    hint="give IGVM files, or another interface",
                )


RULES = (
    Rule(
        id="vm-launch-update-payload",
        severity=Severity.ERROR,
        summary="Firmware for vm-launch-update is an IGVM file",
        explanation="QEMU's device loads IGVM files and nothing else. The program refuses any other payload, and the "
        "machine stays on the host's firmware.",
        check=not_igvm,
    ),
)
