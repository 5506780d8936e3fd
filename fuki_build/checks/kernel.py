"""Rules about the kernel, and how the stub loads it."""

from collections.abc import Iterator
from typing import NamedTuple

from fuki_build.checks.places import at, sections
from fuki_build.errors import FormatError
from fuki_build.formats.pe import pe
from fuki_build.formats.pe.pe import CoffMachine, PeHeaders
from fuki_build.formats.uki import loader_info
from fuki_build.hooks.rules import CheckSubject, Problem, Problems, Rule, Severity
from fuki_build.image.image import ImageKind
from fuki_build.image.section import Section
from fuki_build.image.stub import PROGRAMS

_PAGE = 4096
_GIVE_KERNEL = "give the kernel alone, as the distribution installs it (vmlinuz)"


class _Kernel(NamedTuple):
    section: Section
    headers: PeHeaders
    where: str

    @property
    def names(self) -> set[str]:
        return {header.name for header in self.headers.sections}


def _decode(section: Section) -> PeHeaders:
    return pe.decode(section.content.read_at(0, pe.HEAD_SIZE), section.content.size)


def _kernels(subject: CheckSubject) -> Iterator[_Kernel]:
    """The kernels that are EFI executables."""
    for section, where in sections(subject, ".linux"):
        try:
            yield _Kernel(section, _decode(section), where)
        except FormatError:
            continue


def not_startable(subject: CheckSubject) -> Problems:
    stub = subject.layout.headers.coff.machine
    for section, where in sections(subject, ".linux"):
        try:
            kernel = _Kernel(section, _decode(section), where)
        except FormatError as error:
            yield Problem(f"the kernel cannot be started by EFI: {error.message}", where=where)
            continue

        machine = kernel.headers.coff.machine
        # A kernel with CONFIG_EFI_MIXED tells in .compat where 32-bit firmware is to enter it.
        mixed = (stub, machine) == (CoffMachine.ia32, CoffMachine.x64) and ".compat" in kernel.names
        if machine != stub and not mixed:
            yield Problem(
                f"the kernel is for {kernel.headers.machine_name}, the stub for {subject.layout.machine}",
                where=where,
                hint="take stub and kernel of one architecture",
            )
        # x86 has an older way of starting kernels, which the stub knows too.
        elif machine not in (CoffMachine.x64, CoffMachine.ia32) and kernel.headers.optional.major_image_version < 1:
            yield Problem(
                "the kernel is older than Linux 5.8: it cannot get its initrd from the stub",
                where=where,
                hint="take a newer kernel",
            )


def missing(subject: CheckSubject) -> Problems:
    layout = subject.layout
    if layout.kind is not ImageKind.UKI:
        return
    for profile in layout.profiles or (None,):
        if not any(s.name == ".linux" for s in layout.effective(profile)):
            yield Problem("there is no kernel", where=at(".linux", profile))


def another_image(subject: CheckSubject) -> Problems:
    for kernel in _kernels(subject):
        if _is_image(kernel):
            whole = "a whole image with a kernel of its own"
            kind = whole if ".linux" in kernel.names else PROGRAMS[_program(kernel)]
            yield Problem(f"the kernel is {kind}", where=kernel.where, hint=_GIVE_KERNEL)


def _is_image(kernel: _Kernel) -> bool:
    return ".linux" in kernel.names or _program(kernel) in PROGRAMS


def _program(kernel: _Kernel) -> str:
    """Which of systemd's programs it says it is; empty where it says nothing."""
    for header in kernel.headers.sections:
        if header.name == ".sdmagic" and header.raw_size:
            info = loader_info.decode(kernel.section.content.read_at(header.raw_offset, header.content_size))
            return info.program if info else ""
    return ""


