"""`fuki ukify`: ukify's command line, for callers that know no other."""

import os
import sys
from pathlib import Path

import click

from fuki_build.cli.render.findings import show_findings
from fuki_build.cli.render.plain import tell


@click.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": [], "allow_interspersed_args": False}
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def ukify(plugins: tuple[str, ...], arguments: tuple[str, ...]) -> None:
    """Build as ukify does: its verbs, its options, and what a partial recipe adds.

    'fuki ukify --help' lists the options of ukify 262.1, all of which there are.
    """
    from fuki_build.ukify.run import run  # noqa: PLC0415 - argparse and all that builds are only for this verb

    drop_in = os.environ.get("FUKI_DROP_IN")
    text = run(
        arguments,
        plugins,
        note=lambda line: tell(f"ukify: {line}"),
        show=show_findings,
        drop_in=Path(drop_in) if drop_in else None,
    )
    sys.stdout.write(text)
