"""JSON on standard output."""

from collections.abc import Iterable, Iterator
from typing import Protocol

import click

from fuki_build.formats.documents import Document, View, encode_json, encode_json_rows


def print_document(document: Document) -> None:
    click.echo(encode_json(document), nl=False)


class DocumentPrinter(Protocol):
    """Where a verb puts the one document of an image."""

    def print(self, document: Document) -> None:
        """Print a whole document."""

    def print_rows(self, document: Document, rows: Iterable[View]) -> None:
        """Print a document with `rows` in its only list, which is empty in `document`, one row after the other."""


class PrettyPrinter:
    """Indented documents, as one image gives."""

    def print(self, document: Document) -> None:
        print_document(document)

    def print_rows(self, document: Document, rows: Iterable[View]) -> None:
        _print_pieces(encode_json_rows(document, rows))


class LinePrinter:
    """One line for one of several images: its document in the midst of what `finish` completes."""

    def __init__(self, image: str) -> None:
        head = encode_json({"version": 1, "image": image}, one_line=True)
        click.echo(head.rstrip(b"}\n") + b',"document":', nl=False)
        self._empty = True

    def print(self, document: Document) -> None:
        self._empty = False
        _print_pieces([encode_json(document, one_line=True)[:-1]])

    def print_rows(self, document: Document, rows: Iterable[View]) -> None:
        self._empty = False
        _print_pieces(piece.rstrip(b"\n") for piece in encode_json_rows(document, rows, one_line=True))

    def finish(self, code: int, error: View | None) -> None:
        """End the line, with an exit code and what went wrong."""
        tail = encode_json({"exit-code": code, "error": error}, one_line=True)
        click.echo((b"null," if self._empty else b",") + tail[1:], nl=False)


def _print_pieces(pieces: Iterable[bytes]) -> None:
    # A write for each row of thousands would be a call of the system each.
    for batch in _batches(pieces):
        click.echo(batch, nl=False)


def _batches(pieces: Iterable[bytes], size: int = 256 * 1024) -> Iterator[bytes]:
    batch, total = [], 0
    for piece in pieces:
        batch.append(piece)
        total += len(piece)
        if total >= size:
            yield b"".join(batch)
            batch, total = [], 0
    if batch:
        yield b"".join(batch)
