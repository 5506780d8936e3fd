"""What checks call an error does not start: images with one fault each, on edk2 and the real stub."""

import io
import subprocess
import threading
from pathlib import Path

import parts
import pytest
from fuki_qemu import PROBE

from fuki_build.checks.run import check
from fuki_build.image.inspect import inspect
from fuki_build.pipeline import new_host
from tests.support.guests import CPU
from tests.support.headers import (
    ADDRESS,
    SIZE_OF_IMAGE,
    VIRTUAL_SIZE,
    Change,
    changed,
    directory,
    headers,
    optional,
    section,
)
from tests.support.images import layout_of, write

_TOO_LONG = 150
"""Seconds that no boot takes, even on a busy machine."""

PROGRAM = PROBE.read_bytes()
RELOCATED = changed(PROGRAM, directory(5, 0x1000, 12))


def image(path: Path, kernel: bytes = PROGRAM, cmdline: bytes = b"console=ttyS0 panic=-1") -> Path:
    contents = {".osrel": b"ID=a\n", ".cmdline": cmdline, ".uname": b"6", ".linux": kernel, ".initrd": b"070701"}
    return write(path, layout_of([(name, data, None) for name, data in contents.items()]))


def edit(path: Path, change: Change) -> Path:
    path.write_bytes(changed(path.read_bytes(), change))
    return path


def address(path: Path, name: str) -> int:
    return next(s.virtual_address for s in headers(path.read_bytes()).sections if s.name == name)


def overlapping(path: Path) -> Path:
    image(path)
    return edit(path, section(".initrd", ADDRESS, address(path, ".linux")))


FAULTS = {
    # The rule, how the image is made, and what firmware, stub or kernel say.
    "size-of-image": (lambda path: edit(image(path), optional(SIZE_OF_IMAGE, 0x2A000)), "failed to load"),
    "section-in-headers": (lambda path: edit(image(path), section(".osrel", ADDRESS, 0x100)), "failed to load"),
    "sections-overlap": (overlapping, "Bad kernel image"),
    "virtual-size-zero": (
        lambda path: edit(image(path), section(".linux", VIRTUAL_SIZE, 0)),
        "Image lacks .linux section",
    ),
    "kernel-refused": (lambda path: image(path, RELOCATED), "Inner kernel image contains base relocations"),
    "cmdline-too-long": (
        lambda path: image(path, parts.get("kernel-x64").read_bytes(), b"console=ttyS0 " + b"x" * 2030 + b" last=word"),
        "Command line is too long: truncated to",
    ),
}


def console(path: Path, until: str) -> str:
    """What a guest says before it says `until`, or before it ends."""
    command: list[str | Path] = [
        *("qemu-system-x86_64", "-machine", "q35,smm=off", "-accel", "tcg", "-cpu", CPU, "-m", "512", "-nodefaults"),
        *("-display", "none", "-serial", "stdio", "-no-reboot"),
        *("-bios", parts.get("ovmf-generic"), "-kernel", path),
    ]
    text = ""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as guest:
        assert isinstance(guest.stdout, io.BufferedReader)
        watchdog = threading.Timer(_TOO_LONG, guest.kill)
        watchdog.start()
        while until not in text and (piece := guest.stdout.read1()):
            text += piece.decode(errors="replace")
        watchdog.cancel()
        guest.kill()
    return text


@pytest.mark.parametrize("rule", FAULTS)
def test_what_a_check_calls_an_error_does_not_start_as_it_should(tmp_path: Path, rule: str):
    make, words = FAULTS[rule]
    path = make(tmp_path / "wrong.efi")
    assert rule in {finding.rule for finding in check(new_host(), [inspect(path)])}
    assert words in console(path, words)


def test_the_image_without_a_fault_starts(bench, tmp_path: Path):
    bench.boot(image(tmp_path / "right.efi"))
