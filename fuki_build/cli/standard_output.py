"""`--output -`: what a verb would write into a file goes to standard output."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from fuki_build.cli.render.plain import tell
from fuki_build.cli.render.sizes import human_size
from fuki_build.errors import RecipeError
from fuki_build.image.blob import Blob
from fuki_build.image.reading import read_pieces

if TYPE_CHECKING:
    from fuki_build.emit.plan import Result
    from fuki_build.emit.preview import Preview


def is_standard_output(output: Path | None) -> bool:
    return output is not None and str(output) == "-"


@contextmanager
def file_for(output: Path, name: str = "output") -> Iterator[Path]:
    """The file to write: `output` itself, or for `-` one of this name that is printed when the `with` ends well.

    It is written whole before any of it is printed, so that a command that fails prints nothing.
    """
    if not is_standard_output(output):
        yield output
        return
    with TemporaryDirectory(prefix="fuki-") as directory:
        path = Path(directory, name)
        yield path
        for piece in read_pieces(Blob.of_file(path)):
            sys.stdout.buffer.write(piece)


def tell_written(output: Path) -> None:
    """Tell what was written, unless it is there to be seen."""
    if not is_standard_output(output):
        tell(f"wrote {output}")


def refuse_both(output: Path | None, *, as_json: bool) -> None:
    """Raise `UsageError` where standard output is asked for twice."""
    if as_json and is_standard_output(output):
        raise click.UsageError("--json and --output - both go to standard output.")


def refuse_several(preview: "Preview") -> None:
    """Raise `RecipeError` for outputs of more than one file, none of which can go to standard output."""
    files = [file for planned in preview.outputs for file in planned.files]
    if len(files) != 1 or files[0].many:
        formats = ", ".join(dict.fromkeys(planned.output.format.name for planned in preview.outputs if planned.files))
        hint = f"choose one with --only: there are {formats}"
        raise RecipeError("standard output takes one file, and there would be several", where="--output", hint=hint)


def tell_artifacts(result: "Result") -> None:
    for artifact in result.artifacts:
        tell(f"wrote {artifact.path} ({artifact.format}, {human_size(artifact.path.stat().st_size)})")
