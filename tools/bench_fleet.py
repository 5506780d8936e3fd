"""What fleets take: many firmware images, profiles and machines in a recipe, and many images of a verb."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import parts
from bench_inputs import fuki_command
from bench_process import Usage, measure, median

FIRMWARE = (1, 10, 100, 500)
PROFILES = (1, 10, 50, 200)
MACHINES = (10, 100, 1000, 10_000)
MEASURED = ((1600, 0), (60, 60))
"""Profiles and firmware images of what `fuki measure` is asked about: a case for each firmware, and for none."""
IMAGES = (1, 10, 100)
_PAYLOAD = 4096


def fleet_table(rounds: int, directory: Path) -> list[str]:
    """CPU time and memory by size. Images of many sections are planned only: the stub's header has no room for them."""
    place = directory / "fleet"
    place.mkdir()
    for name, part in (("stub", "stub-x64"), ("vmlinuz", "kernel-x64")):
        shutil.copyfile(parts.get(part), place / name)
    (place / "one.fd").write_bytes(bytes(_PAYLOAD))

    lines = ["| of | | command | wall s | CPU s | peak MiB |", "|---" * 6 + "|"]
    for count in FIRMWARE:
        write_recipe(place, firmware=count)
        lines.append(_row(count, "firmware images", "plan", _plan(place, rounds)))
    for count in PROFILES:
        write_recipe(place, profiles=count)
        lines.append(_row(count, "profiles on 1,333 machines", "plan", _plan(place, rounds)))
    for count in MACHINES:
        files = write_machines(place, count)
        write_recipe(place, machines=files)
        lines.append(_row(count, "machines", "plan", _plan(place, rounds)))
        lines.append(_row(count, "machines", "match --json", _match(place, files, rounds)))
    for profiles, firmware in MEASURED:
        write_image(place, profiles, firmware)
        usages = _several(fuki_command("measure", "wide.efi"), place, rounds)
        lines.append(
            _row(
                profiles * (firmware + 1), f"cases ({profiles} profiles, {firmware} firmware images)", "measure", usages
            )
        )
    for count in IMAGES:
        usages = _several(fuki_command("verify", *["image.efi"] * count), place, rounds)
        lines.append(_row(count, "images", "verify", usages))

    shutil.rmtree(place)
    return lines


def write_image(place: Path, profiles: int, firmware: int) -> None:
    """An image of so many sections that no stub's header has room for them."""
    script = Path(__file__).with_name("bench_wide.py")
    command = [sys.executable, str(script), str(place / "wide.efi"), str(profiles), str(firmware)]
    subprocess.run(command, check=True)


def write_machines(place: Path, count: int) -> Sequence[str]:
    """Machine files, each of another product."""
    (place / "m").mkdir(exist_ok=True)
    names = [f"m/{number}.toml" for number in range(count)]
    for number, name in enumerate(names):
        (place / name).write_text(f'[machine]\nmanufacturer = "Acme"\nproduct = "Rocket {number}"\n')
    return names


def write_recipe(place: Path, firmware: int = 1, profiles: int = 0, machines: Sequence[str] = ()) -> None:
    """A recipe of this many firmware images and profiles; firmware is for `machines`, or for those of EC2."""
    head = '[fuki]\nname = "fleet"\nplugins = ["aws"]\nsilence = ["firmware-unknown"]\n[fuki.image]\nstub = "stub"\n'
    tables = [head + 'linux = "vmlinuz"\ncmdline = "ro"\nos-release = { text = "ID=bench\\n" }']
    files = ",\n".join(f'"{name}"' for name in machines)
    for number in range(firmware):
        if profiles:
            which = 'platforms = ["aws:*"]'
        elif machines:
            which = f"machines = [\n{files}\n]"
        else:
            which = f'match = {{ manufacturer = "Acme", product = "Rocket {number}" }}'
        tables.append(f'[[fuki.firmware]]\nsource = "file"\npath = "one.fd"\nid = "f{number}"\n{which}')
    tables += [f'[[fuki.profile]]\nid = "p{number}"\ncmdline = "p{number}"' for number in range(profiles)]
    (place / "fuki.toml").write_text("\n".join(tables))


def _plan(place: Path, rounds: int) -> Sequence[Usage]:
    # It ends with 1 where the checks find that the stub's header has too little room.
    return _several(fuki_command("plan"), place, rounds, codes=(0, 1))


def _match(place: Path, files: Sequence[str], rounds: int) -> Sequence[Usage]:
    """Of the image of the recipe that is there."""
    measure(fuki_command("build", "--only", "uki", "-o", "image.efi"), cwd=place)
    arguments = [word for name in files for word in ("--machine", name)]
    return _several(fuki_command("match", "image.efi", "--json", *arguments), place, rounds)


def _several(command: Sequence[str], place: Path, rounds: int, codes: Sequence[int] = (0, 3)) -> Sequence[Usage]:
    """Without the first, which warms the page cache."""
    return [measure(command, cwd=place, codes=codes) for _ in range(rounds + 1)][1:]


def _row(count: int, kind: str, command: str, usages: Sequence[Usage]) -> str:
    values = (f"{median(usages, field):.2f}" for field in ("wall", "cpu"))
    return f"| {count:,} | {kind} | {command} | {' | '.join(values)} | {median(usages, 'memory'):.0f} |"
