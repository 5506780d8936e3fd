"""Intel TDX: MRTD of TDVF images and IGVM files, and RTMRs as far as files determine them.

Sources: Intel, "TDX Module ABI Specification", TDH.MEM.PAGE.ADD and TDH.MR.EXTEND; "TDX Virtual Firmware Design Guide";
OvmfPkg/Tcg/TdTcg2Dxe in edk2 for the RTMRs.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from fuki_build.errors import FormatError
from fuki_build.formats.confidential import igvm, ovmf
from fuki_build.formats.confidential.igvm import Igvm, PageData, ParameterArea, ParameterInsert
from fuki_build.formats.confidential.ovmf import MR_EXTEND, PAGE_AUG, TdxKind, TdxSection
from fuki_build.formats.reader import Reader
from fuki_build.hooks import (
    LaunchDigest,
    LaunchModel,
    LaunchNote,
    LaunchParameters,
    LaunchPrediction,
    LaunchSearch,
    LaunchStep,
    NearLaunch,
    RuntimeRegister,
)
from msgspec.structs import replace

from fuki_coco.igvm_snp import inserted, mask_of
from fuki_coco.memory import MAX_FIRMWARE, MAX_LAUNCH, PAGE, check_apart, check_range, check_ranges, unknown_vmms
from fuki_coco.mrtd import SIZE, Order, TdxMemory, cut, mrtd
from fuki_coco.vcpus import Vmm

_WITHOUT_CONTENT = (TdxKind.TD_HOB, TdxKind.TEMP_MEM, TdxKind.PERM_MEM)
"""Kinds of sections that are memory without content."""
_RTMR1_EVENTS = (
    b"Calling EFI Application from Boot Option",
    bytes(4),  # the separator
    b"Exit Boot Services Invocation",
    b"Exit Boot Services Returned with Success",
)
"""edk2's measurements after the kernel that it got from the hypervisor, before the kernel runs on its own."""
_NOTES = {
    "RTMR0": "depends on the size of memory and on the hypervisor's ACPI tables, which no file of the image decides",
    "RTMR1": "without a kernel that the hypervisor boots, has the disk's partition table in it",
    "RTMR2": "has the image's sections in it, or the command line of a bare kernel as the firmware passes it on",
    "RTMR3": "starts as zeros; what is in it is the running system's choice",
}
_HYPERV = "under Hyper-V a paravisor stands between the firmware and the registers"


class Tdx(LaunchModel):
    """Intel TDX.

    >>> Tdx().predict(bytes(4096), LaunchParameters()) is None
    True
    """

    name = "tdx"
    title = "Intel TDX"
    vmms = (Vmm.QEMU, Vmm.GCE, Vmm.HYPERV)
    runtime = True

    def predict(self, firmware: bytes, parameters: LaunchParameters) -> LaunchPrediction | None:
        sections = _sections(firmware)
        if sections is None:
            return None

        unknown = unknown_vmms(self, parameters)
        if len(unknown) == len(parameters.vmms):
            return LaunchPrediction(notes=unknown)

        # Each page of an IGVM file is a section of its own, so that both orders are one; GCE has one order.
        single = Vmm.QEMU not in parameters.vmms or igvm.decode_header(firmware[: igvm.HEADER_SIZE])
        orders = [Order.SINGLE_PASS] if single else list(Order)

        digests = [
            LaunchDigest(
                technology=self.name,
                register="MRTD",
                algorithm="sha384",
                digest=mrtd(sections, order).hex(),
                variant=order,
            )
            for order in orders
        ]

        registers = tuple(_runtime(parameters))
        digests += [
            LaunchDigest(
                technology=self.name,
                register=register.name,
                algorithm="sha384",
                digest=register.digest.hex(),
                boot=register.boot,
            )
            for register in registers
            if register.digest is not None
        ]

        notes = [LaunchNote(self.name, f"{name} {text}") for name, text in _notes(registers)]
        return LaunchPrediction(tuple(digests), (*unknown, *notes))

    def search(self, firmware: bytes, parameters: LaunchParameters, digest: bytes) -> LaunchSearch | None:
        search = super().search(firmware, parameters, digest) if len(digest) == SIZE else LaunchSearch()
        sections = _sections(firmware)
        if search is None or search.found or sections is None or len(digest) != SIZE:
            return search
        return replace(search, near=tuple(self._cuts(sections, digest)))

    def _cuts(self, sections: list[TdxMemory], digest: bytes) -> Iterator[NearLaunch]:
        """Launches that have the digest before all memory was added."""
        for order in Order:
            last = cut(sections, order, digest)
            if last is not None:
                row = LaunchDigest(
                    technology=self.name, register="MRTD", algorithm="sha384", digest=digest.hex(), variant=order
                )
                change = f"nothing was measured behind {last[0]} at {last[1]:#x}"
                yield NearLaunch(launch=row, change=change)

    def steps(self, firmware: bytes, parameters: LaunchParameters) -> Iterator[LaunchStep]:  # noqa: ARG002
        for section in _sections(firmware) or ():
            for number, address in enumerate(range(section.address, section.address + section.size, PAGE)):
                if section.content is None:
                    yield LaunchStep(section.part, "added", address)
                else:
                    page = section.content[number * PAGE : (number + 1) * PAGE]
                    yield LaunchStep(section.part, "extended", address, hashlib.sha384(page).hexdigest())


