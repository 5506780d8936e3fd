"""Images with signed policies over PCR 11, and the policies that systemd-measure makes for them."""

import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import parts

from fuki_build.image.inspect import inspect
from fuki_build.image.section import Section
from fuki_build.measure.predict import cases
from fuki_build.testing import recipe, succeed

Policies = dict[str, list[dict[str, Any]]]
"""By bank, as systemd has them in JSON."""

PHASES = (
    "enter-initrd",
    "enter-initrd:leave-initrd",
    "enter-initrd:leave-initrd:sysinit",
    "enter-initrd:leave-initrd:sysinit:ready",
)

RECIPE = recipe(initrd=["initrd.img"], cmdline="root=LABEL=root ro", os_release="os-release")

PROFILES = """
[[fuki.profile]]
id = "debug"
cmdline = "debug"
[[fuki.profile]]
id = "rescue"
cmdline = "rescue"
"""

POLICY = '\n[[fuki.pcr-policy]]\nkey = "pcr.key"\n'


def build(directory: Path, recipe: str, *arguments: str) -> Path:
    (directory / "fuki.toml").write_text(recipe)
    succeed(directory, "build", *arguments)
    return directory / "acme.efi"


def signatures(directory: Path, at: str = "") -> Policies:
    succeed(directory, "inspect", "acme.efi", "--extract", f".pcrsig{at}", "-o", "pcrsig")
    policies: Policies = json.loads((directory / "pcrsig").read_text())
    return policies


def extracted(sections: Iterable[Section], into: Path) -> list[str]:
    """Options that give systemd-measure the content of sections."""
    into.mkdir(exist_ok=True)
    options = []
    for section in sections:
        path = into / section.name[1:]
        path.write_bytes(section.content.read_at(0, section.content.size))
        options.append(f"--{section.name[1:]}={path}")
    return options


def systemd_measure(directory: Path, verb: str, *arguments: str) -> Policies:
    program = parts.get("systemd-measure")
    libraries = program.parents[1] / "x86_64-linux-gnu"
    environment = {**os.environ, "LD_LIBRARY_PATH": f"{libraries}:{libraries}/systemd"}
    command: list[str | Path] = [program, verb, *arguments, "--json=short"]
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    policies: Policies = json.loads(done.stdout)
    return policies


def as_sets(policies: Policies) -> dict[str, set[str]]:
    return {bank: {json.dumps(entry, sort_keys=True) for entry in entries} for bank, entries in policies.items()}


def merged(many: list[Policies]) -> dict[str, set[str]]:
    digests: dict[str, set[str]] = {}
    for one in many:
        for bank, entries in as_sets(one).items():
            digests.setdefault(bank, set()).update(entries)
    return digests


def systemds(directory: Path, image: Path, profile: int | None, verb: str, *arguments: str) -> dict[str, set[str]]:
    """What systemd-measure makes for all that machines can select in a profile."""
    layout = inspect(image)
    policies = []
    for number, case in enumerate(cases(layout, None, [profile])):
        options = extracted(case.measured, directory / f"case-{profile}-{number}")
        phases = [f"--phase={phase}" for phase in PHASES]
        policies.append(systemd_measure(directory, verb, *options, *phases, *arguments))
    return merged(policies)


BANKS = ("sha1", "sha256", "sha384", "sha512")
ALL_BANKS = f"banks = {json.dumps(BANKS)}\n"
