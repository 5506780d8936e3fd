"""The verb `fuki attest`: evidence of confidential guests and TPMs, told in words and verified."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from fuki_build import json_option
from fuki_build.hooks import encode_json

if TYPE_CHECKING:
    from fuki_attest.show import EvidenceDocument

_path = click.Path(path_type=Path)
_files = click.argument("files", metavar="FILE…", nargs=-1, required=True, type=_path)


def _evidence_document() -> "type[EvidenceDocument]":
    from fuki_attest.show import EvidenceDocument  # noqa: PLC0415 - as below

    return EvidenceDocument


# cryptography is slow to load, and needed only where evidence is read.
@click.group()
def attest() -> None:
    """Read and verify evidence: reports, quotes, certificates, event logs, collateral."""


@attest.command()
@_files
@json_option(_evidence_document)
def show(files: tuple[Path, ...], as_json: bool) -> None:
    """Tell each field of the evidence in FILEs in words; nothing is verified.

    FILEs are recognised by their content, in any order: reports of SEV-SNP with or without certificates, quotes and
    reports of TDX, TPM quotes and signatures, HCL reports, evidence of Trustee's agents, event logs, certificates,
    revocation lists, and Intel's collateral.
    """
    from fuki_attest import evidence, show  # noqa: PLC0415

    document = show.document(evidence.read(files))
    if as_json:
        click.echo(encode_json(document), nl=False)
    else:
        show.print_evidence(document)
