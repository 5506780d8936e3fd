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


@integrate.command("kernel-install")
@click.argument("directory", metavar="[CONFIGURATION_ROOT]", type=click.Path(path_type=Path), required=False)
@click.option("--python", metavar="VERSION", help="The system's python3, such as 3.13; by default this one.")
@click.pass_obj
def kernel_install(plugins: tuple[str, ...], directory: Path | None, python: str | None) -> None:
    """Give kernel-install a plugin that makes its images, in CONFIGURATION_ROOT or else in /etc/kernel.

    Run it again after an update of fuki.
    """
    from fuki_build.integrate import kernel_install as integration  # noqa: PLC0415 - only for this verb
    from fuki_build.integrate.wheels import RUNNING, read_version  # noqa: PLC0415

    directory = directory or integration.DEFAULT
    version = read_version(python) if python is not None else RUNNING
    written = list(integration.integrate(directory, plugins, version))
    for path in written:
        tell(f"wrote {path}")
    if not written:
        tell(f"{directory} has all of it already")
    for line in integration.missing_settings(directory):
        tell(f"still to do: {line} in {directory / 'install.conf'}")


@integrate.command("ukify")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--python", metavar="VERSION", help="The Python that runs it, such as 3.13; by default this one.")
@click.pass_obj
def ukify_program(plugins: tuple[str, ...], directory: Path, python: str | None) -> None:
    """Write a program named ukify into DIR, for builders that run the one that they find on PATH.

    DIR is the program's alone. A partial recipe's plugins come with 'fuki --plugin NAME integrate ukify DIR'.
    """
    from fuki_build.integrate.drop_in import PROGRAM, write_drop_in  # noqa: PLC0415 - only for this verb
    from fuki_build.integrate.wheels import RUNNING, read_version  # noqa: PLC0415

    written = write_drop_in(directory, plugins, read_version(python) if python is not None else RUNNING)
    tell(f"wrote {directory / PROGRAM}" if written else f"{directory} has all of it already")


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
