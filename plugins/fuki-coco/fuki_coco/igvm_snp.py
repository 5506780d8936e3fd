"""SEV-SNP launch digests of IGVM files, as Hyper-V and as KVM launch them.

Sources: microsoft/igvm, igvm/src/measurement/snp.rs; coconut-svsm, igvmmeasure; backends/igvm.c in QEMU.
"""

from collections.abc import Iterator

from fuki_build.errors import FormatError
from fuki_build.formats.confidential.igvm import (
    Igvm,
    IgvmPlatform,
    PageData,
    PageKind,
    ParameterArea,
    ParameterInsert,
    SnpIdBlock,
    VpContext,
)
from fuki_build.formats.confidential.reset_registers import VMSA_ADDRESS
from fuki_build.hooks import LaunchDigest, LaunchNote, LaunchParameters, LaunchPrediction, LaunchSearch, NearLaunch
from msgspec.structs import replace

from fuki_coco.memory import MAX_LAUNCH, PAGE, check_range
from fuki_coco.memory import pages as split
from fuki_coco.snp_digest import START, Page, SnpPageType, ended, extend, page_of, trail
from fuki_coco.vcpus import Vmm

_VMMS = (Vmm.QEMU, Vmm.HYPERV)
_KINDS = {
    PageKind.SECRETS: SnpPageType.SECRETS,
    PageKind.CPUID: SnpPageType.CPUID,
    PageKind.CPUID_XF: SnpPageType.CPUID,
}
_ZEROS = bytes(PAGE)


def predict(file: Igvm, parameters: LaunchParameters, technology: str) -> LaunchPrediction | None:
    """The digests under QEMU (with KVM) and Hyper-V; the file alone determines how many vCPUs are measured."""
    if mask_of(file, IgvmPlatform.SEV_SNP) is None:
        return None

    digests, notes = [], []
    for vmm in parameters.vmms:
        if vmm not in _VMMS:
            notes.append(LaunchNote(technology, f"{vmm} does not launch IGVM files"))
            continue

        flaw = _kvm_flaw(file) if vmm == Vmm.QEMU else None
        if flaw is not None:
            notes.append(LaunchNote(technology, f"KVM cannot launch this file as it is measured: {flaw}"))
            continue

        digest = extend(START, pages(file, vmm))
        digests.append(
            LaunchDigest(
                technology=technology,
                register="MEASUREMENT",
                algorithm="sha384",
                digest=digest.hex(),
                vmm=vmm,
                variant="igvm",
            )
        )
        notes += [LaunchNote(technology, text) for text in _id_block_flaws(file, vmm, digest)]

    if parameters.boots != (None,):
        notes.append(LaunchNote(technology, "an IGVM file holds all that is measured: nothing is injected"))

    return LaunchPrediction(tuple(digests), tuple(notes))


def with_cuts(search: LaunchSearch, file: Igvm, parameters: LaunchParameters, digest: bytes) -> LaunchSearch:
    """The search, with launches that have the digest before all pages of the file were measured."""
    near = []
    for vmm in parameters.vmms if mask_of(file, IgvmPlatform.SEV_SNP) is not None else ():
        added = list(pages(file, vmm)) if vmm in _VMMS else []
        steps = trail(START, added)
        if digest in steps[:-1]:
            row = LaunchDigest(
                technology="sev-snp",
                register="MEASUREMENT",
                algorithm="sha384",
                digest=digest.hex(),
                vmm=vmm,
                variant="igvm",
            )
            near.append(NearLaunch(launch=row, change=ended(added[steps.index(digest)])))
    return replace(search, near=tuple(near))


def mask_of(file: Igvm, platform: IgvmPlatform) -> int | None:
    """The bit that stands for a platform in the file's headers; None if it is not supported."""
    return next((supported.mask for supported in file.platforms if supported.platform == platform), None)


