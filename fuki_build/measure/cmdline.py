"""The kernel's command line, as the stub assembles it (stub.c, util.c, 262.1)."""

from collections.abc import Iterator

from msgspec import Struct

from fuki_build.errors import FormatError
from fuki_build.formats import stub_text
from fuki_build.image.section import ADDON_PAYLOAD, Section
from fuki_build.measure.boot import Boot
from fuki_build.measure.booted_profile import BootedProfile
from fuki_build.measure.section_digests import SectionDigests


class CommandLine(Struct, frozen=True, kw_only=True):
    """The parts of a command line that the stub measures, and the whole that the kernel gets; None where absent.

    `options` are those passed by the boot loader, if the stub accepts them. `unknown` says why `text` cannot be
    predicted, `addons_unknown` why the addons cannot; the rest is predicted nevertheless.
    """

    options: str | None
    addons: tuple[tuple[str, str], ...]
    smbios: str | None
    text: str | None
    unknown: str = ""
    addons_unknown: str = ""


def mangle(text: str) -> str:
    """Replace control characters by spaces, and strip those at both ends (mangle_stub_cmdline)."""
    return "".join(" " if c <= " " or c == "\x7f" else c for c in text.partition("\0")[0]).strip(" ")


def encode(text: str) -> bytes:
    """The form that the stub measures and the kernel is given: UTF-16 with a NUL."""
    return text.encode("utf-16-le") + b"\0\0"


def booted_command_line(subject: BootedProfile, boot: Boot) -> CommandLine:
    """The command line of a profile in this boot."""
    section = subject.find(".cmdline")

    # With Secure Boot, the image's own command line cannot be overridden.
    options = mangle(boot.options or "")
    if boot.secure_boot and section is not None:
        options = ""

    unknown = addons_unknown = text = ""
    addons: tuple[tuple[str, str], ...] = ()
    try:
        text = options or (read_text(subject.contents, section) if section else "")
    except FormatError as error:
        unknown = error.message
    try:
        addons = tuple(_addons(subject, boot))
    except FormatError as error:
        addons_unknown = error.message

    smbios = mangle(stub_text.decode((boot.smbios or "").encode("utf-8", "surrogateescape")))
    text = " ".join(part for part in (text, *(line for _, line in addons), smbios) if part)
    unknown = unknown or addons_unknown

    if not unknown and subject.model.adds_console and " console=" not in f" {text}":
        if boot.console is None:
            unknown = "without console= in it, the stub adds one that depends on the machine's hardware"
        text = f"{text} {boot.console or ''}".strip(" ")

    if not unknown and not text:
        unknown = "without a command line, the kernel gets whatever options the firmware passes"

    return CommandLine(
        options=options or None,
        addons=addons,
        smbios=smbios or None,
        text=text or None,
        unknown=unknown,
        addons_unknown=addons_unknown,
    )


def read_text(contents: SectionDigests, section: Section) -> str:
    """A section's text as the stub reads it. Raises `FormatError` for one that is too large to be text."""
    return mangle(stub_text.decode(contents.data(section)))


def _addons(subject: BootedProfile, boot: Boot) -> Iterator[tuple[str, str]]:
    """Sources and texts of the options that addons add: one pair each, or a single pair for all of them."""
    lines = []
    for name, contents in usable_addons(subject, boot):
        sections = contents.layout.find(".cmdline")
        if sections and sections[0].content.size:
            lines.append((name, read_text(contents, sections[0])))

    adding = [(name, text) for name, text in lines if text]
    if subject.model.joins_addons and adding:
        # Where one of them adds nothing, the blank before it stays.
        yield ", ".join(name for name, _ in adding), mangle(" ".join(text for _, text in lines))
    else:
        yield from adding


def usable_addons(subject: BootedProfile, boot: Boot) -> Iterator[tuple[str, SectionDigests]]:
    """The addons that the stub accepts, with their contents: it skips those for another kernel's release."""
    for addon in boot.loaded_addons if subject.model.addons else ():
        contents = SectionDigests(addon.layout, addon.assembly, subject.contents.banks)
        names = {section.name for section in addon.layout.plain_sections if section.content.size}
        unames = addon.layout.find(".uname")

        if ".linux" in names or not names & set(ADDON_PAYLOAD):
            continue
        if subject.uname is not None and unames and not _is_of(subject.uname, contents.data(unames[0])):
            continue

        yield addon.name, contents


def _is_of(release: bytes, uname: bytes) -> bool:
    """Whether an addon's `.uname` is of this release, or of its beginning: the stub compares to the section's end."""
    name, end, _ = uname.partition(b"\0")
    return (release + b"\0").startswith(name + end)
