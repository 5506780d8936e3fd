"""`fuki check`: findings about a recipe or a finished image, and what each rule is about."""

import textwrap
from pathlib import Path

import click

from fuki_build import pipeline
from fuki_build.checks.run import check as run_checks
from fuki_build.cli.documents import FindingsDocument, findings_document
from fuki_build.cli.options import json_option
from fuki_build.cli.render.findings import show_findings
from fuki_build.cli.render.plain import tell
from fuki_build.errors import RecipeError
from fuki_build.formats.uki import compression
from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.records import Finding, Severity
from fuki_build.image.blob import Blob
from fuki_build.image.inspect import inspect

_OTHERS = {
    b"\x7fELF": "an ELF program",
    b"07070": "a cpio archive",
    b"\xd0\x0d\xfe\xed": "a devicetree",
}


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option(
    "--addon",
    "addons",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="An addon of the image FILE (repeatable).",
)
@click.option("--list", "list_rules", is_flag=True, help="List all rules.")
@click.option("--explain", metavar="ID", help="Explain one rule.")
@json_option(lambda: FindingsDocument)
@click.pass_obj
def check(
    plugins: tuple[str, ...],
    file: Path | None,
    addons: tuple[Path, ...],
    list_rules: bool,
    explain: str | None,
    as_json: bool,
) -> int:
    """Check FILE, a recipe or a finished image. Exits with 1 if there are errors."""
    if list_rules or explain is not None:
        _explain(pipeline.new_host(plugins), explain)
        return 0

    findings = _findings(file, addons, plugins)
    if as_json:
        from fuki_build.cli.render.json import print_document  # noqa: PLC0415

        print_document(findings_document(findings))
    show_findings(findings)
    if not findings and not as_json:
        tell("nothing to complain about")
    return int(any(finding.severity is Severity.ERROR for finding in findings))


def _findings(file: Path | None, addons: tuple[Path, ...], plugins: tuple[str, ...]) -> tuple[Finding, ...]:
    if file is not None and file.is_file() and _is_image(file):
        return run_checks(pipeline.new_host(plugins), [inspect(path) for path in (file, *addons)])
    if addons:
        raise RecipeError("addons are given with a finished image; a recipe names its own", where="--addon")
    with pipeline.plan(file, plugins) as planned:
        return planned.findings


def _is_image(file: Path) -> bool:
    """Whether it is an EFI program; `RecipeError` for what is no recipe either."""
    head = Blob.of_file(file).read_at(0, 8)
    packed = compression.detect(head)
    kind = f"compressed with {packed}" if packed else next((k for m, k in _OTHERS.items() if head.startswith(m)), None)
    if kind:
        raise RecipeError(
            f"the file is {kind}, neither a recipe nor an EFI program",
            where=str(file),
            hint="name the recipe that it goes into, or the image that is built with it",
        )
    return head.startswith(b"MZ")


def _explain(host: PluginHost, rule_id: str | None) -> None:
    rules = {contribution.thing.id: contribution.thing for contribution in host.rules()}
    if rule_id is None:
        for rule in rules.values():
            click.echo(f"{rule.id:26} {rule.severity:8} {rule.summary}")
        return
    if rule_id not in rules:
        raise RecipeError(f"there is no check {rule_id!r}", hint="'fuki check --list' shows them all")
    rule = rules[rule_id]
    click.echo(f"{rule.id} ({rule.severity}): {rule.summary}\n")
    click.echo(textwrap.fill(rule.explanation, 88))
    click.echo(f'\nTo leave its findings out, write into the recipe:\n\n    [fuki]\n    silence = ["{rule.id}"]')