def refused(subject: CheckSubject) -> Problems:
    if not subject.layout.model.loads_kernel:
        return
    for kernel in _kernels(subject):
        if _is_image(kernel):
            continue
        for reason in _refusals(kernel.headers, kernel.section.content.size):
            yield Problem(
                f"the stub refuses the kernel: {reason}",
                where=kernel.where,
                hint="take another kernel, or the stub of systemd 257",
            )

        base = kernel.headers.optional.image_base
        if base and subject.layout.model.needs_image_base_0:
            yield Problem(
                f"{subject.layout.stub or 'the stub'} cannot load a kernel of ImageBase {base:#x}",
                where=kernel.where,
                hint="use a stub of systemd 258.3, 259.1 or newer, or a kernel whose ImageBase is 0",
            )


def _refusals(headers: PeHeaders, size: int) -> Iterator[str]:
    directories, limit = headers.directories, headers.optional.size_of_image
    if len(directories) > pe.RELOCATION_DIRECTORY and directories[pe.RELOCATION_DIRECTORY].size:
        yield "it has base relocations"

    for header in headers.sections:
        if header.relocations:
            yield f"its section {header.name} has relocations"
        elif not header.raw_size:
            continue
        elif header.raw_size > header.virtual_size:
            yield f"its section {header.name} has {header.raw_size} bytes in the file, {header.virtual_size} in memory"
        elif header.virtual_address + header.virtual_size > limit:
            yield f"its section {header.name} ends beyond its SizeOfImage"
        elif header.raw_offset + header.raw_size > size:
            yield f"its section {header.name} ends beyond its file"


def unaligned(subject: CheckSubject) -> Problems:
    model = subject.layout.model
    for kernel in _kernels(subject) if not model.aligns_kernel else ():
        alignment = kernel.headers.optional.section_alignment
        if alignment > _PAGE:
            yield Problem(
                f"{subject.layout.stub or 'the stub'} does not keep the kernel's alignment of {alignment // 1024} KiB",
                where=kernel.where,
                hint="use the stub of systemd 262 or newer, or of 257",
            )


RULES = (
    Rule(
        id="kernel-not-startable",
        severity=Severity.ERROR,
        summary="The kernel is an EFI executable for the stub's machine",
        explanation="The stub loads .linux as an EFI image. A kernel of another format or architecture, or older than "
        "Linux 5.8 on other machines than x86, fails only at boot. An x64 kernel with a .compat section starts from a "
        "stub for ia32.",
        check=not_startable,
    ),
    Rule(
        id="kernel-missing",
        severity=Severity.ERROR,
        summary="Every profile has a kernel",
        explanation="A profile sees its own sections over those of the base; one of the two must have .linux.",
        check=missing,
    ),
    Rule(
        id="kernel-is-image",
        severity=Severity.ERROR,
        summary="The kernel is no UKI, stub or boot loader",
        explanation="A whole image in .linux has sections and measurements of its own. The stub since systemd 258 "
        "refuses it, for it has base relocations; with an older one, two stubs measure and choose, one after the "
        "other.",
        check=another_image,
    ),
    Rule(
        id="kernel-refused",
        severity=Severity.ERROR,
        summary="The stub can load the kernel",
        explanation="The stub since systemd 258 loads the kernel itself, and refuses one with base relocations (some "
        "of Ubuntu's for arm64: systemd pull request 41421) or with sections that do not fit. 258.0 to 258.2 and "
        "259.0 refuse one whose ImageBase is not 0, as that of Linux 5.15 for x86 (systemd issue 40342). With Secure "
        "Boot and shim, the stub has the kernel loaded for it: those who always start so can silence this.",
        check=refused,
    ),
    Rule(
        id="kernel-alignment",
        severity=Severity.WARNING,
        summary="The stub loads the kernel at an address that it is built for",
        explanation="Kernels for arm64 want to begin at a multiple of 64 KiB. The stub of systemd 258 to 261 places "
        'them at any page: they say "FIRMWARE BUG: kernel image not aligned on 64k boundary", and move themselves, '
        "which fails where memory is short (systemd issue 42443).",
        check=unaligned,
    ),
)
