"""`build.ninja`: each cell as an edge, for ninja to build what changed.

Syntax: the ninja manual's chapters "Ninja file reference" and "Lexical syntax".
"""

import shlex
from collections.abc import Iterator, Sequence

from msgspec import Struct

from fuki_build.errors import RecipeError

_HEAD = """\
# Written by 'fuki export ninja'. Its paths are relative to the directory that it was run in: run ninja there.
ninja_required_version = 1.7

# Cells whose images are large.
pool heavy
  depth = {heavy_jobs}

# fuki keeps an output whose content is the same, and ninja then what depends on it.
rule cell
  command = $run
  description = fuki $cell
  depfile = $depfile
  deps = gcc
  restat = 1

rule export
  command = $run
  description = fuki export ninja
  generator = 1
"""


class NinjaEdge(Struct, frozen=True, kw_only=True):
    """What one command makes: `name` is the cell's id, paths are relative to where ninja runs.

    `depfile` is what the command writes in Make's syntax; `heavy` edges run in a pool of their own.
    """

    name: str
    command: Sequence[str]
    inputs: Sequence[str]
    outputs: Sequence[str]
    depfile: str
    heavy: bool


def encode(cells: Sequence[NinjaEdge], export: NinjaEdge, heavy_jobs: int) -> str:
    """The file's text; `export` is the edge that writes it anew. Raises `RecipeError` for what ninja cannot say."""
    blocks = [_HEAD.format(heavy_jobs=heavy_jobs)]
    for cell in cells:
        variables = {"cell": cell.name, "run": shlex.join(cell.command), "depfile": cell.depfile}
        if cell.heavy:
            variables["pool"] = "heavy"
        blocks.append(_edge("cell", cell, variables))
    blocks.append(_edge("export", export, {"run": shlex.join(export.command)}))

    # Not the file itself, which ninja looks after on its own.
    targets = [path for cell in cells for path in cell.outputs]
    blocks.append("default " + " ".join(map(_path, targets)) + "\n")
    return "\n".join(blocks)


def _edge(rule: str, edge: NinjaEdge, variables: dict[str, str]) -> str:
    lines = [f"build {' '.join(map(_path, edge.outputs))}: {rule}"]
    if edge.inputs:
        # Implicit ones: the command names what it reads in its own way.
        lines[0] += " |"
        lines += [f"    {_path(path)}" for path in edge.inputs]
    return " $\n".join(lines) + "\n" + "".join(_variables(variables))


def _variables(variables: dict[str, str]) -> Iterator[str]:
    for name, value in variables.items():
        _refuse(value, "\n\r\0")
        yield f"  {name} = {value.replace('$', '$$')}\n"


def _path(path: str) -> str:
    # There is no escape for a bar, and none for the end of a line.
    _refuse(path, "|\n\r\0")
    return "".join(f"${c}" if c in "$ :" else c for c in path)


def _refuse(text: str, characters: str) -> None:
    for character in characters:
        if character in text:
            hint = "give the file another name, or the recipe another text"
            raise RecipeError(f"a build.ninja cannot have {character!r} in {text!r}", hint=hint)
