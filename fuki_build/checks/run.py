"""Hold layouts against all rules."""

from collections.abc import Sequence

from fuki_build.errors import CheckError, RecipeError
from fuki_build.hooks.host import PluginHost, loaded_machines
from fuki_build.hooks.rules import CheckSubject, Expectation, Finding, Severity
from fuki_build.image.image import ImageKind
from fuki_build.image.layout import Layout


def check(
    host: PluginHost,
    layouts: Sequence[Layout],
    silence: Sequence[str] = (),
    expectations: Sequence[Expectation] = (),
) -> tuple[Finding, ...]:
    """Findings, errors first; addons are held against the image among `layouts`.

    Raises `RecipeError` when a rule is to be silenced that does not exist.
    """
    rules = host.rules()
    known = {rule.thing.id for rule in rules}
    for index, name in enumerate(silence):
        if name not in known:
            raise RecipeError(
                f"there is no check {name!r}",
                where=f"fuki.silence[{index}]",
                hint="'fuki check --list' shows them all",
            )

    machines = loaded_machines(host)
    findings: list[Finding] = []
    image = next((layout for layout in layouts if layout.kind is ImageKind.UKI), None)
    for layout in layouts:
        subject = CheckSubject(layout, machines, expectations, image if layout.kind is ImageKind.ADDON else None)
        for rule in rules:
            if rule.thing.id not in silence:
                with rule.running():
                    findings += rule.thing.findings(subject)
    return tuple(sorted(findings, key=lambda finding: list(Severity).index(finding.severity)))


def refuse_errors(findings: Sequence[Finding]) -> None:
    """Raise `CheckError` if there are errors among findings."""
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if errors:
        raise CheckError(len(errors), errors[0].rule)