def pages(file: Igvm, vmm: str) -> Iterator[Page]:
    """Every page in file order. Raises `FormatError` for a file that adds too much memory, or is not for SEV-SNP."""
    mask = mask_of(file, IgvmPlatform.SEV_SNP)
    if mask is None:
        raise FormatError("the IGVM file does not support SEV-SNP")

    remaining = MAX_LAUNCH // PAGE
    for page in _pages(file, mask, SnpPageType.ZERO if vmm == Vmm.QEMU else SnpPageType.NORMAL):
        if (remaining := remaining - 1) < 0:
            raise FormatError(f"the IGVM file adds more than {MAX_LAUNCH:#x} bytes of memory")
        yield page


def _pages(file: Igvm, mask: int, empty: SnpPageType) -> Iterator[Page]:
    areas: dict[int, int] = {}

    for directive in file.of(mask):
        match directive:
            case ParameterArea():
                areas[directive.area] = directive.size
            case ParameterInsert():
                yield from inserted(directive, areas)
            case PageData() if not directive.shared:
                yield from _data(file, directive, empty)
            case VpContext():
                part = f"vCPU {directive.vp_index}"
                check_range(part, directive.gpa, PAGE)
                yield page_of(part, SnpPageType.VMSA, directive.gpa, file.context(directive))


def inserted(directive: ParameterInsert, areas: dict[int, int]) -> Iterator[Page]:
    """A parameter area's pages; the loader's content is not measured."""
    if directive.area not in areas:
        raise FormatError(f"the IGVM file inserts parameter area {directive.area}, which it does not declare")
    part, size = f"parameter area {directive.area}", areas[directive.area]

    check_range(part, directive.gpa, size)
    for address in range(directive.gpa, directive.gpa + size, PAGE):
        yield Page(part, SnpPageType.UNMEASURED, address)


def _data(file: Igvm, directive: PageData, empty: SnpPageType) -> Iterator[Page]:
    check_range("page data", directive.gpa, directive.size)
    addresses = range(directive.gpa, directive.gpa + directive.size, PAGE)
    if directive.kind not in list(PageKind):
        raise FormatError(f"the IGVM file has page data of the unknown kind {directive.kind:#x}")

    kind = _KINDS.get(PageKind(directive.kind))
    if kind is not None and kind is not SnpPageType.NORMAL:
        yield from (Page(f"{kind.name} page", kind, address) for address in addresses)
        return

    content = file.page(directive)
    for number, address in enumerate(addresses):
        if directive.unmeasured:
            yield Page("page data", SnpPageType.UNMEASURED, address)
        elif content:
            yield page_of("page data", SnpPageType.NORMAL, address, split(content)[number])
        elif empty is SnpPageType.ZERO:
            yield Page("empty page", SnpPageType.ZERO, address)
        else:
            yield page_of("empty page", SnpPageType.NORMAL, address, _ZEROS)


def _kvm_flaw(file: Igvm) -> str | None:
    """Why KVM cannot launch a file: it adds exactly one VMSA, at the end and at its own address."""
    mask = mask_of(file, IgvmPlatform.SEV_SNP) or 0
    added = [d for d in file.of(mask) if isinstance(d, PageData | ParameterInsert | VpContext)]
    contexts = [d for d in added if isinstance(d, VpContext)]
    if len(contexts) != 1:
        return f"it has the registers of {len(contexts)} vCPUs instead of one"
    if added[-1] is not contexts[0]:
        return "pages follow the registers, which KVM measures last"
    if contexts[0].gpa != VMSA_ADDRESS:
        return f"its registers are at {contexts[0].gpa:#x} instead of {VMSA_ADDRESS:#x}"
    return None


def _id_block_flaws(file: Igvm, vmm: str, digest: bytes) -> Iterator[str]:
    for directive in file.of(mask_of(file, IgvmPlatform.SEV_SNP) or 0):
        if isinstance(directive, SnpIdBlock) and directive.launch_digest != digest:
            yield f"the file's own ID block is for another digest than {vmm} measures: {directive.launch_digest.hex()}"
