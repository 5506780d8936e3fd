"""From evidence to an answer: reports, quotes and logs of confidential guests and TPMs, read and verified."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fuki_build.hooks import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def fuki_commands() -> "Sequence[click.Command]":
    from fuki_attest.command import attest  # noqa: PLC0415 - only where verbs are asked for

    return [attest]
