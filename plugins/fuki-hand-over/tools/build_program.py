"""Build the hand-over program from its sources.

    python plugins/fuki-hand-over/tools/build_program.py DIRECTORY

With the same compiler the same bytes come out. Needs gcc and binutils for x86-64.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from struct import pack_into, unpack_from

SOURCES = Path(__file__).parent.parent / "program"
NAME = "vm-launch-update.bin"
COMPILER = "gcc"
FLAGS = (
    *("-std=c11", "-Os", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-nostdlib", "-fno-strict-aliasing"),
    *("-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-fcf-protection=none", "-fno-ident"),
    *("-fpie", "-mno-red-zone", "-mgeneral-regs-only", "-fno-jump-tables", "-fvisibility=hidden"),
    # Without it, memset() and memcpy() would become calls of themselves.
    *("-fno-tree-loop-distribute-patterns", "-falign-functions=1"),
)
_ELF_ENTRY = 24  # e_entry of a 64-bit ELF header (ELF-64 Object File Format, 2)
_TABLE_ENTRY = 12  # `entry` of the program's table, main.c


def link(directory: Path) -> Path:
    """The program as an ELF file, with what the linker's script asserts of it; `directory` is scratch."""
    objects = []
    for source in sorted(SOURCES.glob("*.c")):
        objects.append(directory / f"{source.stem}.o")
        _run(COMPILER, *FLAGS, "-c", "-o", objects[-1], source.name)
    linked = directory / "program.elf"
    script = ("-T", "program.lds", "--no-warn-rwx-segments")
    _run("ld", "-nostdlib", "-pie", "--no-dynamic-linker", *script, "-o", linked, *objects)
    return linked


def build() -> bytes:
    """The section's content as it is shipped: the table's `entry` is filled in, what images differ in is not."""
    with tempfile.TemporaryDirectory(prefix="fuki-") as directory:
        linked = link(Path(directory))
        plain = linked.with_name(NAME)
        _run("objcopy", "-O", "binary", "-j", ".fuki", linked, plain)
        content = bytearray(plain.read_bytes())
        (entry,) = unpack_from("<Q", linked.read_bytes(), _ELF_ENTRY)
    pack_into("<I", content, _TABLE_ENTRY, entry)
    return bytes(content)


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
    parser = argparse.ArgumentParser(description="Build the hand-over program from its sources.")
    parser.add_argument("directory", type=Path)
    chosen = parser.parse_args(arguments)
    try:
        files = {NAME: build(), "built-with.txt": compiler().encode()}
        for name, data in files.items():
            (chosen.directory / name).write_bytes(data)
            print(f"{chosen.directory / name}: {len(data)} bytes")
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"build_program: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
