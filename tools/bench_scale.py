"""What ten thousand images take, computed from what some take on this machine.

    python tools/bench_scale.py [--write docs/explanation/scale.md]

Measured are processes of fuki, and a remote execution engine with two workers. What is computed from that is in
`scale_table`.
"""

import argparse
import hashlib
import math
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import parts
from bench_inputs import fuki_command, prepare
from bench_process import keep_compiled, measure, median

IMAGES = 10_000
CELLS_OF_A_RECIPE = 1000
"""As many as a matrix may have."""
MINUTES = 10
"""In which all images are to be there."""
_MEGABYTES = 50
_TOGETHER = (10, 50)
_REMOTE = 16
_HITS = 4
_HASHED = 256
_START, _END = "<!-- measured -->", "<!-- /measured -->"
_OUTPUT = '\n[[fuki.output]]\nformat = "uki"\npath = "out/{{ matrix.n }}.efi"\n'


class Measured(NamedTuple):
    """Sizes in MB (10⁶ bytes), times in seconds of processors, whatever else they did meanwhile.

    `own` is what an image does not share with others. `exported` is of a recipe with as many cells as it may have.
    `action` and `hit` are of one action that is executed, and of one whose result is there.
    """

    image: float
    own: float
    hashing: float
    alone: float
    joint: float
    exported: float
    messages: float
    action: float
    hit: float


class Row(NamedTuple):
    what: str
    value: str


def measured_table(measured: Measured) -> list[str]:
    rows = [
        Row("size of an image", f"{measured.image:.0f} MB"),
        Row("of it not shared with other cells", f"{measured.own:.2f} MB"),
        Row("SHA-256 in one thread", f"{measured.hashing:.0f} MB by second"),
        Row("CPU time of a cell that is built alone", f"{measured.alone:.2f} s"),
        Row("CPU time of each further cell of a matrix", f"{measured.joint:.3f} s"),
        Row(f"CPU time of `fuki export reapi`, {CELLS_OF_A_RECIPE} cells", f"{measured.exported:.1f} s"),
        Row(f"messages that it writes, {CELLS_OF_A_RECIPE} cells", f"{measured.messages:.1f} MB"),
        Row("CPU time of an action: client, server and worker", f"{measured.action:.2f} s"),
        Row("CPU time of a result from the cache: client and server", f"{measured.hit:.2f} s"),
    ]
    return ["| measured | |", "|---|---|", *(f"| {row.what} | {row.value} |" for row in rows)]


def scale_table(measured: Measured, images: int = IMAGES, minutes: float = MINUTES) -> list[str]:
    """What so many images take, by arithmetic from what was measured."""
    recipes = math.ceil(images / CELLS_OF_A_RECIPE)
    shared = measured.image - measured.own
    changed = images / 10
    rows = [
        Row("bytes read, each image alone", _bytes(images * measured.image)),
        Row(f"bytes read, {recipes} matrices", _bytes(recipes * shared + images * measured.own)),
        Row("bytes hashed for actions, shared inputs once for each recipe", _bytes(recipes * shared)),
        Row("that is, in one thread", _time(recipes * shared / measured.hashing)),
        Row("bytes hashed for all manifests (an Authenticode digest each)", _bytes(images * measured.image)),
        Row("that is, in one thread", _time(images * measured.image / measured.hashing)),
        Row("CPU time, each image alone", _time(images * measured.alone)),
        Row(f"CPU time, {recipes} matrices", _time(recipes * measured.alone + images * measured.joint)),
        Row("CPU time of exporting all as actions", _time(images / CELLS_OF_A_RECIPE * measured.exported)),
        Row("messages of the API", _bytes(images / CELLS_OF_A_RECIPE * measured.messages)),
        Row("cache: inputs, and every image whole", _bytes(recipes * shared + images * measured.image)),
        Row("CPU time of all actions, nothing in the cache", _time(images * measured.action)),
        Row(f"cores for that in {minutes:g} minutes", f"{_cores(images * measured.action, minutes):,}"),
        Row("a tenth of the cells changed: CPU time of their actions", _time(changed * measured.action)),
        Row(f"cores for that in {minutes:g} minutes", f"{_cores(changed * measured.action, minutes):,}"),
        Row("CPU time of all results from the cache, nothing changed", _time(images * measured.hit)),
    ]
    return [f"| {images:,} images, computed | |", "|---|---|", *(f"| {row.what} | {row.value} |" for row in rows)]


