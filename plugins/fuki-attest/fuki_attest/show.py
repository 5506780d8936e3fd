"""Evidence as a document, and as lines of text."""

import click
from fuki_build.errors import located
from fuki_build.hooks import Document, View

from fuki_attest.pieces import Evidence
from fuki_attest.words.fields import FieldView
from fuki_attest.words.others import fields


class PieceView(View, frozen=True):
    """A piece of evidence; `origin` says where in the file it was, empty where the file is nothing else."""

    file: str
    kind: str
    origin: str
    fields: tuple[FieldView, ...]


class EvidenceDocument(Document, frozen=True):
    """What `fuki attest show --json` prints: all pieces of evidence with their fields, in the order of the files."""

    evidence: tuple[PieceView, ...]


def document(evidence: Evidence) -> EvidenceDocument:
    """The document of all pieces. Raises `FormatError` with the file for a damaged one."""
    pieces = []
    for item in evidence.items:
        with located(item.file):
            pieces.append(PieceView(item.file, item.kind.value, item.origin, fields(item)))
    return EvidenceDocument(tuple(pieces))


def print_evidence(shown: EvidenceDocument) -> None:
    """A paragraph for each piece, a line for each field."""
    for number, piece in enumerate(shown.evidence):
        if number:
            click.echo()
        origin = f", {piece.origin}" if piece.origin else ""
        say(f"{piece.file}: {piece.kind}{origin}")
        width = max((len(field.name) for field in piece.fields), default=0)
        for field in piece.fields:
            meaning = f" ({field.meaning})" if field.meaning else ""
            say(f"  {field.name:{width}}  {field.value}{meaning}")


def say(text: str) -> None:
    """One line on standard output; evidence may hold control characters."""
    click.echo("".join(c if c.isprintable() else "�" for c in text))
