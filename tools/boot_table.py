"""Run the boot scenarios, and write what guests measured into the documentation.

python tools/boot_table.py docs/boot-results.md
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = "FUKI_BOOT_RESULTS"
PCRS = (4, 7, 9, 11, 12)
_BANK = "sha256"
_DIGITS = 12

_HEAD = """\
# What booted guests measured

Written by `make boot-table`: each line is a guest of the boot test suite, [tests/boot](../tests/boot). A cell
has the first digits of a register in the bank SHA-256, once where what was measured is what was predicted, and
both where it is not; all banks are compared. Without a real kernel, a small EFI program stands in for it and
measures as Linux does; with one, an addon brings the probe, which is in registers 4, 9 and 12. What was refused
has nothing to compare.

"""


def run(results: Path) -> None:
    """Run the scenarios one after the other. Raises `CalledProcessError` where one fails."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/boot"]
    subprocess.run(command, env={**os.environ, RESULTS: str(results)}, check=True)


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """The table in Markdown."""
    lines = ["| scenario | " + " | ".join(f"PCR {pcr}" for pcr in PCRS) + " | seconds |", "|---|" + "---|" * 6]
    for result in results:
        rows = {row["what"]: row for row in result["compared"] if row["bank"] == _BANK}
        cells = [_cell(rows.get(f"PCR {pcr}")) for pcr in PCRS]
        lines.append(f"| {result['scenario']} | {' | '.join(cells)} | {result['seconds']} |")
    return "\n".join(lines) + "\n"


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "-"
    measured, predicted = (str(row[key] or "unknown")[:_DIGITS] for key in ("measured", "predicted"))
    return f"`{measured}`" if row["verdict"] == "equal" else f"predicted `{predicted}`, measured `{measured}`"


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as directory:
        results = Path(directory) / "results"
        run(results)
        found = [json.loads(line) for line in results.read_text().splitlines()]
    qemu = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True).stdout
    where = f"{qemu.splitlines()[0]} without KVM, {os.cpu_count()} cores ({platform.machine()})."
    Path(arguments[0]).write_text(f"{_HEAD}{where}\n\n{table(found)}")
    print(f"wrote {arguments[0]}: {len(found)} scenarios")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
