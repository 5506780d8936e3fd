"""Rules about `.cmdline`: what of it reaches the kernel."""

import re
from collections.abc import Mapping

from fuki_build.checks.places import sections
from fuki_build.formats.pe.pe import CoffMachine
from fuki_build.formats.uki.kernel import x86_command_line_limit
from fuki_build.hooks.rules import CheckSubject, Problem, Problems, Rule, Severity
from fuki_build.image.section import Section
from fuki_build.image.stub import UNNUMBERED

_MAX_SIZE = 1024 * 1024
_STARTS_EMPTY = (257, 0)
"""The first stub that is known to start with an empty command line."""
_BLANK = bytes(range(0x21))
"""What the stub strips from both ends."""

_LIMITS: Mapping[int, int] = {
    CoffMachine.aa64: 2048,
    CoffMachine.arm: 1024,
    CoffMachine.riscv64: 1024,
    CoffMachine.loongarch64: 4096,
}
"""COMMAND_LINE_SIZE of Linux, with the NUL at the end; x86 kernels tell theirs."""
_X86_LIMIT = 2048
_SHORTEST_LIMIT = min(_LIMITS.values())
_RISCV_LIMIT = (7, 1), 2048
"""What it became for RISC-V, and when."""


def _text(section: Section) -> bytes:
    """What the stub takes of a `.cmdline`: up to the first NUL, without blanks around it."""
    return section.content.read_at(0, _MAX_SIZE).partition(b"\0")[0].strip(_BLANK)


def empty(subject: CheckSubject) -> Problems:
    stub = subject.layout.stub
    if stub is None or not UNNUMBERED < stub.numbers < _STARTS_EMPTY:
        return
    for section, where in sections(subject, ".cmdline"):
        if section.content.size <= _MAX_SIZE and not _text(section):
            yield Problem(
                f"the command line is empty: {stub} may hang",
                where=where,
                hint="leave the section out, give a parameter such as 'quiet', or use the stub of systemd 257 or newer",
            )


def altered(subject: CheckSubject) -> Problems:
    for section, where in sections(subject, ".cmdline"):
        data = section.content.read_at(0, _MAX_SIZE)
        text, _, rest = data.partition(b"\0")
        if rest.strip(b"\0"):
            yield Problem(f"what follows the NUL at byte {len(text)} does not reach the kernel", where=where)
        try:
            decoded = text.decode()
        except UnicodeDecodeError as error:
            yield Problem(f"it is not UTF-8 at byte {error.start}, where the stub leaves characters out", where=where)
            continue
        beyond = next((character for character in decoded if ord(character) > 0xFFFF), None)
        if beyond:
            yield Problem(f"the stub leaves out the character U+{ord(beyond):X}", where=where)


def too_long(subject: CheckSubject) -> Problems:
    for section, where in sections(subject, ".cmdline"):
        size = len(_text(section)) if section.content.size <= _MAX_SIZE else section.content.size
        limit = _limit(subject, section.profile) if size >= _SHORTEST_LIMIT else size
        if size > limit:
            yield Problem(
                f"the command line has {size} bytes, the kernel reads {limit}",
                where=where,
                hint="make it shorter, or move parameters into files of the initrd",
            )


def _limit(subject: CheckSubject, profile: int | None) -> int:
    """Bytes that the kernel of a profile reads, without the NUL at the end."""
    machine = subject.layout.headers.coff.machine
    parts = {section.name: section for section in reversed(subject.layout.effective(profile))}
    if machine in (CoffMachine.x64, CoffMachine.ia32):
        told = x86_command_line_limit(parts[".linux"].content.reader) if ".linux" in parts else None
        return told or _X86_LIMIT - 1
    since, newer = _RISCV_LIMIT
    if machine == CoffMachine.riscv64 and ".uname" in parts and _release(parts[".uname"]) >= since:
        return newer - 1
    return _LIMITS.get(machine, _MAX_SIZE) - 1


def _release(section: Section) -> tuple[int, int]:
    numbers = re.match(rb"(\d{1,4})\.(\d{1,4})", section.content.read_at(0, 16))
    return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)


RULES = (
    Rule(
        id="cmdline-empty",
        severity=Severity.ERROR,
        summary="A command line that is there is not empty",
        explanation="Stubs before systemd 257 were seen to hang when .cmdline holds a NUL and nothing else "
        "(systemd/mkosi pull request 2881). An image needs no .cmdline; 257.13 and 262.1 start with an empty one.",
        check=empty,
    ),
    Rule(
        id="cmdline-altered",
        severity=Severity.WARNING,
        summary="The command line reaches the kernel as it is",
        explanation="The stub takes .cmdline up to the first NUL, and leaves out what is not UTF-8 and characters "
        "beyond U+FFFF.",
        check=altered,
    ),
    Rule(
        id="cmdline-too-long",
        severity=Severity.ERROR,
        summary="The kernel reads the whole command line",
        explanation="Linux cuts what is longer than its COMMAND_LINE_SIZE, and its last parameters are lost without "
        "an error: 2048 bytes with the NUL at the end on x86 and arm64, 1024 on arm, 4096 on LoongArch, 1024 on "
        "RISC-V and 2048 from Linux 7.1 on. An x86 kernel tells its own limit. What addons append counts too, and is "
        "not known here.",
        check=too_long,
    ),
)
