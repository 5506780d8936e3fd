"""Boots images in QEMU: the verb `boot`.

`PROBE` is an EFI program for `linux = …` that tells what was measured and ends the machine: with it, an image boots
in seconds.
"""

from collections.abc import Sequence

import click
from fuki_build.hooks import hookimpl

from fuki_qemu.command import boot
from fuki_qemu.programs import KERNEL as PROBE

__all__ = ["PROBE", "fuki_commands"]


@hookimpl
def fuki_commands() -> Sequence[click.Command]:
    return [boot]
