"""`fuki check`: findings about a recipe or a finished image, and what each rule is about."""

import re
import textwrap
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from fuki_build import pipeline
from fuki_build.checks.run import check as run_checks
from fuki_build.cli.documents import FindingsDocument, findings_document
from fuki_build.cli.fleet import each_image, json_lines_option
from fuki_build.cli.options import cell_option
from fuki_build.cli.render.annotations import FORMATS, annotation, annotations_text, finding_of
from fuki_build.cli.render.findings import show_findings
from fuki_build.cli.render.json import DocumentPrinter, PrettyPrinter
from fuki_build.cli.render.plain import tell
from fuki_build.errors import FukiError, RecipeError
from fuki_build.formats.documents import Document
from fuki_build.formats.uki import compression
from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.rules import Finding, Severity
from fuki_build.image.blob import Blob
from fuki_build.image.inspect import inspect
from fuki_build.recipe.lines import locate
from fuki_build.recipe.load import LoadedRecipe, find_recipe, load_cells
from fuki_build.recipe.mkosi_files import find_sections

_SYNTAX = re.compile(r"\(at line ([0-9]+), column [0-9]+\)")
_OTHERS = {
    b"\x7fELF": "an ELF program",
    b"07070": "a cpio archive",
    b"\xd0\x0d\xfe\xed": "a devicetree",
}


def _documents() -> tuple[type[Document], ...]:
    from fuki_build.cli.matrix_documents import MatrixFindingsDocument  # noqa: PLC0415 - most recipes have no matrix

    return FindingsDocument, MatrixFindingsDocument


@click.command()
@click.argument("files", metavar="[FILE]...", type=click.Path(path_type=Path), nargs=-1)
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
@click.option("--unsigned", is_flag=True, help="Leave all signatures of a recipe out.")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="Print annotations: workflow commands, or a code quality report.",
)
@cell_option
@json_lines_option(_documents)
@click.pass_obj
def check(
    plugins: tuple[str, ...],
    *,
    files: tuple[Path, ...],
    addons: tuple[Path, ...],
    unsigned: bool,
    list_rules: bool,
    explain: str | None,
    form: str | None,
    cells: tuple[str, ...],
    as_json: bool,
) -> int:
    """Check each FILE, a recipe or a finished image. Exits with 1 if there are errors.

    Of a matrix, every cell is checked.

    With --format, findings are printed as code hosts show them beside a change: 'github' for GitHub Actions, 'gitlab'
    for a code quality report. An error that ends the command is among them.
    """
    _refuse_together(files, addons, form, as_json=as_json)
    if list_rules or explain is not None:
        _explain(pipeline.new_host(plugins), explain)
        return 0

    form = form or ("json" if as_json else None)
    work = partial(_check, form, addons, plugins, cells, unsigned)
    if not files:
        return work(None, PrettyPrinter())
    return each_image(files, work, as_json=as_json, modules=("pefile",), headings=form is None)


def _refuse_together(files: tuple[Path, ...], addons: tuple[Path, ...], form: str | None, *, as_json: bool) -> None:
    """Raise `UsageError` for options that cannot be had at once."""
    if as_json and form:
        raise click.UsageError("--json and --format cannot be had at once.")
    if len(files) > 1 and addons:
        raise click.UsageError("--addon takes one FILE, the image that it is for.")
    if len(files) > 1 and form == "gitlab":
        raise click.UsageError("--format gitlab takes one FILE: its report is one document.")


def _check(
    form: str | None,
    addons: tuple[Path, ...],
    plugins: tuple[str, ...],
    cells: tuple[str, ...],
    unsigned: bool,
    file: Path | None,
    printer: DocumentPrinter,
) -> int:
    try:
        recipes = () if _is_finished(file) else load_cells(file, None, cells)
        if recipes and recipes[0].cell is not None and not addons:
            from fuki_build.cli.matrix import check_matrix, matrix_findings  # noqa: PLC0415 - as above

            if form not in FORMATS:
                return check_matrix(recipes, plugins, printer if form == "json" else None, unsigned=unsigned)
            findings = matrix_findings(recipes, plugins, unsigned=unsigned)
        else:
            findings = _findings(file, recipes, addons, plugins, unsigned=unsigned)
    except FukiError as error:
        if form in FORMATS:
            _annotate([finding_of(error)], file, form)
        raise

    if form == "json":
        printer.print(findings_document(findings))
    elif form:
        _annotate(findings, file, form)
    show_findings(findings)
    if not findings and not form:
        tell("nothing to complain about")
    return int(any(finding.severity is Severity.ERROR for finding in findings))


def _is_finished(file: Path | None) -> bool:
    return file is not None and file.is_file() and _is_image(file)


def _findings(
    file: Path | None,
    recipes: Sequence[LoadedRecipe],
    addons: tuple[Path, ...],
    plugins: tuple[str, ...],
    *,
    unsigned: bool,
) -> tuple[Finding, ...]:
    if file is not None and not recipes:
        return run_checks(pipeline.new_host(plugins), [inspect(path) for path in (file, *addons)])
    if addons:
        raise RecipeError("addons are given with a finished image; a recipe names its own", where="--addon")
    with pipeline.plan(recipes[0], plugins, unsigned=unsigned) as planned:
        pipeline.preview(planned)
        return planned.findings


def _annotate(findings: Sequence[Finding], file: Path | None, form: str) -> None:
    """Print findings at lines of the recipe's files, or at an image."""
    files = _recipe_files(file)
    annotations = []
    for finding in findings:
        if not files:
            annotations.append(annotation(finding, file or Path()))
        else:
            location = locate(finding.where, files)
            # Python's parser of TOML tells the line in its message only.
            syntax = _SYNTAX.search(finding.message) if finding.where == str(location.path) else None
            line = int(syntax[1]) if syntax else location.line
            annotations.append(annotation(finding, location.path, line))

    click.echo(annotations_text(annotations, form), nl=False)


def _recipe_files(file: Path | None) -> tuple[Path, ...]:
    """The files of a recipe that findings may be in; none of an image, and of a recipe that is not there."""
    try:
        path = find_recipe(file)
        if not path.is_file() or Blob.of_file(path).read_at(0, 2) == b"MZ":
            return ()
        return (find_sections(path.parent) or (path,)) if path.name == "mkosi.conf" else (path,)
    except FukiError:
        return ()


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
