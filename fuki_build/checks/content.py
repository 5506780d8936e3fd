"""Rules about the other contents of an image."""

from fuki_build.errors import FormatError
from fuki_build.formats import pe
from fuki_build.hooks.records import Problem, Problems, Rule, Severity, Subject
from fuki_build.image.image import ImageKind
from fuki_build.image.section import MATCHED


def _at(name: str, profile: int | None) -> str:
    return name if profile is None else f"@{profile} {name}"


def missing_os_release(subject: Subject) -> Problems:
    if subject.layout.kind is ImageKind.UKI and not subject.layout.find(".osrel"):
        yield Problem("the image has no .osrel", hint='add os-release = "…" to [fuki.image]')


def missing_release(subject: Subject) -> Problems:
    if subject.layout.kind is ImageKind.UKI and not subject.layout.find(".uname"):
        yield Problem("the image does not tell its kernel's release", hint='add uname = "…" to [fuki.image]')


def kernel_not_efi(subject: Subject) -> Problems:
    for section in subject.layout.plain_sections:
        if section.name == ".linux":
            where = _at(".linux", section.profile)
            try:
                headers = pe.decode(section.content.read_at(0, pe.HEAD_SIZE), section.content.size)
            except FormatError as error:
                yield Problem(f"the kernel cannot be started by EFI: {error.message}", where=where)
                continue
            if headers.coff.machine != subject.layout.headers.coff.machine:
                yield Problem(
                    f"the kernel is for {headers.machine_name}, the stub for {subject.layout.machine}",
                    where=where,
                    hint="take stub and kernel of one architecture",
                )


def splash_format(subject: Subject) -> Problems:
    for section in subject.layout.plain_sections:
        if section.name == ".splash" and section.content.read_at(0, 2) != b"BM":
            yield Problem("the splash picture is no BMP file", where=_at(".splash", section.profile))


def repeated(subject: Subject) -> Problems:
    layout = subject.layout
    for profile in (None, *layout.profiles):
        names = [s.name for s in layout.plain_sections if s.profile == profile and s.name.startswith(".")]
        for name in dict.fromkeys(n for n in names if n not in MATCHED and names.count(n) > 1):
            yield Problem(f"{name} is there {names.count(name)} times; the stub uses one", where=_at(name, profile))


def profile_without_kernel(subject: Subject) -> Problems:
    layout = subject.layout
    if layout.kind is not ImageKind.UKI:
        return
    for profile in layout.profiles or (None,):
        if not any(s.name == ".linux" for s in layout.effective(profile)):
            yield Problem("there is no kernel", where=_at(".linux", profile))


RULES = (
    Rule(
        "os-release-missing",
        Severity.WARNING,
        "The image carries an os-release file",
        "Boot loaders show the image under the name in .osrel and sort it by its version; systemd-boot passes over "
        "images without one.",
        missing_os_release,
    ),
    Rule(
        "uname-missing",
        Severity.NOTE,
        "The image tells its kernel's release",
        "kernel-install, bootctl and others read the release from .uname.",
        missing_release,
    ),
    Rule(
        "kernel-not-startable",
        Severity.ERROR,
        "The kernel is an EFI executable for the stub's machine",
        "The stub loads .linux as an EFI image. A kernel of another format or architecture fails only at boot.",
        kernel_not_efi,
    ),
    Rule(
        "kernel-missing",
        Severity.ERROR,
        "Every profile has a kernel",
        "A profile sees its own sections over those of the base; one of the two must have .linux.",
        profile_without_kernel,
    ),
    Rule(
        "splash-format",
        Severity.WARNING,
        "The splash picture is a BMP file",
        "The stub shows only the Windows BMP format, and passes over everything else.",
        splash_format,
    ),
    Rule(
        "section-repeated",
        Severity.ERROR,
        "Only .dtbauto and .efifw are there more than once",
        "Of any other section the stub uses one, and which one depends on its version.",
        repeated,
    ),
)
