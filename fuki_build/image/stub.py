"""Stubs: the EFI programs in front of images, and the behaviour of each version."""

from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from fuki_build.errors import FormatError, FukiError
from fuki_build.formats.pe import pe
from fuki_build.formats.pe.pe import PeHeaders
from fuki_build.formats.uki import loader_info, pcrsig
from fuki_build.image.section import STUB_MEASURED


class StubModel(Struct, frozen=True, kw_only=True):
    """The behaviour of a stub, from version `since` on (major, minor)."""

    since: tuple[int, int]
    profiles: bool = False
    """Splits the image at `.profile`."""
    matches_devicetree: bool = False
    """Chooses a `.dtbauto` through `.hwids`."""
    microcode: bool = False
    """Passes `.ucode` on."""
    matches_firmware: bool = False
    """Chooses an `.efifw` through `.hwids` and measures it."""
    hands_firmware_over: bool = False
    """Makes the hypervisor start the chosen `.efifw`."""
    addons: bool = False
    """Loads addons, and measures each with its command line into PCR 12."""
    joins_addons: bool = False
    """Measures the command lines of all addons as one; takes devicetrees from addons."""
    archive_addons: bool = False
    """Takes microcode and initrds from addons."""
    passes_release: bool = False
    """Passes `.osrel` and `.profile` on in the initrd."""
    loads_kernel: bool = False
    """Loads the kernel itself; before, the firmware loaded it and measured it into PCR 4."""
    needs_image_base_0: bool = False
    """When loading the kernel, treats its sections' addresses as absolute ones."""
    aligns_kernel: bool = True
    """Loads the kernel at a multiple of its section alignment, or has the firmware do so."""
    adds_console: bool = False
    """Appends `console=` to a command line without one, depending on the machine's hardware."""
    adds_secret: bool = False
    """Adds a secret to the initrd, where the machine has a source of randomness and a writable boot partition."""
    measures_cc: bool = False
    """Also measures into the registers of a confidential guest, through EFI_CC_MEASUREMENT_PROTOCOL."""
    measures_cc_tags: bool = False
    """There, also measures what it logs as EV_EVENT_TAG: the profile's number, and content from addons."""
    measures_smbios: bool = False
    """Measures SMBIOS structures of types 1, 2 and 11 into PCR 1, unless the boot menu did."""
    unmeasured: tuple[str, ...] = ()
    """Sections that it does not know yet."""


_252 = StubModel(since=(0, 0), unmeasured=(".uname", ".sbat", ".ucode", ".profile", ".dtbauto", ".hwids", ".efifw"))
_254 = replace(_252, since=(254, 0), addons=True, unmeasured=(".ucode", ".profile", ".dtbauto", ".hwids", ".efifw"))
_255 = replace(_254, since=(255, 0), joins_addons=True)
_256 = replace(
    _255,
    since=(256, 0),
    microcode=True,
    measures_cc=True,
    unmeasured=(".profile", ".dtbauto", ".hwids", ".efifw"),
)
_257 = replace(
    _256,
    since=(257, 0),
    profiles=True,
    matches_devicetree=True,
    archive_addons=True,
    passes_release=True,
    unmeasured=(".efifw",),
)
_258 = replace(_257, since=(258, 0), loads_kernel=True, needs_image_base_0=True, aligns_kernel=False, unmeasured=())
# systemd pull request 40429 fixed that for 258.3, and only in February 2026, after 259.0.
_258_3 = replace(_258, since=(258, 3), needs_image_base_0=False)
_259 = replace(_258, since=(259, 0))
_259_1 = replace(_258_3, since=(259, 1))
_261 = replace(_259_1, since=(261, 0), adds_console=True, adds_secret=True, measures_cc_tags=True, measures_smbios=True)
# systemd pull requests 42570 and 42463, merged in June 2026: earlier stubs never select a uefi-fw entry, and place
# kernels at any page.
_262 = replace(_261, since=(262, 0), matches_firmware=True, aligns_kernel=True)

MODELS = (_252, _254, _255, _256, _257, _258, _258_3, _259, _259_1, _261, _262)
"""Ascending. Sources: systemd's NEWS; its stub.c, linux.c, pe.c and chid.c; 257 and 262.1 were booted."""

UNNUMBERED = (0, 0)
"""The value for a version without a number."""
NEWEST_KNOWN = 262
"""Highest major version whose behaviour was established."""


def model_of(version: tuple[int, int]) -> StubModel:
    """The model of a version; an unknown one, newer or without a number, is treated as the newest."""
    if version == UNNUMBERED:
        return MODELS[-1]
    return next(model for model in reversed(MODELS) if model.since <= version)


