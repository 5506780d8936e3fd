"""Texts of a recipe and templates: Jinja2 in a sandbox, an undefined name being an error."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fuki_build.errors import FormatError, RecipeError, did_you_mean, located, raised_as
from fuki_build.image.guard import note_read
from fuki_build.recipe.budget import Budget
from fuki_build.recipe.words import Word

if TYPE_CHECKING:
    from fuki_build.recipe.sandbox import BoundedEnvironment

_FAILURES = (
    TypeError, ValueError, ArithmeticError, LookupError, AttributeError, MemoryError, RecursionError, SyntaxError,
)  # fmt: skip
"""What a text that Jinja2 accepts can still raise while it is compiled and rendered."""
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
TEXT_STEPS = 1_000_000
TEMPLATE_STEPS = 32_000_000
"""Enough for reports on the largest images; used up in some seconds."""


def template_directory() -> Path:
    """The shipped templates: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).parent.parent
    inside = package / "templates"
    return inside if inside.is_dir() else package.parent / "templates"


def new_budget(*, template: bool = False) -> Budget:
    """What all texts of one recipe may take, or one template."""
    return Budget(TEMPLATE_STEPS if template else TEXT_STEPS)


def place_of(table: str, key: str) -> str:
    """The place of a key in a recipe's table, quoted where TOML wants quotes."""
    return f"{table}.{key}" if _BARE_KEY.fullmatch(key) else f'{table}."{key}"'


def is_template(text: str) -> bool:
    return "{{" in text or "{%" in text or "{#" in text


def render_text(text: str, variables: Mapping[str, Any], where: str, budget: Budget | None = None) -> str:
    """Render one string of a recipe; `RecipeError` at `where` for undefined names, syntax errors and what has no end.

    Texts that share a budget are bounded together.
    """
    if is_template(text):
        # Imported late: most recipes have no template in them, and start faster for it.
        from fuki_build.recipe.sandbox import BoundedEnvironment  # noqa: PLC0415

        environment = BoundedEnvironment(budget or new_budget())
        with _explained(variables, where):
            text = environment.from_string(text).render(variables)
    if "\0" in text:
        raise RecipeError("a text cannot hold a NUL character", where=where, hint="remove the \\u0000")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        byte = ascii(text[error.start])
        raise RecipeError(
            f"a text cannot hold {byte}, which is half a character or a byte that is not UTF-8", where=where
        ) from error
    return text


def render_tree(data: Any, variables: Mapping[str, Any], where: str, budget: Budget | None = None) -> Any:  # noqa: ANN401 - TOML data
    """Render every string in nested lists and tables; keys are left alone."""
    if isinstance(data, str):
        text = render_text(data, variables, where, budget)
        return Word(text) if isinstance(data, Word) else text
    if isinstance(data, list):
        return [render_tree(item, variables, f"{where}[{index}]", budget) for index, item in enumerate(data)]
    if isinstance(data, dict):
        return {key: render_tree(value, variables, place_of(where, key), budget) for key, value in data.items()}
    return data


def render_template(
    name: str, variables: Mapping[str, Any], directories: Sequence[Path], where: str
) -> tuple[str, list[Path]]:
    """Render a template by name, from the first directory that has it; also the files that were read for it.

    HTML and SVG texts escape what is put into them. Raises `RecipeError` when there is no such template or it fails.
    """
    environment = _template_environment(name, directories)
    with _explained(variables, where), _found(directories, where):
        text = environment.get_template(name).render(variables)

    for file in environment.files:
        note_read(file)
    return text, sorted(environment.files)


def template_files(names: Sequence[str], directories: Sequence[Path], where: str) -> list[Path]:
    """The files of these templates, and of those that they name in turn; what they compute names of is not seen.

    Raises `RecipeError` where one is missing or cannot be read as a template.
    """
    from jinja2 import TemplateNotFound, meta  # noqa: PLC0415

    from fuki_build.recipe.sandbox import BoundedEnvironment  # noqa: PLC0415

    environment = BoundedEnvironment(new_budget(template=True), directories)
    assert environment.loader is not None  # noqa: S101 - it has one of its own
    waiting, seen = list(names), set(names)
    with _explained({}, where):
        while waiting:
            name = waiting.pop()
            try:
                source, _, _ = environment.loader.get_source(environment, name)
            except TemplateNotFound as error:
                hint = f"looked in {', '.join(str(d) for d in directories)}"
                raise RecipeError(f"there is no template {error.name!r}", where=where, hint=hint) from error
            named = {other for other in meta.find_referenced_templates(environment.parse(source)) if other} - seen
            seen |= named
            waiting += sorted(named)
    return sorted(environment.files)


def find_template(name: str, directories: Sequence[Path], where: str) -> None:
    """Read and compile a template, as `render_template` does first, with the same errors."""
    environment = _template_environment(name, directories)
    with _explained({}, where), _found(directories, where):
        environment.get_template(name)
    for file in environment.files:
        note_read(file)


def _template_environment(name: str, directories: Sequence[Path]) -> "BoundedEnvironment":
    from fuki_build.recipe.sandbox import BoundedEnvironment  # noqa: PLC0415 - Jinja2 is slow to load

    autoescape = name.removesuffix(".j2").endswith((".html", ".svg", ".xml"))
    return BoundedEnvironment(new_budget(template=True), directories, autoescape=autoescape)


@contextmanager
def _found(directories: Sequence[Path], where: str) -> Iterator[None]:
    """Turn Jinja2's error about a template that is not there into a `RecipeError` at `where`."""
    from jinja2 import TemplateNotFound  # noqa: PLC0415

    try:
        yield
    except TemplateNotFound as error:
        hint = did_you_mean(str(error.name), _templates(directories))
        hint = hint or f"looked in {', '.join(str(d) for d in directories)}"
        raise RecipeError(f"there is no template {error.name!r}", where=where, hint=hint) from error


def _templates(directories: Sequence[Path]) -> Iterator[str]:
    for directory in directories:
        if directory.is_dir():
            yield from sorted(path.name for path in directory.glob("*.j2"))


@contextmanager
def _explained(variables: Mapping[str, Any], where: str) -> Iterator[None]:
    """Turn what a text that is rendered may raise into a `RecipeError` at `where`."""
    from jinja2 import TemplateError  # noqa: PLC0415

    try:
        with raised_as(RecipeError, where, of=FormatError), located(where):
            yield
    except (TemplateError, *_FAILURES) as error:
        raise _explain(error, variables, where) from error


def _explain(error: Exception, variables: Mapping[str, Any], where: str) -> RecipeError:
    line = getattr(error, "lineno", None)
    at_line = f" (line {line})" if line else ""
    matrix = [f"matrix.{name}" for name in variables.get("matrix", ())]
    names = ", ".join(sorted([*(name for name in variables if name != "matrix"), *matrix]))
    return RecipeError(
        f"this text cannot be rendered: {str(error) or type(error).__name__}{at_line}",
        where=where,
        hint=f"known names: {names}" if variables else None,
    )
