"""What `fuki verify` reports, and the lists of signatures that it is given."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

from fuki_build.formats.uefi import efi_signature_list
from fuki_build.formats.uefi.efi_signature_list import SignatureList
from fuki_build.testing import invoke

OWNER = UUID("f5a96b31-dba0-4faa-a42a-7a0c9832768e")


def report(directory: Path, *arguments: object, code: int = 0) -> dict[str, Any]:
    outcome = invoke(directory, "verify", *arguments, "--json")
    assert outcome.code == code, outcome.err
    document: dict[str, Any] = json.loads(outcome.out)
    return document


def write_list(path: Path, *lists: SignatureList) -> Path:
    path.write_bytes(efi_signature_list.encode(lists))
    return path
