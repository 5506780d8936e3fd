"""Arguments that several verbs share."""

from pathlib import Path

import click

recipe_argument = click.argument("recipe", type=click.Path(path_type=Path), required=False)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
output_type = click.Path(path_type=Path)
