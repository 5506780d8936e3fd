"""Event logs judged as Keylime's example policy does: each but programs and firmware, which it judges together."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fuki_build.formats.tcg import event_log
from fuki_build.formats.uefi import efi_signature_list
from fuki_build.testing import invoke
from tests.formats.test_event_log import LOGS

SCRIPT = Path(__file__).parent / "keylime_events.py"
TOLERATE = 'tolerate = ["boot-variables", "configuration", "tables"]\n'
KEYS = ("pk", "kek", "db", "dbx")
FILES = {"pk": "PK.esl", "kek": "KEK.esl", "db": "db.esl", "dbx": "dbx.esl"}
# Keylime takes every authority, and looks at these only when it has seen all events.
TOGETHER = {
    (0, "EV_S_CRTM_VERSION"),
    (0, "EV_EFI_PLATFORM_FIRMWARE_BLOB"),
    (4, "EV_EFI_BOOT_SERVICES_APPLICATION"),
    (7, "EV_EFI_VARIABLE_AUTHORITY"),
}


def signatures(path: Path) -> list[dict[str, str]]:
    return [
        {"SignatureOwner": str(signature.owner), "SignatureData": f"0x{signature.data.hex()}"}
        for entries in efi_signature_list.decode(path.read_bytes())
        for signature in entries.signatures
    ]


def by_keylime(directory: Path, log: Path, state: str, files: dict[str, str]) -> list[bool]:
    reference: dict[str, Any] = {name: signatures(directory / file) for name, file in files.items()}
    reference |= {name: [] for name in (*KEYS, "mokdig", "mokxdig", "vendor_db") if name not in reference}
    reference |= {"has_secureboot": state == "on", "scrtm_and_bios": [], "kernels": []}
    (directory / "reference.json").write_text(json.dumps(reference))

    command: list[str | Path] = [sys.executable, SCRIPT, log, directory / "reference.json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=directory)
    return json.loads(done.stdout.splitlines()[-1])


def by_fuki(directory: Path, log: Path, state: str, files: dict[str, str]) -> list[bool]:
    rows = "".join(f'{name} = ["{file}"]\n' for name, file in files.items())
    (directory / "policy.toml").write_text(f'{TOLERATE}[secure-boot]\nstate = "{state}"\n{rows}')
    outcome = invoke(directory, "replay", log, "--policy", "policy.toml", "--json")
    return [event["ruling"] != "refused" for event in json.loads(outcome.out)["policy"]["events"]]


@pytest.mark.parametrize(
    ("name", "state", "files", "refused"),
    [
        ("secure-boot-on", "on", FILES, ()),
        ("secure-boot-on", "off", FILES, ("SecureBoot",)),
        ("secure-boot-on", "on", FILES | {"db": "KEK.esl"}, ("db",)),
        ("secure-boot-on", "on", FILES | {"pk": "db.esl", "kek": "PK.esl"}, ("PK", "KEK")),
        ("secure-boot-on", "on", FILES | {"dbx": "more.esl"}, ("dbx",)),
        ("secure-boot-off", "off", {}, ()),
    ],
)
def test_each_event_is_judged_as_by_keylime(
    tmp_path: Path, name: str, state: str, files: dict[str, str], refused: tuple[str, ...]
):
    for file in LOGS.glob("*.esl"):
        shutil.copy(file, tmp_path)
    (tmp_path / "more.esl").write_bytes((LOGS / "dbx.esl").read_bytes() + one_more())
    path = LOGS / f"{name}.log"

    theirs, own = (judge(tmp_path, path, state, files) for judge in (by_keylime, by_fuki))
    events = event_log.decode(path.read_bytes()).events
    assert len(theirs) == len(own) == len(events)
    compared = [at for at, event in enumerate(events) if (event.register, event.type_name) not in TOGETHER]
    assert [own[at] for at in compared] == [theirs[at] for at in compared]

    variables = ("SecureBoot", "PK", "KEK", "db", "dbx")
    numbers = [at for at, event in enumerate(events) if event.type_name == "EV_EFI_VARIABLE_DRIVER_CONFIG"]
    assert tuple(name for at, name in zip(numbers, variables, strict=True) if not theirs[at]) == refused


def one_more() -> bytes:
    """A list of a digest that no log has."""
    (entries,) = efi_signature_list.decode((LOGS / "dbx.esl").read_bytes())
    digest = efi_signature_list.SignatureType.SHA256
    return efi_signature_list.encode([efi_signature_list.hash_list(digest, [bytes(32)], entries.signatures[0].owner)])
