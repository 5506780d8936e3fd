"""Whole processes, measured in turns: wall and CPU time, and the largest memory of one of them."""

import os
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Usage(NamedTuple):
    """Wall and CPU time in seconds, peak resident memory of the largest process in MiB."""

    wall: float
    cpu: float
    memory: float


def keep_compiled(directory: Path) -> None:
    """Let commands find compiled modules, as after an installation, and what fuki remembers, in this directory."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(directory / "python")
    os.environ["XDG_CACHE_HOME"] = str(directory / "cache")


def measure(*commands: Sequence[str], cwd: Path, codes: Collection[int] = (0,)) -> Usage:
    """Run commands one after the other, which end with one of `codes`; sums of times, maximum of memory."""
    wall = cpu = memory = 0.0
    for command in commands:
        # A file takes any number of messages; a pipe that nobody reads would stop the command when it is full.
        with tempfile.TemporaryFile() as messages:
            start = os.times().elapsed
            process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=messages)
            _, status, usage = os.wait4(process.pid, 0)
            wall += os.times().elapsed - start
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode not in codes:
                messages.seek(0)
                raise SystemExit(f"{command[0]} failed: {messages.read().decode(errors='replace')}")
        cpu += usage.ru_utime + usage.ru_stime
        memory = max(memory, usage.ru_maxrss / 1024)
    return Usage(wall, cpu, memory)


def contest(runners: Mapping[str, Callable[[], Usage]], outputs: Sequence[Path], rounds: int) -> dict[str, list[Usage]]:
    """Run all in turns, without `outputs` of before, after one round that warms the page cache and is not counted."""
    contestants: dict[str, list[Usage]] = {name: [] for name in runners}
    for number in range(rounds + 1):
        for name, runner in runners.items():
            for output in outputs:
                output.unlink(missing_ok=True)
            usage = runner()
            if number:
                contestants[name].append(usage)
    return contestants


def ratio(contestants: dict[str, list[Usage]], above: str, below: str, field: str) -> float:
    pairs = zip(contestants[above], contestants[below], strict=True)
    return float(statistics.median(getattr(a, field) / getattr(b, field) for a, b in pairs))


def median(usages: Sequence[Usage], field: str) -> float:
    return float(statistics.median(getattr(usage, field) for usage in usages))
