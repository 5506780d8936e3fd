"""What each verb takes on a large image, `fuki ukify` against ukify, and how fast this machine hashes."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median as middle
from threading import Thread

import parts
from bench_inputs import fuki_command, prepare, ukify_command, ukify_options
from bench_process import contest, measure, median, ratio

_HASHED = 64 * 1024 * 1024
_ALGORITHMS = ("sha1", "sha256", "sha384", "sha512")
_LOG = str(parts.CHECKOUT / "tests/data/event-logs/disk-262.log")
"""Of a machine that booted another image."""


def hashing_table() -> list[str]:
    """Bytes that this machine hashes in a second, in one thread and in one for each core at a time."""
    cores = len(os.sched_getaffinity(0))
    lines = [f"| algorithm | MB/s in one thread | MB/s in {cores} threads |", "|---|---|---|"]
    for algorithm in _ALGORITHMS:
        one, all_ = (hashing_speed(algorithm, threads) / 1e6 for threads in (1, cores))
        lines.append(f"| {algorithm} | {one:.0f} | {all_:.0f} |")
    return lines


def hashing_speed(algorithm: str, threads: int) -> float:
    """Bytes in a second, of all threads together; the median of several runs."""
    data = bytes(1024 * 1024)

    def run() -> None:
        state = hashlib.new(algorithm)
        for _ in range(_HASHED // len(data)):
            state.update(data)

    speeds = []
    for _ in range(5):
        start = time.perf_counter()
        running = [Thread(target=run) for _ in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        speeds.append(threads * _HASHED / (time.perf_counter() - start))
    return middle(speeds)


def ukify_table(sizes: Sequence[int], rounds: int, directory: Path) -> list[str]:
    """`fuki ukify build` against ukify, with the same command line and three firmware images."""
    lines = ["| initrd | | wall s | CPU s | peak MiB | ukify/fuki wall | ukify/fuki CPU |", "|---" * 7 + "|"]
    for size in sizes:
        place = directory / f"ukify-{size}"
        place.mkdir()
        prepare(place, size)
        commands = {
            "fuki ukify": fuki_command("ukify", *ukify_options(), "--output=fuki.efi"),
            "ukify": ukify_command(),
        }
        runners = {name: partial(measure, command, cwd=place) for name, command in commands.items()}
        contestants = contest(runners, [place / "fuki.efi", place / "ukify.efi"], rounds)
        for name, usages in contestants.items():
            values = [f"{median(usages, field):.2f}" for field in ("wall", "cpu")]
            ratios = [f"{ratio(contestants, 'ukify', 'fuki ukify', field):.1f}" for field in ("wall", "cpu")]
            own = name == "fuki ukify"
            row = [f"{size} MB" if own else "", name, *values, f"{median(usages, 'memory'):.0f}"]
            lines.append(f"| {' | '.join(row + (ratios if own else ['', '']))} |")
        shutil.rmtree(place)
    return lines


_VERBS = {
    "plan": ("plan",),
    "check, a recipe": ("check", "fuki.toml"),
    "check, an image": ("check", "image.efi"),
    "build": ("build", "-o", "out.efi"),
    "build --json": ("build", "--json", "-o", "out.efi"),
    "inputs": ("inputs",),
    "edit": ("edit", "image.efi", "--set", ".cmdline=quiet", "-o", "out.efi"),
    "export ninja": ("export", "ninja", "-o", "build.ninja"),
    "inspect": ("inspect", "image.efi"),
    "inspect --digests": ("inspect", "--digests", "image.efi"),
    "hwids decode": ("hwids", "decode", "image.efi"),
    "firmware show": ("firmware", "show", "ovmf-generic/OVMF.fd"),
    "match": ("match", "image.efi", "--platform", "qemu:q35"),
    "measure": ("measure", "image.efi"),
    "measure, two banks": ("measure", "image.efi", "--bank", "sha256", "--bank", "sha384"),
    "measure, four banks": ("measure", "image.efi", "--bank", "all"),
    "digests": ("digests", "image.efi"),
    "verify": ("verify", "image.efi"),
    "attach": ("attach", "image.efi", "--signatures", "signed.json", "--certificate", "db.crt", "-o", "out.efi"),
    "launch": ("--plugin", "coco", "launch", "image.efi", "--technology", "sev-snp", "--vcpus", "4"),
    "launch, direct boot": (
        *("--plugin", "coco", "launch", "image.efi", "--technology", "sev-snp", "--vcpus", "4"),
        *("--direct-boot", "sections", "--firmware", "ovmf-amdsev"),
    ),
    "replay": ("replay", _LOG),
    "replay --image": ("replay", _LOG, "--image", "image.efi"),
    "diff": ("diff", "image.efi", "other.efi"),
    "release": ("release", "image.efi", "other.efi", "--allow", "version-not-newer"),
    "report": ("report", "image.efi", "-o", "out.html"),
}
"""The verbs that read a recipe, an image or a log; `verify` ends with 3, as the image is not signed."""
_HASHES = {
    "build": (),
    "build --json": ("sha256", "sha256"),
    "inspect --digests": ("sha256", "sha256"),
    "measure": ("sha256", "sha256"),
    "measure, two banks": ("sha256", "sha256", "sha384", "sha384"),
    "digests": ("sha256",),
}
"""How often a verb hashes each byte of the image, and in what."""
_START = "inspect"
"""What takes as long as starting does, and reading headers."""
_BESIDE_START = frozenset(("inspect --digests", "measure", "measure, two banks", "digests"))
"""Verbs that start and digest, and do nothing else that takes time."""


def verbs_table(megabytes: int, rounds: int, directory: Path) -> list[str]:
    """Every verb on a large image; for some, the bound: their digests, shared out over the cores."""
    place = directory / "verbs"
    place.mkdir()
    prepare(place, megabytes)
    measure(fuki_command("build", "-o", "image.efi"), cwd=place)
    measure(fuki_command("edit", "image.efi", "--set", ".cmdline=quiet", "-o", "other.efi"), cwd=place)
    size = (place / "image.efi").stat().st_size
    write_signatures(place)

    cores = len(os.sched_getaffinity(0))
    speeds = {algorithm: hashing_speed(algorithm, cores) for algorithm in _ALGORITHMS}
    lines = [
        f"| {megabytes} MB initrd | wall s | CPU s | peak MiB | wall/bound of the digests | without the start |",
        "|---|---|---|---|---|---|",
    ]
    start = 0.0
    for name, arguments in _VERBS.items():
        run = partial(measure, fuki_command(*arguments), cwd=place, codes=(0, 3))
        usages = contest({name: run}, [place / "out.efi", place / "out.html"], rounds)[name]
        # One digest runs in one thread, however many cores there are.
        algorithms = _HASHES.get(name, ())
        bound = max(
            sum(size / speeds[algorithm] for algorithm in algorithms),
            max((size / hashing_speed(algorithm, 1) for algorithm in set(algorithms)), default=0.0),
        )
        wall = median(usages, "wall")
        if name == _START:
            start = wall
        share = f"{wall / bound:.2f}" if bound else ""
        rest = f"{(wall - start) / bound:.2f}" if name in _BESIDE_START else ""
        values = [f"{wall:.2f}", f"{median(usages, 'cpu'):.2f}", f"{median(usages, 'memory'):.0f}"]
        lines.append(f"| fuki {name} | {' | '.join(values)} | {share} | {rest} |")
    shutil.rmtree(place)
    return lines


def write_signatures(place: Path) -> None:
    """What `fuki attach` takes for `image.efi`: its digest, signed by another program with the key of `db.crt`."""
    make_key = "openssl req -x509 -newkey rsa:2048 -noenc -subj /CN=bench -keyout db.key -out db.crt"
    measure(make_key.split(), cwd=place)
    digests = subprocess.run(fuki_command("digests", "image.efi"), cwd=place, check=True, capture_output=True).stdout

    document = json.loads(digests)
    for item in document["digests"]:
        sign = ["openssl", "pkeyutl", "-sign", "-inkey", "db.key", "-pkeyopt", f"digest:{item['algorithm']}"]
        done = subprocess.run(sign, cwd=place, input=bytes.fromhex(item["digest"]), check=True, capture_output=True)
        item["signature"] = base64.b64encode(done.stdout).decode()
    (place / "signed.json").write_text(json.dumps(document))
