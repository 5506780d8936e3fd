"""Build the probes from their sources: an EFI program that stands in for a kernel, and an addon with a first program.

    python plugins/fuki-qemu/tools/build_probes.py --stub linuxx64.efi.stub DIRECTORY

With the same compiler the same bytes come out. Needs gcc and binutils for x86-64, and a stub to lay out the image that
the addon goes with; nothing of either gets into the addon.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import fuki_build
from fuki_build.errors import FukiError
from fuki_build.formats.pe import pe
from fuki_build.formats.pe.pe_checksum import Checksum
from fuki_build.formats.uki import cpio

SOURCES = Path(__file__).parent.parent / "probe"
COMPILER = "gcc"
_FLAGS = (
    *("-std=c11", "-Os", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-nostdlib", "-fno-strict-aliasing"),
    *("-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-fcf-protection=none", "-fno-ident"),
)
_EFI_FLAGS = ("-fpie", "-mno-red-zone", "-mgeneral-regs-only", "-fno-jump-tables", "-fvisibility=hidden")
_LINUX_FLAGS = ("-static", "-fno-pie", "-no-pie", "-s", "-Wl,--build-id=none", "-Wl,-z,noseparate-code")
_RELOCATIONS_STRIPPED = 0x0001
_IMAGE_VERSION = 1
"""systemd-stub refuses kernels of a lower one: they would not take their initrd through LoadFile2 (pe.c)."""

_RECIPE = """\
[fuki]
name = "probe"
[fuki.image]
stub = "{stub}"
linux = "probe.efi"
os-release = {{ text = "ID=probe" }}
uname = "probe"
[[fuki.addon]]
name = "probe"
initrd = "initrd"
cmdline = "rdinit=/.fuki/probe"
uname = ""
"""


def build_efi(directory: Path) -> bytes:
    """The EFI program; `directory` is for what the compiler leaves."""
    compiled, linked, plain = (directory / name for name in ("efi.o", "efi.elf", "efi.pe"))
    _run(COMPILER, *_FLAGS, *_EFI_FLAGS, "-c", "-o", compiled, "efi.c")
    _run("ld", "-nostdlib", "-pie", "--no-dynamic-linker", "-T", "efi.lds", "-o", linked, compiled)
    _run("objcopy", "-O", "efi-app-x86_64", "--subsystem=10", "-j", ".text", linked, plain)
    return _adjust(plain.read_bytes())


def _adjust(data: bytes) -> bytes:
    """What objcopy has no options for: the image may be loaded anywhere, and writes to none of its code."""
    headers = pe.decode(data[: pe.HEAD_SIZE], len(data))
    coff = headers.coff._replace(characteristics=headers.coff.characteristics & ~_RELOCATIONS_STRIPPED)
    optional = headers.optional._replace(
        dll_characteristics=pe.NX_COMPAT, major_image_version=_IMAGE_VERSION, checksum=0
    )
    head = pe.encode(
        pe.PeHeaders(
            dos=headers.dos, coff=coff, optional=optional, directories=headers.directories, sections=headers.sections
        )
    )
    whole = head + data[len(head) :]
    checksum = Checksum()
    checksum.feed(whole)
    at = headers.checksum_offset
    return whole[:at] + checksum.value.to_bytes(4, "little") + whole[at + 4 :]


def build_linux(directory: Path) -> bytes:
    """The program for Linux, an ELF file."""
    program = directory / "linux"
    _run(COMPILER, *_FLAGS, *_LINUX_FLAGS, "-o", program, "linux.c")
    return program.read_bytes()


def build_addon(directory: Path, stub: Path, efi: bytes, linux: bytes) -> bytes:
    """The addon that brings the program for Linux, and makes the kernel start it."""
    (directory / "probe.efi").write_bytes(efi)
    (directory / "initrd").write_bytes(cpio.pack_literal(".fuki", "probe", linux, 0o555, 0o555))
    (directory / "fuki.toml").write_text(_RECIPE.format(stub=stub.resolve()))
    with fuki_build.plan(directory) as planned:
        fuki_build.build(planned, output=directory / "out.efi")
    return (directory / "out.efi.extra.d" / "probe.addon.efi").read_bytes()


def build(stub: Path) -> dict[str, bytes]:
    """All that is shipped, by file name."""
    with tempfile.TemporaryDirectory(prefix="fuki-") as place:
        efi, linux = build_efi(Path(place)), build_linux(Path(place))
        return {"probe.efi": efi, "fuki-probe.addon.efi": build_addon(Path(place), stub, efi, linux)}


def compiler() -> str:
    """The versions of what decides the bytes: of compiler and binutils, a line each."""
    lines = [
        subprocess.run([tool, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
        for tool in (COMPILER, "ld", "objcopy")
    ]
    return "\n".join(lines) + "\n"


def _run(*command: object) -> None:
    subprocess.run([str(word) for word in command], cwd=SOURCES, check=True)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Build the probes from their sources.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--stub", type=Path, required=True)
    chosen = parser.parse_args(arguments)
    try:
        files = build(chosen.stub)
    except (FukiError, subprocess.CalledProcessError, OSError) as error:
        print(f"build_probes: {error}", file=sys.stderr)
        return 1
    for name, data in {**files, "built-with.txt": compiler().encode()}.items():
        (chosen.directory / name).write_bytes(data)
        print(f"{chosen.directory / name}: {len(data)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
