"""`fuki integrate`: fuki in the place of ukify inside other image builders."""

from pathlib import Path

import click

from fuki_build.cli.render.plain import tell


@click.group()
def integrate() -> None:
    """Put fuki in the place of ukify inside another image builder."""


@integrate.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path), default=Path())
def mkosi(directory: Path) -> None:
    """Let 'mkosi build' in DIR make its images with fuki: what [Fuki] says reaches them.

    Run it again after an update of fuki, and with the Python that mkosi runs.
    """
    from fuki_build.integrate.mkosi import integrate as integrate_mkosi  # noqa: PLC0415 - only for this verb

    for path in integrate_mkosi(directory):
        tell(f"wrote {path}")
