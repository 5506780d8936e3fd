"""Text from files that anyone may have made, safe to print on a terminal. Whatever a verb prints goes through here."""

import sys
from typing import Any

import click

from fuki_build.cli.render import talk
from fuki_build.cli.render.talk import Talk
from fuki_build.cli.render.words import message_lines


def plain(text: str) -> str:
    """Control characters as escapes, so that an image cannot steer the terminal of who inspects it."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def say(text: str) -> None:
    """One line on standard output."""
    click.echo(plain(text))


def tell(text: str) -> None:
    """One line on standard error that tells what is done; none with `--quiet`."""
    if talk.level > Talk.QUIET:
        complain(text)


def complain(text: str) -> None:
    """One line on standard error that nobody should miss: an error."""
    for line in message_lines(plain(text), sys.stderr):
        click.echo(line, err=True)


def plain_tree(data: Any) -> Any:  # noqa: ANN401 - what msgspec.to_builtins gives
    """The same for every string of nested lists and tables, for pages: some characters turn text around there, too."""
    if isinstance(data, str):
        return plain(data)
    if isinstance(data, dict):
        return {plain(key): plain_tree(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [plain_tree(item) for item in data]
    return data
