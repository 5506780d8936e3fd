"""Find a recipe, read it in whichever syntax, and make it typed; one with a matrix once for each cell."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from fuki_build.errors import FormatError, RecipeError, in_cell, raised_as
from fuki_build.formats import documents
from fuki_build.image.blob import AnyPath
from fuki_build.recipe import mkosi, mkosi_files
from fuki_build.recipe.budget import Budget
from fuki_build.recipe.caller import Caller, merge
from fuki_build.recipe.convert import convert
from fuki_build.recipe.image_settings import ImageSettings
from fuki_build.recipe.matrix import MatrixCell, choose_cells, find_cells
from fuki_build.recipe.model import Recipe
from fuki_build.recipe.origins import Origins
from fuki_build.recipe.text import new_budget, place_of, render_text, render_tree

NAMES = ("fuki.toml", "mkosi.conf")
_SETTINGS = {"name": "ImageId", "version": "ImageVersion"}
_NAMES = ("name", "version", "variables")
"""What texts of a recipe may use."""


class LoadedRecipe(Struct, frozen=True, kw_only=True):
    """A recipe, the directory that its paths are relative to, the files it was read from, and its texts' names.

    `origins` has files and lines for errors to name, of a recipe in an mkosi.conf. `cell` is that of the recipe's
    matrix, if it has one.
    """

    recipe: Recipe
    directory: Path
    files: tuple[Path, ...]
    variables: Mapping[str, Any]
    caller: Caller | None = None
    origins: Origins = field(default_factory=Origins)
    cell: MatrixCell | None = None

    @property
    def cell_id(self) -> str | None:
        return None if self.cell is None else self.cell.id


class _RecipeData(Struct, frozen=True, kw_only=True):
    """A recipe as it was read, before texts are rendered."""

    tables: dict[str, Any]
    path: Path
    files: tuple[Path, ...]
    origins: Origins


def find_recipe(path: Path | None) -> Path:
    """The file to read: `path` itself, or the recipe in that directory (the current one by default)."""
    if path is not None and not path.is_dir():
        return path
    directory = path or Path()
    toml, configuration = (directory / name for name in NAMES)
    if toml.is_file():
        return toml
    if mkosi_files.find_sections(directory):
        return configuration

    problem, hint = f"there is no recipe in {directory.resolve()}", "write one with 'fuki init'"
    if files := mkosi_files.project_files(directory):
        names = " and ".join(str(path.relative_to(directory)) for path in files[:2])
        names = names if len(files) <= 2 else f"{names} and others"
        problem += f": {names} {'has' if len(files) == 1 else 'have'} no section [Fuki]"
        hint = "add [Fuki] there, write a recipe with 'fuki init'"
    raise RecipeError(problem, hint=f"{hint}, or name it: fuki plan path/to/fuki.toml")


def load_recipe(
    path: AnyPath | None = None, caller: Caller | None = None, choices: Sequence[str] | None = None
) -> LoadedRecipe:
    """Load a recipe from `fuki.toml`, or from the `[Fuki]` section of an `mkosi.conf`, with what a caller brings.

    Of a matrix, `choices` name one cell, as `--cell` does; None where nobody can choose. Raises `RecipeError` with the
    place for everything that is wrong in it.
    """
    data = _read(path, caller)
    cells = _cells(data, choices or ())
    if len(cells) > 1:
        problem = f"this is about one image, and the matrix has {len(cells)} cells"
        hint = f"choose one with --cell, such as {cells[0].id}"
        if choices is None:
            hint = f"give it a recipe without a matrix, or build with 'fuki build --cell {cells[0].id}'"
        raise RecipeError(problem, where="fuki.matrix", hint=hint)
    return _load_cell(data, cells[0] if cells else None, caller)


def load_cells(
    path: AnyPath | None = None, caller: Caller | None = None, choices: Sequence[str] = ()
) -> tuple[LoadedRecipe, ...]:
    """Load a recipe once for each cell of its matrix, or of those that `choices` name; without a matrix once.

    Raises `RecipeError` with the cell and the place for what is wrong in any of them.
    """
    data = _read(path, caller)
    cells = _cells(data, choices)
    return tuple(_load_cell(data, cell, caller) for cell in cells or (None,))


def _read(named: AnyPath | None, caller: Caller | None) -> _RecipeData:
    path = find_recipe(None if named is None else Path(named))
    if path.suffix == ".conf":
        tables, files, origins = _load_mkosi(path, caller)
        origins = origins.beside(caller, tables)
    else:
        tables, files, origins = _load_toml(path), (path,), Origins()
    return _RecipeData(tables=tables, path=path, files=files, origins=origins)


def _cells(data: _RecipeData, choices: Sequence[str]) -> tuple[MatrixCell, ...]:
    with data.origins.named():
        cells = find_cells(data.tables.get("matrix", {}))
    return choose_cells(cells, choices)


def _load_cell(data: _RecipeData, cell: MatrixCell | None, caller: Caller | None) -> LoadedRecipe:
    try:
        with in_cell(cell.id if cell else None), data.origins.named():
            recipe, variables = _build(data.tables, caller, cell)
    except RecursionError:
        raise RecipeError("its tables are nested too deeply", where=str(data.path)) from None
    return LoadedRecipe(
        recipe=recipe,
        directory=data.path.parent,
        files=data.files,
        variables=variables,
        caller=caller,
        origins=data.origins,
        cell=cell,
    )


def recipe_of(caller: Caller) -> LoadedRecipe:
    """What a caller brings, where there is no recipe; paths are relative to the current directory."""
    recipe, variables = _build({}, caller)
    return LoadedRecipe(recipe=recipe, directory=Path(), files=(), variables=variables, caller=caller)


def _load_toml(path: Path) -> dict[str, Any]:
    text = mkosi_files.read_text(path)
    with raised_as(RecipeError, str(path), of=FormatError):
        document = documents.decode_toml(text)

    others = sorted(set(document) - {"fuki"})
    if others:
        raise RecipeError(
            f"unknown table [{others[0]}]", where=str(path), hint="everything of fuki's stands below [fuki]"
        )

    data = document.get("fuki")
    if not isinstance(data, dict):
        raise RecipeError("there is no table [fuki]", where=str(path), hint="'fuki init' writes a recipe to start from")
    return data


def _load_mkosi(path: Path, caller: Caller | None) -> tuple[dict[str, Any], tuple[Path, ...], Origins]:
    """The sections of a project: of mkosi.conf, and of what mkosi reads after it; or that of another file alone.

    What mkosi calls its image is the recipe's name and version, where neither it nor the caller has one.
    """
    files = mkosi_files.find_sections(path.parent) if path.name == "mkosi.conf" else ()
    settings = ImageSettings(path.parent if path.name == "mkosi.conf" else path, caller.image if caller else None)
    data: dict[str, Any] = {}
    read: list[Path] = []
    origins = Origins(other=str((files or (path,))[0]))

    for file in files or (path,):
        section = mkosi.parse(mkosi_files.read_text(file), str(file), settings)
        read.append(file)

        if section.recipe is not None:
            other = path.parent / section.recipe
            if other.parent.resolve() != path.parent.resolve():
                raise RecipeError("Recipe= must name a file beside mkosi.conf", where=f"{file}: Recipe=")
            read.append(other)
            base = _load_toml(other)
            merged = merge(base, Caller(tables=data)) if data else base
            origins.add_file(merged, data, str(other))
            data = merged

        data = mkosi.merge(data, section)
        origins.add_section(section)

    data.setdefault("image", {})
    for key, name in _SETTINGS.items():
        if key not in data and key not in (caller.tables if caller else ()) and (setting := settings.get(name)):
            data[key] = setting.value
            origins.lines[f"fuki.{key}"] = setting.place
    if isinstance(data.get("sign"), list) and len(data["sign"]) == 1:
        # As the recipe says it of a single one: [fuki.sign].
        data["sign"] = data["sign"][0]
    return data, tuple(read), origins


def _build(
    data: dict[str, Any], caller: Caller | None = None, cell: MatrixCell | None = None
) -> tuple[Recipe, dict[str, Any]]:
    """Render the texts, those that others may use first, then convert.

    A caller's variables and version are there for them; the caller's own texts are not rendered.
    """
    if caller is not None:
        data = merge(data, caller.only(_NAMES))

    given = caller.tables.get("variables", {}) if caller is not None else {}
    variables: dict[str, Any] = {"env": _environment(data)}
    if cell is not None:
        variables["matrix"] = dict(cell.variables)
    budget = new_budget()
    _add_variables(variables, data.get("variables", {}), given, budget)
    for key in ("version", "name"):
        if isinstance(data.get(key, ""), str):
            variables[key] = render_text(data.get(key, ""), variables, f"fuki.{key}", budget)

    kept = {key: data[key] for key in ("variables", "matrix", "name", "version") if key in data}
    rest = {key: value for key, value in data.items() if key not in kept}
    rendered = {**kept, **render_tree(rest, variables, "fuki", budget)}

    # These two were rendered first, so that the others can use them.
    for key in ("name", "version"):
        if key in kept and isinstance(kept[key], str):
            rendered[key] = variables[key]

    if caller is not None:
        rendered = merge(rendered, caller)
    return convert(rendered, Recipe, "fuki"), variables


def _environment(data: Mapping[str, Any]) -> dict[str, str]:
    env = {}
    for index, name in enumerate(_strings(data.get("environment", []))):
        if name not in os.environ:
            raise RecipeError(f"the environment has no {name}", where=f"fuki.environment[{index}]")
        env[name] = os.environ[name]
    return env


def _add_variables(variables: dict[str, Any], own: object, given: Mapping[str, str], budget: Budget) -> None:
    if not isinstance(own, dict):
        return
    for key, value in own.items():
        where = place_of("fuki.variables", key)
        if not isinstance(value, str):
            raise RecipeError("expected a string", where=where, hint="put quotes around it")
        variables[key] = value if key in given else render_text(value, variables, where, budget)


def _strings(data: object) -> list[str]:
    return [item for item in data if isinstance(item, str)] if isinstance(data, list) else []
