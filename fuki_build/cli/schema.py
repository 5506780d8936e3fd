"""`fuki schema`: the JSON Schema of recipes."""

import click

from fuki_build import pipeline


@click.command()
@click.pass_obj
def schema(plugins: tuple[str, ...]) -> None:
    """Print the JSON Schema of recipes, with the options of the plugins loaded by --plugin."""
    from fuki_build.cli.render.json import print_json  # noqa: PLC0415
    from fuki_build.recipe import schema as schemas  # noqa: PLC0415

    print_json(schemas.schema(pipeline.new_host(plugins)))
