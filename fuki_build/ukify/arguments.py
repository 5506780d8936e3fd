"""The command line and ukify.conf, read as ukify 262.1 reads them."""

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from fuki_build import __version__
from fuki_build.ukify.options import OPTIONS, Kind, Option

UPSTREAM_VERSION = "262.1"
_USAGE = """
  ukify build [--linux=LINUX] [--initrd=INITRD]… [OPTIONS]
  ukify genkey [OPTIONS]
  ukify inspect FILE… [OPTIONS]"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise click.UsageError(message)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse a command line. What the options mean together is decided later; see `call`.

    The same parser as ukify's, so that verbs, files and options mix in the same ways. Raises `click.UsageError`.
    """
    namespace = new_parser().parse_args(list(arguments), argparse.Namespace(settings={}))
    # After "--", options are positional; upstream takes them for mistakes.
    unknown = next((word for word in namespace.positional if word.startswith("-")), None)
    if unknown is not None:
        raise click.UsageError(f"unknown option {unknown.partition('=')[0]}")
    return namespace


def new_parser() -> argparse.ArgumentParser:
    """The parser of ukify's command line; mistakes raise `click.UsageError`."""
    from fuki_build.ukify.configuration import example  # noqa: PLC0415 - it imports the options, too

    parser = _Parser(
        prog="ukify",
        usage=_USAGE,
        description="Build Unified Kernel Images as ukify does, and what a partial recipe adds.",
        epilog=f"configuration file:\n{example()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("positional", metavar="VERB", nargs="*", help=argparse.SUPPRESS)
    # Callers parse the third word, and compare it with releases of systemd.
    version = f"ukify {UPSTREAM_VERSION.partition('.')[0]} ({UPSTREAM_VERSION}) by fuki {__version__}"
    parser.add_argument("--version", action="version", version=version, help="show the version, and end")
    for option in OPTIONS:
        _add(parser, option)
    parser.add_argument("-j", dest="json", action="store_const", const="pretty", help="the same as --json=pretty")
    return parser


def _add(parser: argparse.ArgumentParser, option: Option) -> None:
    flags = [option.flag, *([option.short] if option.short else [])]
    common: dict[str, Any] = {"dest": option.attribute, "default": option.default, "help": option.help}
    if option.kind is Kind.FLAG:
        parser.add_argument(*flags, action="store_true", dest=option.attribute, help=option.help)
    elif option.kind is Kind.SWITCH:
        parser.add_argument(*flags, action=argparse.BooleanOptionalAction, **common)
    else:
        action = "store" if option.kind is Kind.ONE else "append"
        metavar = option.metavar or None
        choices = option.choices or None
        parser.add_argument(*flags, action=action, metavar=metavar, choices=choices, type=option.convert, **common)
