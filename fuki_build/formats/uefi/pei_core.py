"""What the PEI core keeps in the volume that it runs from, out of its code.

Built with OVMF's timer, it notes the port of the ACPI timer there, before any driver runs: as a constant for some
machines, for others as it finds it (edk2's OvmfPkg/Library/AcpiTimerLib/BaseAcpiTimerLib.c). Debian's builds of edk2
2025.02, and amdsev of 2026.08, have just these two stores in their core, those of 2020.11, 2022.11 and the others of
2026.08 none.
"""

from fuki_build.errors import FormatError
from fuki_build.formats.uefi.firmware_files import FileType, SectionType, files, sections
from fuki_build.formats.uefi.own_stores import own_stores

_TIMER_PORT = 0x608
"""What the constant is: OvmfPkg/Include/IndustryStandard/CloudHv.h."""
PORT_SIZE = 4


def noted_port(volume: bytes) -> int | None:
    """The offset in a volume at which its core notes the timer's port, in 4 bytes; None if it writes nothing there.

    Raises `FormatError` where the code does not tell.
    """
    base, program = _core(volume)
    stores = own_stores(program)
    if not stores:
        return None

    (first, *others) = {store.target for store in stores}
    if others or all(store.constant != _TIMER_PORT for store in stores):
        raise FormatError("its PEI core keeps data in the volume of which it is not known what they are")
    if base + first + PORT_SIZE > len(volume):
        raise FormatError("its PEI core writes behind the volume")
    return base + first


def _core(volume: bytes) -> tuple[int, bytes]:
    for file in files(volume):
        if file.type == FileType.PEI_CORE:
            for section in sections(file.content):
                if section.type == SectionType.PE32:
                    return file.offset + section.offset, section.content
    raise FormatError("it has no PEI core in the form that is looked at, PE32")
