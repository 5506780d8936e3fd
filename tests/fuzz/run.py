"""Fuzz every parser for a while; fails, and keeps the input, when one crashes, hangs or takes too much memory.

python tests/fuzz/run.py [--seconds N] [TARGET…]
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TESTS = Path(__file__).parents[1]
SIGNING = TESTS.parent / "plugins/fuki-sbsign/tests/support"
ATTESTING = TESTS.parent / "plugins/fuki-attest/tests/support"
SEARCH = [str(path) for path in (TESTS, TESTS.parent / "tools", SIGNING, ATTESTING, TESTS.parent)]
sys.path[:0] = SEARCH

from fuzz.helper import NAMES, load  # noqa: E402 - found only now

MAX_SECONDS = 5
MAX_MEMORY_MB = 768
MAX_INPUT = 64 * 1024


MEMORY = Path("/dev/shm")  # noqa: S108 - only private directories are made there


def fuzz(name: str, seconds: int, directory: Path) -> tuple[bool, str]:
    """Whether a target survived, and what to say of it."""
    # libFuzzer ends the process at once, so that nothing in it can tidy up.
    with tempfile.TemporaryDirectory(prefix="fuki-fuzz-", dir=MEMORY if MEMORY.is_dir() else None) as scratch:
        return _fuzz(name, seconds, directory, scratch)


def _fuzz(name: str, seconds: int, directory: Path, scratch: str) -> tuple[bool, str]:
    corpus = directory / "corpus" / name
    corpus.mkdir(parents=True)

    for number, seed in enumerate(load(name).seeds()):
        (corpus / f"seed{number}").write_bytes(seed)

    command = [sys.executable, "-m", "fuzz.engine", name, f"-max_total_time={seconds}", f"-timeout={MAX_SECONDS}"]
    command += [f"-rss_limit_mb={MAX_MEMORY_MB}", f"-max_len={MAX_INPUT}", f"-artifact_prefix={directory}/{name}-"]
    command += ["-print_final_stats=1", str(corpus)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(SEARCH), "TMPDIR": scratch}

    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        return False, f"{name}: failed, the input is in {directory}\n{(done.stdout + done.stderr)[-4000:]}"

    counts = dict(re.findall(r"stat::(\w+): +(\d+)", done.stderr))
    return True, f"{name}: {counts['number_of_executed_units']} inputs, {counts['peak_rss_mb']} MB"


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz every parser for a while.")
    parser.add_argument("--seconds", type=int, default=20, help="for each target")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(NAMES))
    chosen = parser.parse_args()

    unknown = set(chosen.targets) - set(NAMES)
    if unknown:
        parser.error(f"there is no target {min(unknown)}")

    directory = Path(tempfile.mkdtemp(prefix="fuki-fuzz-"))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda name: fuzz(name, chosen.seconds, directory), chosen.targets or NAMES)
        survived = []
        for good, text in results:
            survived.append(good)
            print(text, flush=True)  # noqa: T201 - a command line tool

    if not all(survived):
        return 1

    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