class StubVersion(Struct, frozen=True):
    """The program of systemd's that a stub is, and its version as it states it (`262.1-1`)."""

    program: str
    version: str
    numbers: tuple[int, int]

    @property
    def model(self) -> StubModel:
        return model_of(self.numbers)

    def __str__(self) -> str:
        return f"{self.program} {self.version}"


def decode_version(magic: bytes) -> StubVersion | None:
    """The version in a `.sdmagic` section; None for stubs that are not systemd's."""
    info = loader_info.decode(magic)
    return None if info is None else StubVersion(info.program, info.version, info.numbers)


PROGRAMS = {
    "systemd-stub": "the stub for images with a kernel",
    "systemd-addon": "the stub for addons, which starts nothing",
    "systemd-boot": "the boot loader systemd-boot",
}
"""Descriptions of systemd's programs with a `.sdmagic`."""
STUB_FILES = {"systemd-stub": "linux<arch>.efi.stub", "systemd-addon": "addon<arch>.efi.stub"}
"""The files that systemd installs as stubs for images and addons."""


class Stub(Struct, frozen=True):
    """A stub file: its headers, and its sections' raw contents in the same order."""

    path: Path
    headers: PeHeaders
    contents: tuple[bytes, ...]
    version: StubVersion | None

    def section(self, name: str) -> bytes:
        """A section's content without padding; empty where there is none."""
        for header, content in zip(self.headers.sections, self.contents, strict=True):
            if header.name == name:
                return content[: header.content_size]
        return b""


def decode_stub_headers(path: Path, head: bytes, size: int) -> PeHeaders:
    """Decode the headers of a stub file of `size` bytes from its first `pe.HEAD_SIZE`. Raises like `decode_stub`."""
    try:
        headers = pe.decode(head, size)
        _check_usable(headers)
    except FormatError as error:
        hint = error.hint or "use systemd's linux<arch>.efi.stub or addon<arch>.efi.stub"
        raise FukiError(f"{path} cannot be used as a stub: {error.message}", hint=hint) from error
    return headers


def decode_stub(path: Path, data: bytes) -> Stub:
    """Decode a stub file's content.

    Raises `FukiError` if it is not a stub, is signed, or has a layout to which nothing can be appended.
    """
    headers = decode_stub_headers(path, data[: pe.HEAD_SIZE], len(data))
    contents = tuple(data[s.raw_offset : s.raw_offset + s.raw_size] for s in headers.sections)
    magic = next((c for s, c in zip(headers.sections, contents, strict=True) if s.name == ".sdmagic"), b"")
    return Stub(path, headers, contents, decode_version(magic))


def check_program(stub: Stub, expected: str) -> None:
    """Raise `FukiError` for a stub that identifies itself as another of systemd's programs than `expected`.

    A stub that does not identify itself, or is not systemd's, is accepted.
    """
    program = stub.version.program if stub.version else expected
    if program != expected and program in PROGRAMS:
        raise FukiError(
            f"{stub.path} cannot be used as a stub here: it is {PROGRAMS[program]}",
            hint=f"use {STUB_FILES[expected]}",
        )


def _check_usable(headers: PeHeaders) -> None:
    if headers.optional.subsystem != pe.SUBSYSTEM_EFI_APPLICATION:
        raise FormatError(f"its subsystem is {headers.optional.subsystem}, an EFI application has 10")
    _check_unused(headers)

    if headers.security.size:
        raise FormatError("it is signed, and appending sections would break the signature")

    if not headers.sections:
        raise FormatError("it has no sections")
    check_placed(headers)


def check_placed(headers: PeHeaders) -> None:
    """Raise `FormatError` unless the sections of a stub are placed so that others can be put behind them."""
    end = 0
    for section in headers.sections:
        if section.virtual_address < end:
            raise FormatError(f"its section {section.name} overlaps the one before it in memory")
        end = section.virtual_address + section.virtual_size
        if section.raw_offset % headers.optional.file_alignment or section.raw_size % headers.optional.file_alignment:
            raise FormatError(f"its section {section.name} is not aligned, as in stubs of systemd before 253")


_NEVER_OWN = frozenset((*STUB_MEASURED, pcrsig.SECTION)) - {".sbat", ".osrel"}
"""Sections that images add and no stub has; systemd-boot, which is not a stub, has its own `.osrel`."""
_EDIT_HINT = (
    "give the stub alone, linux<arch>.efi.stub; to change a finished image, use 'fuki edit', or name it as base"
)


def _check_unused(headers: PeHeaders) -> None:
    """Refuse sections that images add: they would stay, and of two sections with one name the stub uses the first."""
    names = [section.name for section in headers.sections]
    if ".linux" in names:
        raise FormatError("it is an image with a kernel already", hint=_EDIT_HINT)

    for name in names:
        if name in _NEVER_OWN:
            raise FormatError(f"it has a {name} already", hint=_EDIT_HINT)
