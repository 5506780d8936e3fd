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

_STARTS_HEAD = """\
## On a host that takes firmware

Each line is one start of a guest on a [model of vm-launch-update](how-to/hand-over.md). The registers of a start that
ends in a reset are those of the TPM when the reset came; no stub has run then. Seconds are those of a machine that has
other things to do, too.

"""


def run(results: Path) -> None:
    """Run the modules that have scenarios one after the other. Raises `CalledProcessError` where one fails."""
    modules = [path for path in sorted(Path("tests/boot").glob("test_*.py")) if "scenario=" in path.read_text()]
    command = [sys.executable, "-m", "pytest", "-q", *map(str, modules)]
    subprocess.run(command, env={**os.environ, RESULTS: str(results)}, check=True)


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """The table in Markdown."""
    lines = ["| scenario | " + " | ".join(f"PCR {pcr}" for pcr in PCRS) + " | seconds |", "|---|" + "---|" * 6]
    lines += [_line(result["scenario"], result) for result in results]
    return "\n".join(lines) + "\n"


def start_table(results: Sequence[Mapping[str, Any]]) -> str:
    """The starts of guests on a host that takes firmware, a line each, in Markdown."""
    lines = ["| scenario | firmware | " + " | ".join(f"PCR {pcr}" for pcr in PCRS) + " | seconds |"]
    lines.append("|---|---|" + "---|" * (len(PCRS) + 1))
    for result in results:
        for number, start in enumerate(result["starts"], 1):
            is_last = number == len(result["starts"])
            compared = result["compared"] if is_last else start["compared"]
            label = f"{result['scenario']}, start {number} | {start['firmware'] or '-'}"
            lines.append(_line(label, {"compared": compared, "seconds": start["seconds"]}))
    return "\n".join(lines) + "\n"


def _line(label: str, measured: Mapping[str, Any]) -> str:
    rows = {row["what"]: row for row in measured["compared"] if row["bank"] == _BANK}
    cells = [_cell(rows.get(f"PCR {pcr}")) for pcr in PCRS]
    return f"| {label} | {' | '.join(cells)} | {measured['seconds']} |"


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
    once = [result for result in found if not result["starts"]]
    handed_over = [result for result in found if result["starts"]]
    text = f"{_HEAD}{where}\n\n{table(once)}\n{_STARTS_HEAD}{start_table(handed_over)}"
    Path(arguments[0]).write_text(text)
    print(f"wrote {arguments[0]}: {len(found)} scenarios")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
