"""`fuki integrate`: fuki in the place of ukify inside other image builders."""

from pathlib import Path

import click

from fuki_build.cli.render.plain import tell


@click.group()
def integrate() -> None:
    """Put fuki in the place of ukify inside another image builder."""


@integrate.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path), default=Path())
@click.option("--python", metavar="VERSION", help="The Python that mkosi runs, such as 3.13; by default this one.")
def mkosi(directory: Path, python: str | None) -> None:
    """Let 'mkosi build' in DIR make its images with fuki: what [Fuki] says reaches them.

    Run it again after an update of fuki. With a tools tree mkosi runs the tree's Python: name its version, and pip
    downloads what depends on it.
    """
    from fuki_build.integrate.mkosi import integrate as integrate_mkosi  # noqa: PLC0415 - only for this verb
    from fuki_build.integrate.wheels import RUNNING, read_version  # noqa: PLC0415

    written = False
    for path in integrate_mkosi(directory, read_version(python) if python is not None else RUNNING):
        tell(f"wrote {path}")
        written = True
    if not written:
        tell(f"{directory} has all of it already")
