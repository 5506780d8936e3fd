"""Parts for images of tests: a stub, a kernel and firmware that can be built into an image, and that no machine starts.

They stand for real ones where a test is about a plugin and not about starting.
"""

from pathlib import Path

from fuki_build.formats.pe import pe
from fuki_build.formats.pe.pe import CoffMachine, SectionHeader
from fuki_build.formats.uefi import volumes

_SLOTS = 40
_ALIGNMENT = 0x1000
_SBAT = (
    b"sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\n"
    b"systemd-stub,1,The systemd Developers,systemd,262.1,https://systemd.io/\n"
)
_HALT = b"\xf4\xeb\xfd"
"""hlt, and back to it."""
_FIRMWARE_SIZE = 64 * 1024
_VOLUME_HEADER = 0x48


def write_parts(directory: Path) -> Path:
    """Write `stub`, `vmlinuz` and `firmware.fd` into a directory, which is returned: what `recipe` expects, for x64.

    The stub tells systemd-stub's version 262.1, the first that selects firmware. Files that are there are replaced.
    """
    (directory / "stub").write_bytes(
        efi_program({".text": _HALT, ".sbat": _SBAT, ".sdmagic": b"#### LoaderInfo: systemd-stub 262.1 ####\0"})
    )
    (directory / "vmlinuz").write_bytes(efi_program({".text": _HALT, ".sbat": _SBAT.partition(b"\n")[0] + b"\n"}))
    (directory / "firmware.fd").write_bytes(firmware())
    return directory


def firmware(size: int = _FIRMWARE_SIZE) -> bytes:
    """A firmware image of one volume, as edk2 has them, which is empty but for what stands at the reset vector."""
    volume = volumes.HEADER.pack(volumes.FFS2.bytes_le, size, b"_FVH", 0, _VOLUME_HEADER)
    return (bytes(16) + volume).ljust(_VOLUME_HEADER, b"\0") + _HALT.ljust(16, b"\x90").rjust(
        size - _VOLUME_HEADER, b"\xff"
    )


def efi_program(sections: dict[str, bytes], machine: CoffMachine = CoffMachine.x64) -> bytes:
    """An EFI application with these sections, which starts at the first one, `.text`."""
    headers = pe.minimal_image(machine, _SLOTS)
    alignment = headers.optional.file_alignment
    offset, address = headers.optional.size_of_headers, _ALIGNMENT

    placed: list[SectionHeader] = []
    contents = b""
    for name, content in sections.items():
        # systemd-stub starts no kernel that has more of a section in the file than in memory: padding counts.
        raw = content.ljust(pe.align(len(content), alignment), b"\0")
        placed.append(
            SectionHeader(
                raw_name=name.encode().ljust(8, b"\0"),
                virtual_size=len(raw),
                virtual_address=address,
                raw_size=len(raw),
                raw_offset=offset,
                relocations=0,
                line_numbers=0,
                number_of_relocations=0,
                number_of_line_numbers=0,
                flags=pe.SCN_READ | (pe.SCN_CODE | pe.SCN_EXECUTE if name == ".text" else pe.SCN_DATA),
            )
        )
        contents += raw
        offset += len(raw)
        address = pe.align(address + len(raw), _ALIGNMENT)

    optional = headers.optional._replace(
        address_of_entry_point=placed[0].virtual_address, size_of_code=placed[0].raw_size, size_of_image=address
    )
    whole = pe.PeHeaders(
        dos=headers.dos, coff=headers.coff, optional=optional, directories=headers.directories, sections=()
    )
    return pe.encode(whole.with_sections(tuple(placed))) + contents
