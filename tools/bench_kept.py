"""What many images take with `--cache`: for the first time, when nothing is kept, and once more.

python tools/bench_kept.py [--images 20] [--size 50] [--rounds 3]
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import parts
from bench_inputs import fuki_command, prepare
from bench_process import Usage, keep_compiled, measure, median

IMAGES, MEGABYTES = 20, 50
_VERBS = {
    "digests": ("digests",),
    "measure": ("measure",),
    "measure, four banks": ("measure", "--bank", "all"),
}
_SETTLING = 5
"""Seconds after which what was written is kept."""


def kept_table(rounds: int, directory: Path, count: int = IMAGES, megabytes: int = MEGABYTES) -> list[str]:
    """Rows for each verb: without the option, with an empty cache, with a full one."""
    place = directory / "kept"
    place.mkdir()
    prepare(place, megabytes)
    images = [f"image-{number}.efi" for number in range(count)]
    measure(fuki_command("build", "-o", images[0]), cwd=place)
    for name in images[1:]:
        shutil.copyfile(place / images[0], place / name)
    # What has not reached the disk would have to, before its digests are kept.
    os.sync()
    time.sleep(_SETTLING)

    lines = [f"| {count} images with an initrd of {megabytes} MB | | wall s | CPU s |", "|---|---|---|---|"]
    for verb, arguments in _VERBS.items():
        for name, usages in _usages(arguments, images, place, rounds).items():
            values = " | ".join(f"{median(usages, field):.2f}" for field in ("wall", "cpu"))
            lines.append(f"| fuki {verb} | {name} | {values} |")
    shutil.rmtree(place)
    return lines


def _usages(arguments: Sequence[str], images: Sequence[str], place: Path, rounds: int) -> dict[str, list[Usage]]:
    """The three in turns, the first round not counted."""
    kept = Path(os.environ["XDG_CACHE_HOME"], "fuki", "digests")
    usages: dict[str, list[Usage]] = {"without": [], "--cache, empty": [], "--cache, full": []}
    for number in range(rounds + 1):
        shutil.rmtree(kept, ignore_errors=True)
        for name, of_name in usages.items():
            option = () if name == "without" else ("--cache",)
            usage = measure(fuki_command(*arguments, *option, *images), cwd=place)
            if number:
                of_name.append(usage)
    return usages


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what is kept of many images.")
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--size", type=int, default=MEGABYTES, help="of the initrd, in MB")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    work = parts.CHECKOUT / "build"
    work.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work, prefix="bench-") as directory:
        keep_compiled(Path(directory) / "compiled")
        print("\n".join(kept_table(chosen.rounds, Path(directory), chosen.images, chosen.size)))


if __name__ == "__main__":
    main()
