"""JSON on standard output."""

import click

from fuki_build.formats.documents import Document, encode_json


def print_document(document: Document) -> None:
    click.echo(encode_json(document), nl=False)
