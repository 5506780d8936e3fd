"""Rules about the other contents of an image."""

from fuki_build.checks.places import at, sections
from fuki_build.errors import FormatError
from fuki_build.formats.uki import bmp, compression, env_file
from fuki_build.hooks.rules import CheckSubject, Problem, Problems, Rule, Severity
from fuki_build.image.image import ImageKind
from fuki_build.image.section import MATCHED

_MAX_TEXT = 64 * 1024
_NAMES = ("PRETTY_NAME", "IMAGE_ID", "NAME", "ID")
_ARCHIVE_MAGICS = (b"070701", b"070702")
"""Of cpio archives in the newc form, without and with checksums (the kernel's buffer-format.rst)."""


def missing_os_release(subject: CheckSubject) -> Problems:
    if subject.layout.kind is ImageKind.UKI and not subject.layout.find(".osrel"):
        yield Problem("the image has no .osrel", hint='add os-release = "…" to [fuki.image]')


def missing_release(subject: CheckSubject) -> Problems:
    if subject.layout.kind is ImageKind.UKI and not subject.layout.find(".uname"):
        yield Problem("the image does not tell its kernel's release", hint='add uname = "…" to [fuki.image]')


def incomplete_os_release(subject: CheckSubject) -> Problems:
    for section, where in sections(subject, ".osrel"):
        try:
            values = env_file.decode(section.content.read_small(_MAX_TEXT, "the os-release text"))
        except FormatError as error:
            yield Problem(error.message, where=where, hint="give an os-release file")
            continue
        if not any(values.get(name) for name in _NAMES):
            message = "it has neither PRETTY_NAME nor NAME nor ID: systemd-boot does not show the image"
            yield Problem(message, where=where, hint="give an os-release file")
        elif not values.get("ID"):
            yield Problem("it has no ID", where=where, hint="add a line such as ID=debian")


def microcode_format(subject: CheckSubject) -> Problems:
    for section, where in sections(subject, ".ucode"):
        head = section.content.read_at(0, 8)
        if not head.startswith(_ARCHIVE_MAGICS):
            packed = compression.detect(head)
            yield Problem(
                f"it is compressed with {packed}" if packed else "it is no cpio archive",
                where=where,
                hint="give the uncompressed archive with kernel/x86/microcode/ in it",
            )


def splash_format(subject: CheckSubject) -> Problems:
    for section, where in sections(subject, ".splash"):
        try:
            bmp.decode(section.content.read_at(0, bmp.HEAD_SIZE), section.content.size)
        except FormatError as error:
            yield Problem(
                f"the stub does not show the splash picture: {error.message}",
                where=where,
                hint="give an uncompressed BMP file, such as 'magick picture.png BMP3:splash.bmp' writes",
            )


def repeated(subject: CheckSubject) -> Problems:
    layout = subject.layout
    for profile in (None, *layout.profiles):
        names = [s.name for s in layout.plain_sections if s.profile == profile and s.name.startswith(".")]
        for name in dict.fromkeys(n for n in names if n not in MATCHED and names.count(n) > 1):
            yield Problem(f"{name} is there {names.count(name)} times; the stub uses one", where=at(name, profile))


RULES = (
    Rule(
        id="os-release-missing",
        severity=Severity.WARNING,
        summary="The image carries an os-release file",
        explanation="Boot loaders show the image under the name in .osrel and sort it by its version; systemd-boot "
        "passes over images without one.",
        check=missing_os_release,
    ),
    Rule(
        id="uname-missing",
        severity=Severity.NOTE,
        summary="The image tells its kernel's release",
        explanation="kernel-install, bootctl and others read the release from .uname.",
        check=missing_release,
    ),
    Rule(
        id="os-release-incomplete",
        severity=Severity.WARNING,
        summary="The os-release text names the system",
        explanation="systemd-boot sorts images by ID, and shows those alone that have a PRETTY_NAME, IMAGE_ID, NAME "
        "or ID; bootctl of systemd 252 crashes on a text without ID (systemd issue 25952).",
        check=incomplete_os_release,
    ),
    Rule(
        id="microcode-format",
        severity=Severity.WARNING,
        summary="Microcode is in an uncompressed archive",
        explanation="The kernel looks for microcode before it can decompress anything, and passes over what is no "
        "cpio archive in the newc form.",
        check=microcode_format,
    ),
    Rule(
        id="splash-format",
        severity=Severity.WARNING,
        summary="The stub can show the splash picture",
        explanation="It shows Windows bitmaps of 1, 4, 8, 16, 24 or 32 bits a pixel that are not compressed, whose "
        "sizes add up and which have at most 64 MiB of pixels, and passes over everything else (splash.c, 262.1).",
        check=splash_format,
    ),
    Rule(
        id="section-repeated",
        severity=Severity.ERROR,
        summary="Only .dtbauto and .efifw are there more than once",
        explanation="Of any other section the stub uses one, and which one depends on its version.",
        check=repeated,
    ),
)
