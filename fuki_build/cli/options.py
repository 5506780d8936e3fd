"""Arguments that several verbs share."""

from pathlib import Path

import click

recipe_argument = click.argument("recipe", type=click.Path(path_type=Path), required=False)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
output_type = click.Path(path_type=Path)
digest_option = click.option(
    "--digest",
    type=click.Choice(["sha256", "sha384", "sha512"]),
    default="sha256",
    show_default=True,
    help="Algorithm of the digest; firmware is sure to know SHA-256 only.",
)
