"""`fuki integrate`: fuki in the place of ukify inside other image builders."""

import os
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


@integrate.command("kernel-install")
@click.argument("directory", metavar="[CONFIGURATION_ROOT]", type=click.Path(path_type=Path), required=False)
@click.pass_obj
def kernel_install(plugins: tuple[str, ...], directory: Path | None) -> None:
    """Give kernel-install a plugin that makes its images, in CONFIGURATION_ROOT or else in /etc/kernel.

    Run it again after an update of fuki, and with the Python that 'python3' is for kernel-install.
    """
    from fuki_build.integrate import kernel_install as integration  # noqa: PLC0415 - only for this verb

    directory = directory or integration.DEFAULT
    for path in integration.integrate(directory, plugins):
        tell(f"wrote {path}")
    for line in integration.missing_settings(directory):
        tell(f"still to do: {line} in {directory / 'install.conf'}")


@integrate.command("ukify")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.pass_obj
def ukify_program(plugins: tuple[str, ...], directory: Path) -> None:
    """Write a program named ukify into DIR, for builders that run the one that they find on PATH.

    DIR is the program's alone. A partial recipe's plugins come with 'fuki --plugin NAME integrate ukify DIR'.
    """
    from fuki_build.integrate.drop_in import PROGRAM, write_drop_in  # noqa: PLC0415 - only for this verb

    write_drop_in(directory, plugins)
    tell(f"wrote {directory / PROGRAM}")


@integrate.command("kernel-install-plugin", hidden=True, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def kernel_install_plugin(plugins: tuple[str, ...], arguments: tuple[str, ...]) -> None:
    """Make the image of one 'kernel-install add'; 60-fuki.install runs this."""
    from fuki_build.cli.render.findings import show_findings  # noqa: PLC0415 - only for this verb
    from fuki_build.ukify import kernel_install as calls  # noqa: PLC0415
    from fuki_build.ukify.run import build_call  # noqa: PLC0415

    verbose = os.environ.get("KERNEL_INSTALL_VERBOSE", "0") != "0"

    def note(text: str) -> None:
        if verbose:
            tell(f"60-fuki: {text}")

    installation = calls.read_installation(arguments, os.environ)
    call = calls.installation_call(installation)
    for text in call.notes:
        note(text)

    built = build_call(call, plugins, note, show_findings)
    for text in calls.output_notes(installation, built.paths):
        tell(f"60-fuki: {text}")