def _runtime(parameters: LaunchParameters) -> Iterator[RuntimeRegister]:
    """RTMRs of the image as a whole, or those that can be predicted when a hypervisor boots a kernel."""
    if set(parameters.vmms) == {Vmm.HYPERV}:
        for register in parameters.runtime:
            yield RuntimeRegister(register.name, register.boot, None, _HYPERV)
    elif parameters.runtime:
        yield from parameters.runtime
    else:
        for boot in parameters.boots:
            if boot is not None and boot.authenticode is not None:
                yield RuntimeRegister("RTMR1", boot.name, rtmr1(boot.authenticode))


def _notes(registers: tuple[RuntimeRegister, ...]) -> Iterator[tuple[str, str]]:
    """The name of each RTMR that cannot be predicted, or not for every boot, with the reason."""
    for name, text in _NOTES.items():
        predicted = [register for register in registers if register.name == name]
        if not predicted:
            yield name, text

        reasons: dict[str, list[str]] = {}
        for register in predicted:
            if register.digest is None:
                reasons.setdefault(register.unknown, []).append(register.boot)

        for reason, boots in reasons.items():
            yield name, f"of {', '.join(boots)} cannot be told: {reason}"


def rtmr1(authenticode: bytes) -> bytes:
    """RTMR1 after the kernel, an EFI image with this SHA-384 digest, has taken over from the firmware."""
    register = bytes(48)
    for digest in (authenticode, *(hashlib.sha384(event).digest() for event in _RTMR1_EVENTS)):
        register = hashlib.sha384(register + digest).digest()
    return register


def _sections(firmware: bytes) -> list[TdxMemory] | None:
    """The memory added at launch; None if the firmware is not made for TDX. Raises `FormatError`."""
    file = igvm.decode(Reader.of(firmware))
    if file is not None:
        mask = mask_of(file, igvm.IgvmPlatform.TDX)
        return None if mask is None else _checked(list(_igvm_sections(file, mask)))

    image = ovmf.decode(Reader.of(firmware))
    if image is None or image.tdx is None:
        return None

    if len(firmware) > MAX_FIRMWARE:
        raise FormatError(f"the firmware has {len(firmware)} bytes, more than the {MAX_FIRMWARE} that it may have")
    _check_sections(image.tdx, len(firmware))

    added = [section for section in image.tdx if not section.attributes & PAGE_AUG and section.memory_size]
    return [_tdvf_section(section, firmware) for section in added]


def _check_sections(sections: Sequence[TdxSection], size: int) -> None:
    """Raise `FormatError` for metadata with which no hypervisor launches a guest; `size` is the firmware's.

    Sections without memory and content are ignored, as hypervisors do: builds leave them in.
    """
    for section in sections:
        _check_section(section, size)

    kinds = [section.kind for section in sections]
    if TdxKind.BFV not in kinds:
        raise FormatError("the TDX metadata have no BFV section: no firmware would be loaded, and nothing measured")
    if kinds.count(TdxKind.TD_HOB) > 1:
        raise FormatError("the TDX metadata have more than one TD_HOB section")

    extended = sum(section.memory_size for section in sections if section.attributes & MR_EXTEND)
    if extended > MAX_FIRMWARE:
        raise FormatError(f"the TDX metadata would measure {extended:#x} bytes, more than {MAX_FIRMWARE:#x}")
    check_ranges(_ranges(section for section in sections if not section.attributes & PAGE_AUG))
    check_apart(_ranges(sections))


