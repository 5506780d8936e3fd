"""Fuzz the program's own sources with libFuzzer, under the address and undefined-behaviour sanitizers.

python plugins/fuki-hand-over/tests/support/hand_over_fuzz.py [--seconds N]
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from struct import pack

import hand_over_bench as bench
from fuki_build import Machine
from fuki_build.formats.uki import hwids
from fuki_build.formats.uki.hwids import Device, DeviceType
from fuki_build.testing import stub_chids

COMPILER = "clang"
_SANITIZERS = ("-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all")
_FUZZER = bench.HERE / "bench" / "fuzz.c"
_LIMITS = ("-timeout=5", "-rss_limit_mb=768", "-max_len=65536", "-print_final_stats=1", "-verbosity=0")


def build(directory: Path) -> Path:
    fuzzer = directory / "hand-over-fuzzer"
    sources: list[str] = [str(path) for path in (*bench.SOURCES, _FUZZER)]
    subprocess.run([COMPILER, *bench.FLAGS, *_SANITIZERS, "-o", str(fuzzer), *sources], check=True)
    return fuzzer


def seeds() -> Iterator[bytes]:
    acme = Machine(name="m", manufacturer="Acme", product="Box")
    smbios = bench.write_smbios({"manufacturer": b"Acme", "product": b"Box", "family": b"0 \xe2\x82\xac"})
    page = bytes(range(256)) * 16
    payload = bench.igvm((bench.TOP - 4096, page))
    table = hwids.encode(
        [Device(DeviceType.UEFI_FW, "n", "fw", frozenset({stub_chids(acme)[11], stub_chids(acme)[9]}))]
    )
    firmware = [(".hwids", table), (".efifw", bench.efifw("fw", payload))]
    image = bench.write_image(*firmware)

    profiles = bench.write_image(*firmware, (".profile", b"ID=a"), (".profile", b"ID=b"), *firmware)
    directory = pack(">IIHH56s", 1, 56, 42, 0, b"etc/vmlaunchupdate")
    for flags, options, nonsense, rom, content in (
        (0b0000110, "", b"", b"", image),
        (0b0000111, "@1 quiet", b"", b"", profiles),
        (0b0100111, "", b"", page, image),
        (0b1000110, "@0", b"\0" + directory + bytes(64), b"", image),
        (0b0010110, "", b"", b"", image),
    ):
        parts = (smbios, options.encode("utf-16-le"), nonsense, rom)
        yield bytes([flags, flags]) + pack("<4H", *map(len, parts)) + b"".join(parts) + content


def run(fuzzer: Path, directory: Path, *limits: str) -> str:
    """How many inputs it survived, in words. Raises `RuntimeError` with what it said where it did not."""
    corpus = directory / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(seeds()):
        (corpus / f"seed{number}").write_bytes(seed)
    command = [str(fuzzer), *_LIMITS, *limits, f"-artifact_prefix={directory}/", str(corpus)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise RuntimeError(f"hand-over program: failed, the input is in {directory}\n{done.stderr[-6000:]}")
    counts = dict(re.findall(r"stat::(\w+): +(\d+)", done.stderr))
    return f"hand-over program: {counts['number_of_executed_units']} inputs, {counts['peak_rss_mb']} MB"


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the hand-over program for a while.")
    parser.add_argument("--seconds", type=int, default=20)
    seconds = parser.parse_args().seconds
    directory = Path(tempfile.mkdtemp(prefix="fuki-fuzz-"))
    try:
        print(run(build(directory), directory, f"-max_total_time={seconds}"))  # noqa: T201 - a command line tool
    except RuntimeError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
