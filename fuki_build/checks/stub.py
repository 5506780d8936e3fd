"""Rules about what the stub's version can do with the image."""

from fuki_build.formats.uki.kernel import is_kernel
from fuki_build.hooks.rules import CheckSubject, Problem, Problems, Rule, Severity
from fuki_build.image.image import ImageKind
from fuki_build.image.layout import Layout
from fuki_build.image.section import HAND_OVER
from fuki_build.image.stub import MODELS, NEWEST_KNOWN, PROGRAMS, STUB_FILES, UNNUMBERED, StubModel

_NEEDS = {
    ".efifw": ("matches_firmware", "never selects firmware"),
    ".dtbauto": ("matches_devicetree", "never selects a devicetree"),
    ".profile": ("profiles", "knows no profiles and uses the first of each section"),
    ".ucode": ("microcode", "does not pass microcode on"),
}
"""For sections that came late: the property of the model that uses them, and what happens without."""


def too_old(subject: CheckSubject) -> Problems:
    layout = subject.layout
    if layout.stub is None or layout.kind is not ImageKind.UKI:
        return

    names = {section.name for section in layout.plain_sections}
    for name, (feature, consequence) in _NEEDS.items():
        if name in names and not getattr(layout.stub.model, feature):
            since = next(model.since for model in MODELS if getattr(model, feature))
            yield Problem(
                f"{layout.stub} {consequence}",
                where=name,
                hint=f"use the stub of systemd {since[0]} or newer",
            )


def unknown(subject: CheckSubject) -> Problems:
    layout = subject.layout
    if layout.kind is not ImageKind.UKI:
        return
    if layout.stub is None or layout.stub.numbers == UNNUMBERED:
        yield Problem(f"the stub does not say its version; it is taken for {NEWEST_KNOWN}")
    elif layout.stub.numbers[0] > NEWEST_KNOWN:
        yield Problem(f"{layout.stub} is newer than this fuki knows; it is taken for {NEWEST_KNOWN}")


def no_stub(subject: CheckSubject) -> Problems:
    """A planned image cannot have one: such a stub is refused."""
    stub = subject.layout.stub
    if subject.layout.kind is ImageKind.UKI and stub and stub.program != "systemd-stub" and stub.program in PROGRAMS:
        yield Problem(
            f"the image starts {PROGRAMS[stub.program]}, and not its kernel",
            where=".sdmagic",
            hint=f"build it with {STUB_FILES['systemd-stub']}",
        )


def other_program(subject: CheckSubject) -> Problems:
    layout = subject.layout
    if layout.kind is ImageKind.OTHER:
        yield Problem(
            f"this is {_kind_of(layout)}, neither a UKI nor an addon: only its headers and signatures were looked at",
            where=layout.name,
            hint="check the recipe that it goes into, or the image that is built with it",
        )


def _kind_of(layout: Layout) -> str:
    if layout.stub and layout.stub.program in PROGRAMS:
        return f"{PROGRAMS[layout.stub.program]} ({layout.stub.version})"
    if layout.file is not None and is_kernel(layout.file.reader):
        return f"a Linux kernel for {layout.machine}"
    return f"an EFI program for {layout.machine}"


def not_handed_over(subject: CheckSubject) -> Problems:
    layout = subject.layout
    model: StubModel | None = layout.stub.model if layout.stub else None
    has_firmware = any(section.name == ".efifw" for section in layout.plain_sections)
    has_program = any(section.name == HAND_OVER for section in layout.plain_sections)
    if model and has_firmware and model.matches_firmware and not (model.hands_firmware_over or has_program):
        yield Problem(
            f"{layout.stub} selects and measures firmware, but does not start it",
            where=".efifw",
        )


RULES = (
    Rule(
        id="stub-too-old",
        severity=Severity.ERROR,
        summary="The stub knows every kind of section that the image has",
        explanation="Firmware is selected since systemd 262, devicetrees and profiles since 257, microcode is passed "
        "on since 256. An older stub passes over such sections in silence.",
        check=too_old,
    ),
    Rule(
        id="stub-not-a-stub",
        severity=Severity.ERROR,
        summary="The image starts systemd-stub",
        explanation="The program that sections were added to decides what happens with them. systemd's addon stub "
        "returns at once, and its boot loader shows a menu; both name themselves in .sdmagic.",
        check=no_stub,
    ),
    Rule(
        id="no-image",
        severity=Severity.NOTE,
        summary="The file is a UKI or an addon",
        explanation="A UKI has a .linux section, an addon one that the stub takes from addons. Of kernels, stubs and "
        "other EFI programs, only what firmware loads is checked.",
        check=other_program,
    ),
    Rule(
        id="stub-unknown",
        severity=Severity.WARNING,
        summary="The stub's version is one whose behaviour is known",
        explanation="What is measured and matched depends on the stub's version. Predictions and checks for an "
        "unknown one are those of the newest known version.",
        check=unknown,
    ),
    Rule(
        id="firmware-not-handed-over",
        severity=Severity.NOTE,
        summary="The stub, or fuki's program before it, makes the hypervisor start the selected firmware",
        explanation="systemd 262.1's stub selects the .efifw of its machine and measures it into PCR 11, and does "
        "nothing more with it. [fuki.hand-over] puts a program before the stub that hands it to the hypervisor.",
        check=not_handed_over,
    ),
)