def _ranges(sections: Iterable[TdxSection]) -> Iterator[tuple[str, int, int]]:
    for section in sections:
        yield f"the {ovmf.kind_name(TdxKind, section.kind)} section", section.address, section.memory_size


def _check_section(section: TdxSection, size: int) -> None:
    """The design guide's rules for each kind, and those of QEMU's tdvf.c."""
    name = ovmf.kind_name(TdxKind, section.kind)
    if section.kind not in list(TdxKind):
        raise FormatError(f"the TDX metadata have a section of the unknown kind {name}")

    # Attributes: only PERM_MEM may be added later, and what is added later cannot be measured at launch.
    if section.attributes & ~(MR_EXTEND | PAGE_AUG):
        raise FormatError(f"the {name} section has the unknown attributes {section.attributes:#x}")
    if section.attributes & PAGE_AUG and section.kind != TdxKind.PERM_MEM:
        raise FormatError(f"the {name} section is to be added when the guest runs, which only PERM_MEM may be")
    if section.attributes & MR_EXTEND and section.attributes & PAGE_AUG:
        raise FormatError(f"the {name} section is to be measured, and to be added only when the guest runs")

    # Sizes: content must be in the firmware, and fit into the memory that is added for it.
    if section.kind == TdxKind.BFV and not (section.memory_size and section.raw_size):
        raise FormatError("the BFV section is empty: no firmware would be loaded")
    if section.kind in _WITHOUT_CONTENT and section.raw_size:
        raise FormatError(f"the {name} section has {section.raw_size:#x} bytes of content, which nobody loads")
    if section.raw_size > section.memory_size:
        raise FormatError(f"the {name} section has {section.raw_size:#x} bytes and room for {section.memory_size:#x}")
    if section.raw_size and section.offset + section.raw_size > size:
        raise FormatError(f"the content of the {name} section lies outside the firmware")


def _tdvf_section(section: TdxSection, firmware: bytes) -> TdxMemory:
    name = ovmf.kind_name(TdxKind, section.kind)
    content = None
    if section.attributes & MR_EXTEND:
        content = firmware[section.offset : section.offset + section.raw_size].ljust(section.memory_size, b"\0")
    return TdxMemory(f"TDX metadata, {name}", section.address, section.memory_size, content)


def _checked(sections: list[TdxMemory]) -> list[TdxMemory]:
    """The memory added by an IGVM file. Raises `FormatError` for a file that adds none, or a page twice."""
    if not sections:
        raise FormatError("the IGVM file adds no memory for TDX: nothing would be measured")
    check_apart((section.part, section.address, section.size) for section in sections)
    return sections


def _igvm_sections(file: Igvm, mask: int) -> Iterator[TdxMemory]:
    """Each page is a section, in file order: IGVM loaders add a page and its content at once.

    Source: microsoft/igvm, igvm/src/measurement/tdx.rs.
    """
    areas: dict[int, int] = {}
    remaining = MAX_LAUNCH

    for directive in file.of(mask):
        match directive:
            case ParameterArea():
                areas[directive.area] = directive.size
            case ParameterInsert():
                for page in inserted(directive, areas):
                    remaining = _take(remaining, PAGE)
                    yield TdxMemory(page.part, page.address, PAGE, None)
            case PageData() if not directive.shared:
                remaining = _take(remaining, directive.size)
                check_range("page data", directive.gpa, directive.size)
                content = None if directive.unmeasured else file.page(directive) or bytes(directive.size)
                yield TdxMemory("page data", directive.gpa, directive.size, content)


def _take(remaining: int, size: int) -> int:
    if size > remaining:
        raise FormatError(f"the IGVM file adds more than {MAX_LAUNCH:#x} bytes of memory")
    return remaining - size
