"""`fuki hand-over`: whether the image's own firmware runs, and why not."""

from pathlib import Path

import click

from fuki_build.cli.options import json_option
from fuki_build.formats.uki.hand_over_outcome import HandOverOutcome
from fuki_build.hardware.hand_over import EFI_VARIABLES, read_outcome
from fuki_build.hardware.hand_over_view import RUNNING, HandOverDocument, view_outcome

_NOT_RUNNING, _UNKNOWN = 3, 4
"""Exit codes of LSB's 'status' (LSB 5.0, 22.2), which systemctl has too."""


@click.group("hand-over")
def hand_over() -> None:
    """Hand-overs: a guest that starts its own firmware."""


@hand_over.command()
@click.argument("path", type=click.Path(path_type=Path), default=EFI_VARIABLES)
@click.option("--quiet", "-q", is_flag=True, help="Print nothing: the exit code tells.")
@json_option(lambda: HandOverDocument)
@click.pass_context
def status(context: click.Context, path: Path, quiet: bool, as_json: bool) -> None:
    """Tell what came of handing the firmware over at this start.

    PATH is a directory of EFI variables, by default this machine's, or a file with the variable FukiHandOver. Exits
    with 0 where the image's own firmware runs, 3 where it does not, 4 where there is no hand-over program.
    """
    outcome = read_outcome(path)
    if not quiet:
        _print(outcome, as_json=as_json)
    if outcome is None:
        context.exit(_UNKNOWN)
    if outcome.result not in RUNNING:
        context.exit(_NOT_RUNNING)


def _print(outcome: HandOverOutcome | None, *, as_json: bool) -> None:
    document = view_outcome(outcome)
    if as_json:
        from fuki_build.cli.render.json import print_document  # noqa: PLC0415

        print_document(document)
    else:
        from fuki_build.cli.render.machines import show_hand_over  # noqa: PLC0415

        show_hand_over(document)
