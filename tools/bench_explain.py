"""How many launches a second a search for a digest goes through, beside calling sev-snp-measure for each.

python tools/bench_explain.py
"""

import statistics
import time
from collections.abc import Callable

import parts
from fuki_coco.snp import SevSnp
from fuki_coco.snp_pages import image_pages
from sevsnpmeasure import guest
from sevsnpmeasure.sev_mode import SevMode
from sevsnpmeasure.vcpu_types import CPU_SIGS

from fuki_build.hooks import LaunchParameters

VCPUS = tuple(range(1, 513))
SAMPLE = tuple(range(1, 513, 16))
NOBODYS = b"\xab" * 48
"""A digest that no launch has: everything is tried, and every change."""


def explain_table(rounds: int) -> list[str]:
    """Launches a second of one core, on OVMF with 4 MiB; of the peer over some numbers of vCPUs."""
    path = parts.get("ovmf-generic")
    firmware, model = path.read_bytes(), SevSnp()
    parameters = LaunchParameters(vmms=model.vmms, vcpus=VCPUS, guest_features=model.usual_features)
    tried = 0

    def ours() -> None:
        nonlocal tried
        image_pages.cache_clear()
        search = model.search(firmware, parameters, NOBODYS)
        tried = 0 if search is None else search.tried + search.changed

    def theirs() -> None:
        for count in SAMPLE:
            guest.calc_launch_digest(SevMode.SEV_SNP, count, CPU_SIGS["EPYC-Milan"], str(path), "", "", "", 1)

    own, peer = (statistics.median(_seconds(run) for _ in range(rounds)) for run in (ours, theirs))
    speeds = (tried / own, len(SAMPLE) / peer)
    return [
        "| search for a launch digest | launches | s | launches/s | of sev-snp-measure |",
        "|---|---|---|---|---|",
        f"| fuki launch --expect, as a library | {tried} | {own:.2f} | {speeds[0]:.0f} | {speeds[0] / speeds[1]:.0f} |",
        f"| sev-snp-measure for each, as a library | {len(SAMPLE)} | {peer:.2f} | {speeds[1]:.0f} | 1 |",
    ]


def _seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


if __name__ == "__main__":
    print("\n".join(explain_table(3)))
