"""Verbs on several images: each in a process of its own, all told in the order of the arguments."""

import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, TextIO, TypeVar

import click

from fuki_build.cli.options import Documents, prints
from fuki_build.cli.render.json import DocumentPrinter, LinePrinter, PrettyPrinter
from fuki_build.cli.render.plain import complain, plain
from fuki_build.cli.render.table import Terminal, keep, terminal
from fuki_build.errors import FukiError
from fuki_build.formats.documents import Document, View
from fuki_build.hardware.chid import stub_chids
from fuki_build.hardware.machine import Machine
from fuki_build.programs.cores import cores
from fuki_build.programs.workers import WorkResult, run_in_copies

_START = 64 * 1024
F = TypeVar("F", bound=Callable[..., Any])
Work = Callable[[Path, DocumentPrinter], int | None]
"""What a verb does with one image; its exit code, where that is not 0."""

images_argument = click.argument("images", metavar="IMAGE...", type=click.Path(path_type=Path), nargs=-1, required=True)


class ErrorView(View, frozen=True):
    """What ended the work on an image, and what to do about it."""

    message: str
    where: str | None
    hint: str | None


class ImageLine(Document, frozen=True):
    """A line of JSON for each of several images: `image` as it was named, and the document that one image gives.

    `document` is null where there was an error before it. An image that is judged and found wrong has both.
    """

    image: str
    document: dict[str, Any] | None
    exit_code: int
    error: ErrorView | None


cache_option = click.option(
    "--cache",
    is_flag=True,
    help="Keep digests for next runs, and take those of images that have not changed since.",
)


def documents_of_each(document: Documents) -> Documents:
    """What a verb prints for one image, or for each of several."""

    def both() -> tuple[type[Document], ...]:
        documents = document()
        return (*(documents if isinstance(documents, tuple) else (documents,)), ImageLine)

    return both


def json_lines_option(document: Documents) -> Callable[[F], F]:
    """The option `--json` of a verb that takes several images."""
    option = click.option("--json", "as_json", is_flag=True, help="Print JSON; of several images, a line for each.")
    return lambda function: option(prints(documents_of_each(document))(function))


def each_image(
    images: Sequence[Path],
    work: Work,
    *,
    as_json: bool,
    machines: Iterable[Machine] = (),
    modules: Sequence[str] = (),
    headings: bool = True,
) -> int:
    """Do a verb's work on one image here, or on each of several in processes; the worst exit code.

    Raises what `work` raises for one image. Of several, errors are told, and the others are finished. The hardware ids
    of `machines`, and `modules` that are imported when they are used, are there before the processes part. Without
    `headings`, what the images give on standard output is passed on as if it was of one.
    """
    if len(images) == 1:
        return work(images[0], PrettyPrinter()) or 0
    for machine in machines:
        stub_chids(machine)
    for name in modules:
        import_module(name)

    worst = 0
    results = run_in_copies([partial(_told, work, image, terminal(), as_json=as_json) for image in images], cores())
    for image, result in zip(images, results, strict=True):
        worst = max(worst, _show(image, result, as_json=as_json, headings=headings and not as_json))
    return worst


def _told(work: Work, image: Path, shown_on: Terminal, *, as_json: bool) -> int:
    """One image's work in a copy of the process, with its error told as the command line does, and in JSON."""
    from fuki_build.cli.main import explain  # noqa: PLC0415 - it is what imports the verbs

    keep(shown_on)
    printer = LinePrinter(str(image)) if as_json else PrettyPrinter()
    error: ErrorView | None = None
    try:
        code = work(image, printer) or 0
    except Exception as raised:  # noqa: BLE001 - as at the end of the command line: other images are not to suffer
        code = explain(raised)
        error = _view(raised)
    if isinstance(printer, LinePrinter):
        printer.finish(code, error)
    return code


def _view(error: Exception) -> ErrorView:
    if isinstance(error, FukiError):
        return ErrorView(error.message, error.where, error.hint)
    if isinstance(error, OSError):
        return ErrorView(error.strerror or repr(error), str(error.filename) if error.filename else None, None)
    return ErrorView(repr(error), None, None)


def _show(image: Path, result: WorkResult, *, as_json: bool, headings: bool) -> int:
    """Pass on what one image's process wrote, under the image's name; its exit code."""
    with result.out, result.err:
        if result.code is None:
            message = "its process was ended"
            complain(f"fuki: error: {image}: {message}")
            if as_json:
                LinePrinter(str(image)).finish(1, ErrorView(message, str(image), None))
            return 1

        _pass_on(result.out, sys.stdout, image if headings else None)
        _pass_on(result.err, sys.stderr, image)
        return result.code


def _pass_on(file: BinaryIO, stream: TextIO, heading: Path | None) -> None:
    start = file.read(_START)
    if not start:
        return
    # An error that is about the image says so itself.
    if heading is not None and not start.startswith(f"fuki: error: {plain(str(heading))}: ".encode(errors="replace")):
        click.echo(plain(f"{heading}:"), file=stream)
    stream.flush()
    stream.buffer.write(start)
    shutil.copyfileobj(file, stream.buffer)
    stream.flush()
