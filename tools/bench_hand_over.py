"""Measure the hand-over: the program's size, how long it takes to select among many images, and a whole cycle.

Its sources are compiled for this machine with the flags of the program, but for those that only an EFI program needs.
"""

import ctypes
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID, uuid5

import parts
from fuki_hand_over.programs import VM_LAUNCH_UPDATE
from fuki_qemu import PROBE

from fuki_build.formats.uki import hwids
from fuki_build.formats.uki.hwids import Device, DeviceType
from fuki_build.hardware.chid import stub_chids
from fuki_build.hardware.machine import Machine

PLUGIN = parts.CHECKOUT / "plugins" / "fuki-hand-over"
CALLS = 200


class _Span(ctypes.Structure):
    _fields_ = (("data", ctypes.c_char_p), ("size", ctypes.c_uint64))


def _load_bench() -> Any:  # noqa: ANN401 - a module that no type checker knows
    """The tests' tools for the program, which are no package."""
    path = PLUGIN / "tests" / "support" / "hand_over_bench.py"
    spec = importlib.util.spec_from_file_location("hand_over_bench", path)
    if spec is None or spec.loader is None:
        sys.exit(f"bench: {path} is missing")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hand_over_table(directory: Path, counts: Sequence[int] = (1, 10, 100, 500)) -> list[str]:
    """A table of the microseconds that a selection takes, of the last image and through the last type of id."""
    bench = _load_bench()
    library = directory / "selection.so"
    sources = [PLUGIN / "program" / f"{name}.c" for name in ("sha1", "smbios", "chid", "selection")]
    subprocess.run(["gcc", "-Os", "-fno-strict-aliasing", "-fPIC", "-shared", "-o", library, *sources], check=True)
    program = ctypes.CDLL(str(library))
    program.select_firmware.argtypes = (_Span, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p)

    machine = Machine(name="m", manufacturer="Acme", product="Box", baseboard_manufacturer="Acme")
    table = bench.write_smbios({"manufacturer": b"Acme", "product": b"Box", "baseboard_manufacturer": b"Acme"})
    smbios = _Span(table, len(table))
    lines = [
        f"The hand-over program has {VM_LAUNCH_UPDATE.stat().st_size} bytes.",
        "",
        "| firmware images | selection, µs |",
        "|---|---|",
    ]
    for count in counts:
        image = _image(bench, machine, count)
        aligned = ctypes.create_string_buffer(len(image) + 4096)
        start = -ctypes.addressof(aligned) % 4096
        ctypes.memmove(ctypes.addressof(aligned) + start, image, len(image))
        span = _Span(ctypes.cast(ctypes.addressof(aligned) + start, ctypes.c_char_p), len(image))
        identity, selection = ctypes.create_string_buffer(256), ctypes.create_string_buffer(256)

        taken = []
        for _ in range(CALLS):
            before = time.perf_counter()
            program.smbios_identity(smbios, identity)
            missing = program.select_firmware(span, 0, identity, selection)
            taken.append(time.perf_counter() - before)
        if missing:
            sys.exit(f"bench: the program selects nothing among {count} images")
        lines.append(f"| {count} | {1e6 * median(taken):.0f} |")
    return lines


_RECIPE = """\
[fuki]
name = "cycle"
plugins = ["hand-over"]
silence = ["firmware-unknown"]
[fuki.image]
stub = "{stub}"
linux = "{linux}"
uname = "probe"
os-release = {{ text = "ID=probe" }}
cmdline = "console=ttyS0"
[fuki.hand-over]
interface = "vm-launch-update"
[[fuki.firmware]]
source = "file"
id = "own"
path = "{firmware}"
platforms = ["qemu"]
igvm = {{ platforms = ["native"] }}
"""


def cycle_table(directory: Path) -> list[str]:
    """The seconds from QEMU's start to the end of a tiny program: plain, and with both starts of a hand-over."""
    values = {"stub": parts.get("stub-x64"), "linux": PROBE, "firmware": parts.get("ovmf-generic")}
    directory = directory / "cycle"
    directory.mkdir()
    (directory / "fuki.toml").write_text(_RECIPE.format(**values))
    _fuki(directory, "build")
    boot = ["--plugin", "qemu", "boot", "cycle.efi", "--json", "--verify", "--no-kvm"]
    boot += ["--firmware", str(parts.get("ovmf-2025"))]
    lines = ["| boot of a tiny program, emulated | starts | seconds |", "|---|---|---|"]
    for label, options in (("without a device", ()), ("handed over", ("--host", "vm-launch-update"))):
        document = json.loads(_fuki(directory, *boot, *options))
        lines.append(f"| {label} | {len(document['starts']) or 1} | {document['seconds']} |")
    return lines


def _fuki(directory: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "fuki_build", *arguments]
    return subprocess.run(command, cwd=directory, check=True, capture_output=True, text=True).stdout


def _image(bench: Any, machine: Machine, count: int) -> bytes:  # noqa: ANN401 - same
    """An image whose last record, of the type that is tried last, is the machine's."""
    others = [frozenset({uuid5(UUID(int=0), str(number))}) for number in range(count - 1)]
    ids = [*others, frozenset({stub_chids(machine)[11]})]
    devices = [Device(DeviceType.UEFI_FW, "", f"fw{number:04}", chids) for number, chids in enumerate(ids)]
    firmware = [(".efifw", bench.efifw(f"fw{number:04}", b"x")) for number in range(count)]
    return bytes(bench.write_image((".hwids", hwids.encode(devices)), *firmware))
