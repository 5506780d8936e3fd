"""`fuki plugin`: beginnings of plugins."""

from pathlib import Path

import click

from fuki_build.cli.render.plain import tell

KINDS = ("platform", "firmware", "signer", "output", "check", "launch")


@click.group()
def plugin() -> None:
    """Plugins of your own."""


@plugin.command()
@click.argument("name", metavar="NAME")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What the plugin gives.")
@click.option(
    "--into",
    "parent",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Where to make the directory; by default here.",
)
@click.pass_obj
def new(plugins: tuple[str, ...], name: str, kind: str, parent: Path) -> None:
    """Write the plugin NAME as a distribution of its own, into the new directory fuki-NAME.

    It has a module, tests that pass, and what pip needs; lines with TODO say what to replace. Nothing that is there is
    overwritten.
    """
    from fuki_build import pipeline  # noqa: PLC0415 - only for this verb
    from fuki_build.scaffold import write_plugin  # noqa: PLC0415

    for path in write_plugin(name, kind, parent, pipeline.new_host(plugins)):
        tell(f"wrote {path}")
    tell(f"next: pip install --editable {parent / f'fuki-{name}'} && fuki --plugin {name} plugins")
