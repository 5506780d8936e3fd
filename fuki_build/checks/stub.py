"""Rules about what the stub's version can do with the image."""

from fuki_build.hooks.records import Problem, Problems, Rule, Severity, Subject
from fuki_build.image.image import ImageKind
from fuki_build.image.section import HAND_OVER
from fuki_build.image.stub import MODELS, NEWEST_KNOWN, UNNUMBERED, StubModel

_NEEDS = {
    ".efifw": ("matches_firmware", "never selects firmware"),
    ".dtbauto": ("matches_devicetree", "never selects a devicetree"),
    ".profile": ("profiles", "knows no profiles and uses the first of each section"),
    ".ucode": ("microcode", "does not pass microcode on"),
}
"""For sections that came late: the property of the model that uses them, and what happens without."""


def too_old(subject: Subject) -> Problems:
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


def unknown(subject: Subject) -> Problems:
    layout = subject.layout
    if layout.kind is not ImageKind.UKI:
        return
    if layout.stub is None or layout.stub.numbers == UNNUMBERED:
        yield Problem(f"the stub does not say its version; it is taken for {NEWEST_KNOWN}")
    elif layout.stub.numbers[0] > NEWEST_KNOWN:
        yield Problem(f"{layout.stub} is newer than this fuki knows; it is taken for {NEWEST_KNOWN}")


def not_handed_over(subject: Subject) -> Problems:
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
        "stub-too-old",
        Severity.ERROR,
        "The stub knows every kind of section that the image has",
        "Firmware is selected since systemd 262, devicetrees and profiles since 257, microcode is passed on since "
        "256. An older stub passes over such sections in silence.",
        too_old,
    ),
    Rule(
        "stub-unknown",
        Severity.WARNING,
        "The stub's version is one whose behaviour is known",
        "What is measured and matched depends on the stub's version. Predictions and checks for an unknown one are "
        "those of the newest known version.",
        unknown,
    ),
    Rule(
        "firmware-not-handed-over",
        Severity.NOTE,
        "The stub, or fuki's program before it, makes the hypervisor start the selected firmware",
        "systemd 262.1's stub selects the .efifw of its machine and measures it into PCR 11, and does nothing more "
        "with it. [fuki.hand-over] puts a program before the stub that hands it to the hypervisor.",
        not_handed_over,
    ),
)
