"""Texts of a recipe and templates: Jinja2 in a sandbox, an undefined name being an error."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fuki_build.errors import RecipeError
from fuki_build.image.guard import note_read

if TYPE_CHECKING:
    from jinja2.sandbox import SandboxedEnvironment

_FAILURES = (
    TypeError, ValueError, ArithmeticError, LookupError, AttributeError, MemoryError, RecursionError,
)  # fmt: skip
"""What a text that Jinja2 accepts can still raise while it is rendered."""


def template_directory() -> Path:
    """The shipped templates: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).parent.parent
    inside = package / "templates"
    return inside if inside.is_dir() else package.parent / "templates"


@cache
def _environment(directories: tuple[Path, ...] = (), *, autoescape: bool = False) -> "SandboxedEnvironment":
    # Imported late: most recipes have no template in them, and start faster for it.
    from jinja2 import FileSystemLoader, StrictUndefined  # noqa: PLC0415
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415

    return ImmutableSandboxedEnvironment(
        loader=FileSystemLoader([str(d) for d in directories]),
        undefined=StrictUndefined,
        autoescape=autoescape,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def is_template(text: str) -> bool:
    return "{{" in text or "{%" in text or "{#" in text


def render_text(text: str, variables: Mapping[str, Any], where: str) -> str:
    """Render one string of a recipe; `RecipeError` at `where` for undefined names and syntax errors."""
    if "\0" in text:
        raise RecipeError("a text cannot hold a NUL character", where=where, hint="remove the \\u0000")
    if not is_template(text):
        return text
    from jinja2 import TemplateError  # noqa: PLC0415

    try:
        return _environment().from_string(text).render(variables)
    except (TemplateError, *_FAILURES) as error:
        raise _explain(error, variables, where) from None


def render_tree(data: Any, variables: Mapping[str, Any], where: str) -> Any:  # noqa: ANN401 - TOML data
    """Render every string in nested lists and tables; keys are left alone."""
    if isinstance(data, str):
        return render_text(data, variables, where)
    if isinstance(data, list):
        return [render_tree(item, variables, f"{where}[{index}]") for index, item in enumerate(data)]
    if isinstance(data, dict):
        return {key: render_tree(value, variables, f"{where}.{key}") for key, value in data.items()}
    return data


def render_template(
    name: str, variables: Mapping[str, Any], directories: Sequence[Path], where: str
) -> tuple[str, list[Path]]:
    """Render a template by name, from the first directory that has it; also the files that were read for it.

    HTML and SVG texts escape what is put into them. Raises `RecipeError` when there is no such template or it fails.
    """
    from jinja2 import TemplateError, TemplateNotFound  # noqa: PLC0415

    autoescape = name.removesuffix(".j2").endswith((".html", ".svg", ".xml"))
    environment = _environment(tuple(directories), autoescape=autoescape)
    cache = {} if environment.cache is None else environment.cache
    cache.clear()
    try:
        text = environment.get_template(name).render(variables)
        # Everything that it included or extended is in the environment's cache by now.
        files = {Path(template.filename) for _, template in cache.items() if template.filename}
        for file in files:
            note_read(file)
        return text, sorted(files)
    except TemplateNotFound as error:
        raise RecipeError(
            f"there is no template {error.name!r}",
            where=where,
            hint=f"looked in {', '.join(str(d) for d in directories)}",
        ) from None
    except (TemplateError, *_FAILURES) as error:
        raise _explain(error, variables, where) from None


def _explain(error: Exception, variables: Mapping[str, Any], where: str) -> RecipeError:
    line = getattr(error, "lineno", None)
    at_line = f" (line {line})" if line else ""
    names = ", ".join(sorted(variables))
    return RecipeError(
        f"this text cannot be rendered: {str(error) or type(error).__name__}{at_line}",
        where=where,
        hint=f"known names: {names}",
    )
