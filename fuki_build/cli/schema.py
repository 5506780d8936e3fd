"""`fuki schema`: the JSON Schema of recipes, and of the documents that verbs print."""

from collections.abc import Iterator

import click

from fuki_build import pipeline
from fuki_build.cli.options import documents_of
from fuki_build.errors import RecipeError, did_you_mean
from fuki_build.formats.documents import Document, encode_json


@click.command()
@click.option("--of", "verb", metavar="VERB", help="Of the JSON that this verb prints, such as 'machine show'.")
@click.pass_context
def schema(ctx: click.Context, verb: str | None) -> None:
    """Print the JSON Schema of recipes, with the options of the plugins loaded by --plugin.

    With --of, that of the JSON that a verb prints.
    """
    if verb is not None:
        from fuki_build.formats.document_schema import document_schema  # noqa: PLC0415

        click.echo(encode_json(document_schema(*_documents(ctx, verb))), nl=False)
        return
    from fuki_build.recipe import schema as recipe_schema  # noqa: PLC0415

    click.echo(encode_json(recipe_schema.schema(pipeline.new_host(ctx.obj))), nl=False)


def _documents(ctx: click.Context, verb: str) -> tuple[type[Document], ...]:
    """What a verb prints. Raises `RecipeError` for one that prints no JSON."""
    root = ctx.find_root()
    command: click.Command | None = root.command
    for word in verb.split():
        command = command.get_command(root, word) if isinstance(command, click.Group) else None
    documents = documents_of(command) if command else ()

    if not documents:
        commands = dict(json_commands(root.command, root))
        hint = did_you_mean(verb, commands) or f"these do: {', '.join(commands)}"
        raise RecipeError(f"no verb {verb!r} prints JSON", where="--of", hint=hint)
    return documents


def json_commands(command: click.Command, ctx: click.Context, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """The verbs that print JSON, by their names: all of a group and those in it, or the one that this is."""
    if isinstance(command, click.Group):
        for inner in command.list_commands(ctx):
            verb = command.get_command(ctx, inner)
            if verb is not None:
                yield from json_commands(verb, ctx, f"{name} {inner}".strip())
    elif documents_of(command):
        yield name, command
