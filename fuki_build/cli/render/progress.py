"""A progress bar on a terminal, nothing elsewhere."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from fuki_build.cli.render import colour, talk
from fuki_build.cli.render.talk import Talk
from fuki_build.image.assemble import Progress

_WORTH_SHOWING = 64 * 1024 * 1024
"""Bytes that take long enough for a bar; loading it takes longer than writing less."""


@contextmanager
def progress_bar(total: int) -> Iterator[Progress | None]:
    """A function to call with the number of bytes just done; None where nobody would see a bar."""
    if (
        total < _WORTH_SHOWING
        or talk.level is Talk.QUIET
        or not sys.stderr.isatty()
        or os.environ.get("TERM") == "dumb"
    ):
        yield None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, DownloadColumn, TransferSpeedColumn  # noqa: PLC0415
    from rich.progress import Progress as Bar  # noqa: PLC0415

    with Bar(
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        console=Console(stderr=True, color_system="auto" if colour.wanted(sys.stderr) else None),
        transient=True,
    ) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.update(task, advance=done)
