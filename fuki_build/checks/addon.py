"""Rules about an addon and the image that it is for."""

from fuki_build.hooks.rules import CheckSubject, Problem, Problems, Rule, Severity
from fuki_build.image.layout import Layout
from fuki_build.image.section import Section

_MAX_SIZE = 4096


def _text(section: Section) -> bytes:
    return section.content.read_at(0, _MAX_SIZE).partition(b"\0")[0]


def other_release(subject: CheckSubject) -> Problems:
    """As the stub compares (strneq8): up to the size of the addon's section."""
    for section in subject.layout.find(".uname"):
        size, release = section.content.size, _text(section)
        for own in _releases(subject.image):
            if own[:size] != release[:size]:
                yield Problem(
                    f"the addon is for the kernel {release.decode(errors='replace')}, the image has "
                    f"{own.decode(errors='replace')}: its stub passes over the addon",
                    where=subject.layout.where or ".uname",
                    hint="give the image's release, or leave uname out of the addon",
                )


def _releases(image: Layout | None) -> set[bytes]:
    """What the kernels of an image's profiles are."""
    profiles = (image.profiles or (None,)) if image else ()
    parts = [image.effective(profile) for profile in profiles] if image else []
    return {_text(section) for part in parts for section in part if section.name == ".uname"}


def other_machine(subject: CheckSubject) -> Problems:
    image = subject.image
    if image and image.headers.coff.machine != subject.layout.headers.coff.machine:
        yield Problem(
            f"the addon is for {subject.layout.machine}, the image for {image.machine}",
            where=subject.layout.where or subject.layout.name,
            hint="make the addon for the image's machine",
        )


RULES = (
    Rule(
        id="addon-uname",
        severity=Severity.ERROR,
        summary="An addon with a release has the image's",
        explanation="An addon's .uname ties it to one kernel: the stub of an image whose .uname differs passes over "
        "the addon, with a message on the console.",
        check=other_release,
    ),
    Rule(
        id="addon-machine",
        severity=Severity.ERROR,
        summary="An addon is for the image's machine",
        explanation="Firmware does not load an EFI image of another architecture, so the stub passes over the addon.",
        check=other_machine,
    ),
)
