"""Plugins to install beside fuki: one that gives one of everything, and one of platforms."""

import json
from subprocess import CompletedProcess
from typing import Any

from tests.support.workshop import workshop_recipe

TRACE = "import os, pathlib\npathlib.Path(os.environ['FUKI_TEST_TRACE']).touch()\n"

GOOD = '''
import click
from pathlib import Path
from fuki_build import FukiError, Machine
from fuki_build.hooks import (
    FirmwareFile, FirmwareSource, Options, OutputFormat, Platform, Problem, Rule, Severity, hookimpl,
)


class VendorOptions(Options, frozen=True):
    board_name: str


class Vendor(FirmwareSource):
    """The vendor's own."""

    name = "vendor"
    Options = VendorOptions

    def fetch(self, options, context):
        path = context.directory / f"{options.board_name}.fd"
        return FirmwareFile(path, id=options.board_name, origin={"board": options.board_name})


class Acme(Platform):
    name = "acme"
    title = "Acme Cloud"
    chid_types = (9,)

    def machines(self, selector=None):
        if selector not in (None, "vm"):
            raise FukiError(f"acme has no machine {selector!r}", hint="there is: vm")
        return [Machine(name="Acme VM", manufacturer="Acme", product="VM")]


class Digest(OutputFormat):
    """The image's digest."""

    name = "digest"
    suffix = ".digest"

    def emit(self, options, build, context):
        context.write(context.path, build.uki.assembly.authenticode.encode())


def no_splash(subject):
    if not subject.layout.find(".splash"):
        yield Problem("there is no .splash", where=".splash", hint="it is pretty")


@click.command()
@click.argument("whom")
def greet(whom):
    """Greet someone."""
    click.echo(f"hello {whom}")


@hookimpl
def fuki_firmware_sources():
    return [Vendor]


@hookimpl
def fuki_platforms():
    return [Acme]


@hookimpl
def fuki_outputs():
    return [Digest]


@hookimpl
def fuki_checks():
    return [
        Rule(
            id="acme-no-splash",
            severity=Severity.WARNING,
            summary="An image has a splash",
            explanation="It is pretty.",
            check=no_splash,
        )
    ]


@hookimpl
def fuki_template_dirs():
    return [Path(__file__).parent / "acme-templates"]


@hookimpl
def fuki_commands():
    return [greet]
'''

NAMED = workshop_recipe(plugins=["acme"])

PLATFORMS = """
from fuki_build import Machine
from fuki_build.hooks import Platform, hookimpl

def platform(key):
    class Some(Platform):
        name = key
        title = key
        chid_types = (9,)
        def machines(self, selector=None):
            return []
    return Some

@hookimpl
def fuki_platforms():
    return [platform(key) for key in NAMES]
"""


def rows(done: CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """What `fuki plugins --json` prints of each plugin."""
    listed: list[dict[str, Any]] = json.loads(done.stdout)["plugins"]
    return {row["name"]: row for row in listed}
