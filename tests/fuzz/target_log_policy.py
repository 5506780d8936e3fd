"""Policies over event logs that anyone may have written, and real logs judged by them."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fuki_build.cli.replay_policy import judge_by
from fuki_build.errors import FukiError, RecipeError
from fuki_build.formats.tcg import event_log
from fuki_build.recipe.log_policy_file import decode_policy, read_policy_file

from .helper import workspace

_FILE = workspace() / "log-policy.toml"
_LOGS = Path(__file__).parents[1] / "data" / "event-logs"
_LOG = event_log.decode((_LOGS / "secure-boot-on.log").read_bytes())

_FULL = b"""\
bank = "sha256"
tolerate = ["boot-variables", "tables"]
[firmware]
versions = ["2026.08+ds-2", "7f5dbe14-cfc8-595a-95fd-0fda870d7b52"]
digests = ["sha256:0000000000000000000000000000000000000000000000000000000000000000"]
[programs]
options = ["quiet"]
smbios-options = ["debug"]
[secure-boot]
state = "on"
db = []
dbx = []
[[events]]
register = 9
digest = "sha1:0000000000000000000000000000000000000000"
what = "something"
"""


def seeds() -> Iterator[bytes]:
    yield _FULL
    yield b""


def run(data: bytes) -> None:
    with suppress(RecipeError):
        file = decode_policy(data, "policy")
        # What else it names are files, which have targets of their own.
        variables = (file.secure_boot.pk, file.secure_boot.kek, file.secure_boot.db, file.secure_boot.dbx)
        named = (file.firmware.files, file.programs.images, file.programs.addons, file.programs.loaders, *variables)
        if any(named) or file.secure_boot.dbt or file.secure_boot.dbr or file.secure_boot.authorities:
            return
        _FILE.write_bytes(data)
        with suppress(FukiError):
            judge_by(_LOG, read_policy_file(_FILE, _LOG), "policy")
