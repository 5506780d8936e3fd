"""The kernel's command line, as the stub puts it together (stub.c, util.c, 262.1)."""

from collections.abc import Iterator

from msgspec import Struct

from fuki_build.errors import FormatError
from fuki_build.formats import stub_text
from fuki_build.image.section import ADDON_PAYLOAD, Section
from fuki_build.measure.boot import Boot
from fuki_build.measure.booted_profile import BootedProfile
from fuki_build.measure.section_digests import SectionDigests


class CommandLine(Struct, frozen=True):
    """What the stub measures of it, and what the kernel gets: None where there is none.

    `options` are those passed, as far as the stub takes them. `unknown` says why `text` cannot be told in advance,
    `addons_unknown` why the addons cannot; the rest can be told all the same.
    """

    options: str | None
    addons: tuple[tuple[str, str], ...]
    smbios: str | None
    text: str | None
    unknown: str = ""
    addons_unknown: str = ""


def mangle(text: str) -> str:
    """Control characters become spaces, and those at either end go away (mangle_stub_cmdline)."""
    return "".join(" " if c <= " " or c == "\x7f" else c for c in text.partition("\0")[0]).strip(" ")


def encode(text: str) -> bytes:
    """As the stub measures it, and the kernel is given it: UTF-16 with a NUL."""
    return text.encode("utf-16-le") + b"\0\0"


def booted_command_line(subject: BootedProfile, boot: Boot) -> CommandLine:
    """The command line in this boot."""
    own = subject.find(".cmdline")
    options = mangle(boot.options or "")
    if boot.secure_boot and own is not None:
        options = ""
    unknown = addons_unknown = text = ""
    addons: tuple[tuple[str, str], ...] = ()
    try:
        text = options or (read_text(subject.contents, own) if own else "")
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
    return CommandLine(options or None, addons, smbios or None, text or None, unknown, addons_unknown)


def read_text(contents: SectionDigests, section: Section) -> str:
    """A section's text as the stub takes it. Raises `FormatError` for one that is too large to be text."""
    return mangle(stub_text.decode(contents.data(section)))


def _addons(subject: BootedProfile, boot: Boot) -> Iterator[tuple[str, str]]:
    """Sources and texts of what addons add: one each, or all of them joined into one."""
    lines = []
    for name, contents in usable_addons(subject, boot):
        found = contents.layout.find(".cmdline")
        if found and (text := read_text(contents, found[0])):
            lines.append((name, text))
    if subject.model.joins_addons and lines:
        yield ", ".join(name for name, _ in lines), mangle(" ".join(text for _, text in lines))
    else:
        yield from lines


def usable_addons(subject: BootedProfile, boot: Boot) -> Iterator[tuple[str, SectionDigests]]:
    """The addons that the stub takes, with their contents: those for another kernel's release it passes over."""
    for addon in boot.loaded_addons if subject.model.addons else ():
        contents = SectionDigests(addon.layout, addon.assembly, subject.contents.banks)
        names = {section.name for section in addon.layout.plain_sections if section.content.size}
        wanted = addon.layout.find(".uname")
        if ".linux" in names or not names & set(ADDON_PAYLOAD):
            continue
        if subject.uname is not None and wanted and contents.data(wanted[0]).partition(b"\0")[0] != subject.uname:
            continue
        yield addon.name, contents