def _cores(seconds: float, minutes: float) -> int:
    return math.ceil(seconds / (60 * minutes))


def _bytes(megabytes: float) -> str:
    return f"{megabytes / 1000:,.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"


def _time(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def measure_here(rounds: int, place: Path) -> Measured:
    """Measure with an initrd of incompressible bytes, which all cells share with the kernel and the stub."""
    prepare(place, _MEGABYTES, firmware=())
    write_matrix(place, 1)
    measure(fuki_command("build"), cwd=place)  # compiles modules, and warms the page cache
    alone = median([measure(fuki_command("build"), cwd=place) for _ in range(rounds)], "cpu")
    image = (place / "out/0.efi").stat().st_size / 1e6
    shared = sum((place / name).stat().st_size for name in ("initrd", "vmlinuz", "os-release")) / 1e6

    several = []
    for count in _TOGETHER:
        write_matrix(place, count)
        several.append(median([measure(fuki_command("build"), cwd=place) for _ in range(rounds)], "cpu"))
    joint = (several[1] - several[0]) / (_TOGETHER[1] - _TOGETHER[0])

    write_matrix(place, CELLS_OF_A_RECIPE)
    exported = measure(fuki_command("export", "reapi", "--fuki", fuki_command()[0]), cwd=place).cpu
    messages = sum(path.stat().st_size for path in (place / "reapi").rglob("*") if path.is_file()) / 1e6

    write_matrix(place, _REMOTE)
    action, hit = measure_remotely(place)
    return Measured(
        image=image,
        own=image - shared,
        hashing=max(_hashing_speed() for _ in range(rounds)) / 1e6,
        alone=alone,
        joint=joint,
        exported=exported,
        messages=messages,
        action=action,
        hit=hit,
    )


def write_matrix(place: Path, count: int) -> None:
    """The recipe with so many cells, which differ in their command lines."""
    recipe = place / "fuki.toml"
    before = recipe.read_text().partition("\n[fuki.matrix]")[0].replace('"ro"', '"ro n={{ matrix.n }}"')
    recipe.write_text(f"{before}\n[fuki.matrix]\nn = {list(range(count))}\n{_OUTPUT}")


def measure_remotely(place: Path) -> tuple[float, float]:
    """Seconds of processors that an action takes on all that has to do with it, and a result that is there."""
    measure(fuki_command("export", "reapi", "-o", "few", "--fuki", fuki_command()[0]), cwd=place)
    scripts = sorted((place / "few").glob("*.sh"))
    idle, once, several = (_engine_time(place, scripts, runs) for runs in (0, 1, 1 + _HITS))
    return (once - idle) / len(scripts), (several - once) / (_HITS * len(scripts))


def _engine_time(place: Path, scripts: Sequence[Path], runs: int) -> float:
    """The CPU time of an engine with two workers from its start to its end, with all actions in so many runs."""
    sys.path.insert(0, str(parts.CHECKOUT))
    from tests.support.remote_execution import RemoteExecution, finish  # noqa: PLC0415 - behind the path

    before = os.times()
    with RemoteExecution() as engine:
        for name in ("one", "two"):
            engine.add_worker(name)
        for pair in [*zip(scripts[::2], scripts[1::2], strict=True)] * runs:
            outcomes = finish({script.name: engine.execute(script, place) for script in pair})
            if any(code for code, _ in outcomes.values()):
                raise SystemExit(f"an action failed: {outcomes}")
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def _hashing_speed() -> float:
    """Bytes by second of a processor."""
    data = os.urandom(1 << 20)
    digest = hashlib.sha256()
    start = time.thread_time()
    for _ in range(_HASHED):
        digest.update(data)
    return _HASHED * len(data) / (time.thread_time() - start)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Compute what ten thousand images take.")
    parser.add_argument("--write", type=Path, help="replace the tables in this page")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        keep_compiled(Path(directory) / "kept")
        (Path(directory) / "work").mkdir()
        measured = measure_here(chosen.rounds, Path(directory) / "work")

    text = "\n".join([*measured_table(measured), "", *scale_table(measured)])
    print(text)
    if chosen.write:
        before, _, rest = chosen.write.read_text().partition(_START)
        after = rest.partition(_END)[2]
        chosen.write.write_text(f"{before}{_START}\n\n{text}\n\n{_END}{after}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
