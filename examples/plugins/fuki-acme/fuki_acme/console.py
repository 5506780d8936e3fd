"""The check `acme-console`: Acme's machines have a serial console, and no screen."""

from fuki_build.hooks import CheckSubject, ImageKind, Problem, Problems, Rule, Severity

CONSOLE = "console=ttyS0"


def silent(subject: CheckSubject) -> Problems:
    if subject.layout.kind is not ImageKind.UKI:
        return
    for profile in subject.layout.profiles or (None,):
        section = subject.layout.effective_section(".cmdline", profile)
        words = section.text().split() if section else []
        if not any(word.partition(",")[0] == CONSOLE for word in words):
            name = "the image" if profile is None else f"profile {profile}"
            place = section.place if section else ".cmdline"
            yield Problem(f"nobody sees {name} start", where=place, hint=f"add {CONSOLE} to the command line")


RULE = Rule(
    id="acme-console",
    severity=Severity.WARNING,
    summary="The kernel writes to the serial console",
    explanation="Acme Cloud shows the first serial port, and nothing else. A kernel that is not told so is silent.",
    check=silent,
)
