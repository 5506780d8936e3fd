"""Time SEV-SNP digests against sev-snp-measure in the same run: 1 to 64 vCPUs, four CPU models, three builds of OVMF.

python plugins/fuki-coco/tools/bench.py [--rounds N]
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "tools"))

import parts
from fuki_build.hooks import LaunchParameters
from sevsnpmeasure import guest
from sevsnpmeasure.sev_mode import SevMode
from sevsnpmeasure.vcpu_types import CPU_SIGS

from fuki_coco.snp import SevSnp
from fuki_coco.snp_pages import image_pages

BUILDS = ("ovmf-generic", "ovmf-amdsev", "ovmf-2025")
MODELS = ("EPYC", "EPYC-Rome", "EPYC-Milan", "EPYC-Genoa")
COUNTS = tuple(range(1, 65))


def ours() -> list[str]:
    image_pages.cache_clear()
    parameters = LaunchParameters(vcpus=COUNTS, cpu_models=MODELS)
    predictions = [SevSnp().predict(parts.get(build).read_bytes(), parameters) for build in BUILDS]
    return [digest.digest for prediction in predictions if prediction for digest in prediction.digests]


def theirs() -> list[str]:
    return [
        guest.calc_launch_digest(SevMode.SEV_SNP, count, CPU_SIGS[model], str(parts.get(build)), "", "", "", 1).hex()
        for build, model, count in product(BUILDS, MODELS, COUNTS)
    ]


def command() -> None:
    """The whole process, with the start of Python and of fuki, and the table as JSON."""
    arguments = ["--vcpus", ",".join(map(str, COUNTS)), "--vcpu-model", ",".join(MODELS), "--technology", "sev-snp"]
    files = [str(parts.get(build)) for build in BUILDS]
    fuki = [sys.executable, "-m", "fuki_build", "--plugin", "coco", "launch", *files, *arguments, "--json"]
    subprocess.run(fuki, check=True, stdout=subprocess.DEVNULL)


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description="Time SEV-SNP digests against sev-snp-measure.")
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds

    equal = ours() == theirs()
    timings = {run: [seconds(run) for _ in range(rounds)] for run in (ours, command, theirs)}
    medians = {run: statistics.median(times) for run, times in timings.items()}

    print("| digests | seconds | sev-snp-measure, times as long |")
    print("|---|---|---|")
    for name, run in (("fuki, as a library", ours), ("fuki launch, the process", command)):
        print(f"| {name} | {medians[run]:.3f} | {medians[theirs] / medians[run]:.0f} |")
    print(f"| sev-snp-measure, as a library | {medians[theirs]:.2f} | 1 |")
    print(f"\n{len(BUILDS) * len(MODELS) * len(COUNTS)} digests, {'all equal' if equal else 'NOT EQUAL'}")

    sys.exit(not equal)


if __name__ == "__main__":
    main()
