"""Measure fuki against ukify, signing programs and the floor: `cp` of the initrd and one SHA-256 pass over it.

All figures are of whole processes, taken in turns (fuki, ukify, floor, fuki, …), so that ratios hold on a noisy
machine. Quoted are medians, and medians of the ratios round by round.

    python tools/bench.py [--write docs/benchmarks.md] [--sizes 30,300,1000] [--rounds 5]
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path

import parts
from bench_explain import explain_table
from bench_fleet import fleet_table
from bench_hand_over import cycle_table, hand_over_table
from bench_inputs import FIRMWARE, fuki_command, prepare, ukify_command
from bench_kept import kept_table
from bench_matrix import matrix_table
from bench_process import Usage, contest, keep_compiled, measure, median, ratio
from bench_verbs import hashing_table, ukify_table, verbs_table

PREDICTED_SIZE = 300
PACKAGES = "click, msgspec, pluggy, tomllib, hashlib, tempfile"
START, END = "<!-- measured -->", "<!-- /measured -->"


FLOOR = (["cp", "initrd", "floor"], ["openssl", "dgst", "-sha256", "initrd"])


def build_contest(directory: Path, firmware: Collection[str], rounds: int) -> dict[str, list[Usage]]:
    runners: Mapping[str, Callable[[], Usage]] = {
        "fuki": lambda: measure(fuki_command("build", "-o", "fuki.efi"), cwd=directory),
        "ukify": lambda: measure(ukify_command(firmware), cwd=directory),
        "floor": lambda: measure(*FLOOR, cwd=directory),
    }
    return contest(runners, [directory / name for name in ("fuki.efi", "ukify.efi", "floor")], rounds)


def signing_table(megabytes: int, rounds: int, directory: Path) -> list[str]:
    """What signing adds to a build, and what other programs take to sign its result."""
    prepare(directory, megabytes)
    make_key = "openssl req -x509 -newkey rsa:2048 -noenc -subj /CN=bench -keyout db.key -out db.crt"

    with (directory / "fuki.toml").open("a") as recipe:
        recipe.write('\n[fuki.sign]\nbackend = "local"\nkey = "db.key"\ncertificate = "db.crt"\n')

    measure(make_key.split(), fuki_command("build", "--unsigned", "-o", "finished.efi"), cwd=directory)
    library = parts.get("libsystemd-shared").parent

    systemd = ["env", f"LD_LIBRARY_PATH={library}", str(parts.get("systemd-sbsign")), "sign", "--private-key=db.key"]
    commands = {
        "fuki build --unsigned": fuki_command("build", "--unsigned", "-o", "out.efi"),
        "fuki build": fuki_command("build", "-o", "out.efi"),
        "fuki sign": fuki_command(
            *("sign", "finished.efi", "-o", "out.efi", "--key", "db.key", "--certificate", "db.crt")
        ),
        "sbsign": ["sbsign", "--key", "db.key", "--cert", "db.crt", "--output", "out.efi", "finished.efi"],
        "systemd-sbsign": [*systemd, "--certificate=db.crt", "--output=out.efi", "finished.efi"],
    }

    runners = {name: partial(measure, command, cwd=directory) for name, command in commands.items()}
    contestants = contest(runners, [directory / "out.efi"], rounds)

    unsigned = "fuki build --unsigned"
    lines = [f"| {megabytes} MB initrd | wall s | CPU s | peak MiB | wall/unsigned build |", "|---|---|---|---|---|"]
    for name, usages in contestants.items():
        values = [f"{median(usages, field):.2f}" for field in ("wall", "cpu")]
        values += [f"{median(usages, 'memory'):.0f}", f"{ratio(contestants, name, unsigned, 'wall'):.2f}"]
        lines.append(f"| {name} | {' | '.join(values)} |")

    return lines


def build_table(sizes: Sequence[int], rounds: int, directory: Path) -> list[str]:
    columns = ["initrd", "firmware", "", "wall s", "CPU s", "peak MiB"]
    columns += ["ukify/fuki wall", "ukify/fuki CPU", "ukify/fuki memory", "fuki/floor wall"]

    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for firmware, (size, place) in product((FIRMWARE, ()), [(size, directory / str(size)) for size in sizes]):
        place.mkdir()
        prepare(place, size, firmware)
        contestants = build_contest(place, firmware, rounds)
        for name, usages in contestants.items():
            values = [f"{median(usages, field):.2f}" for field in ("wall", "cpu")]
            about = [f"{size} MB", str(len(firmware))] if name == "fuki" else ["", ""]
            row = [*about, name, *values, f"{median(usages, 'memory'):.0f}"]
            ratios = [f"{ratio(contestants, 'ukify', 'fuki', field):.1f}" for field in Usage._fields]
            ratios.append(f"{ratio(contestants, 'fuki', 'floor', 'wall'):.2f}")
            lines.append("| " + " | ".join(row + (ratios if name == "fuki" else [""] * 4)) + " |")
        shutil.rmtree(place)

    return lines


def start_table(rounds: int, directory: Path) -> list[str]:
    lines = ["| command | CPU s | peak MiB |", "|---|---|---|"]
    for size in (1, 1000):
        place = directory / f"plan-{size}"
        place.mkdir()
        prepare(place, size)
        commands = {f"fuki plan ({size} MB initrd)": fuki_command("plan")}
        if size == 1:
            commands["fuki build (1 MB initrd)"] = fuki_command("build", "-o", "image.efi")
            commands["fuki match (1 MB initrd)"] = fuki_command("match", "image.efi", "--platform", "qemu:q35")
            commands["fuki --help"] = fuki_command("--help")
            commands["fuki --version"] = fuki_command("--version")
            commands["Python alone"] = [sys.executable, "-c", ""]
            commands["Python with the packages that fuki starts with"] = [sys.executable, "-c", f"import {PACKAGES}"]
        for name, command in commands.items():
            usages = [measure(command, cwd=place) for _ in range(rounds * 2 + 1)][1:]
            lines.append(f"| {name} | {median(usages, 'cpu'):.3f} | {median(usages, 'memory'):.0f} |")
        shutil.rmtree(place)
    return lines


def table_line() -> str:
    script = Path(__file__).with_name("bench_table.py")
    done = subprocess.run([sys.executable, str(script)], check=True, capture_output=True, text=True)
    return f"A row of a table of six columns takes {float(done.stdout):.4f} ms."


PLATFORMS = ("qemu:q35", "qemu:i440fx", "vmware", "virtualbox", "nutanix")


def prepare_predictions(directory: Path, megabytes: int) -> None:
    """Three profiles, firmware for five platforms, and outputs with and without predictions."""
    prepare(directory, megabytes)
    recipe = (directory / "fuki.toml").read_text().partition("[[fuki.firmware]]")[0]
    recipe = recipe.replace("[fuki]\n", '[fuki]\nplugins = ["virt"]\n')
    for number, platform in enumerate(PLATFORMS):
        place = directory / f"firmware-{number}"
        place.mkdir()
        shutil.copyfile(parts.get("ovmf-generic"), place / "OVMF.fd")
        recipe += f'[[fuki.firmware]]\nsource = "directory"\npath = "firmware-{number}"\nplatforms = ["{platform}"]\n'

    for name in ("one", "two"):
        recipe += f'[[fuki.profile]]\nid = "{name}"\ncmdline = "{name}"\n'

    recipe += '[[fuki.output]]\nformat = "uki"\npath = "fuki.efi"\n'
    for banks, name in (('["sha256"]', "one"), ('["sha1", "sha256", "sha384", "sha512"]', "four")):
        table = f'[[fuki.output]]\nformat = "predictions"\npath = "{name}.json"\nbanks = {banks}\n'
        (directory / f"{name}.toml").write_text(recipe + table)

    (directory / "none.toml").write_text(recipe)


def arithmetic(image: Path, rounds: int) -> tuple[float, int]:
    """Seconds from digests in four banks to all values, and how many values these are."""
    script = Path(__file__).with_name("bench_arithmetic.py")
    command = [sys.executable, str(script), str(image), str(rounds)]
    taken, values = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(taken), int(values)


def prediction_table(megabytes: int, rounds: int, directory: Path) -> list[str]:
    place = directory / "predictions"
    place.mkdir()
    prepare_predictions(place, megabytes)

    contestants: dict[str, list[Usage]] = {name: [] for name in ("none", "one", "four")}
    for number in range(rounds + 1):
        for name, usages in contestants.items():
            usage = measure(fuki_command("build", f"{name}.toml"), cwd=place)
            if number:
                usages.append(usage)

    taken, values = arithmetic(place / "fuki.efi", rounds)
    lines = ["| build with predictions in | wall s | CPU s | wall, of the build without |", "|---|---|---|---|"]
    for name, words in (("none", "no bank"), ("one", "SHA-256"), ("four", "four banks")):
        share = f"{ratio(contestants, name, 'none', 'wall'):.2f}"
        lines.append(
            f"| {words} | {median(contestants[name], 'wall'):.2f} | {median(contestants[name], 'cpu'):.2f} | {share} |"
        )

    part = taken / median(contestants["none"], "wall")
    lines += ["", f"{values} values follow from the digests in {1000 * taken:.0f} ms, {part:.1%} of the build."]
    shutil.rmtree(place)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure fuki against ukify and the floor.")
    parser.add_argument("--write", type=Path, help="replace the tables in this page")
    parser.add_argument("--sizes", default="30,300,1000", help="of the initrd, in MB")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    work = parts.CHECKOUT / "build"
    work.mkdir(exist_ok=True)

    with tempfile.TemporaryDirectory(dir=work, prefix="bench-") as directory:
        keep_compiled(Path(directory) / "compiled")
        sizes = [int(size) for size in chosen.sizes.split(",")]
        lines = hashing_table()
        lines += ["", *build_table(sizes, chosen.rounds, Path(directory))]
        lines += ["", *ukify_table((1, *sizes[:-1]), chosen.rounds, Path(directory))]
        lines += ["", *verbs_table(sizes[-1], chosen.rounds, Path(directory))]
        signing = Path(directory) / "signing"
        signing.mkdir()
        lines += ["", *signing_table(sizes[-1], chosen.rounds, signing)]
        shutil.rmtree(signing)
        lines += ["", *start_table(chosen.rounds, Path(directory)), "", table_line()]
        lines += ["", *prediction_table(PREDICTED_SIZE, chosen.rounds, Path(directory))]
        lines += ["", *fleet_table(chosen.rounds, Path(directory))]
        lines += ["", *kept_table(chosen.rounds, Path(directory))]
        lines += ["", *matrix_table(rounds=chosen.rounds)]
        lines += ["", *explain_table(chosen.rounds)]
        lines += ["", *hand_over_table(Path(directory)), "", *cycle_table(Path(directory))]

    text = "\n".join(lines)
    print(text)

    if chosen.write:
        page = chosen.write.read_text()
        before, _, rest = page.partition(START)
        after = rest.partition(END)[2]
        chosen.write.write_text(f"{before}{START}\n\n{text}\n\n{END}{after}")


if __name__ == "__main__":
    main()
