"""The program's own sources, compiled for this machine, on a bench of EFI services, memory and fw_cfg (bench/)."""

import ctypes
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import pack

from fuki_build.formats.pe import pe
from fuki_build.formats.pe.minimal_image import minimal_image
from fuki_build.formats.uki import hand_over_outcome
from fuki_build.formats.uki.hand_over_outcome import HandOverOutcome

HERE = Path(__file__).parent
PROGRAM = HERE.parents[1] / "program"
SOURCES = (
    *sorted(path for path in PROGRAM.glob("*.c") if path.name not in {"main.c", "memory.c"}),
    HERE / "bench" / "bench.c",
)
FLAGS = ("-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fno-strict-aliasing", "-DFUKI_TEST_MACHINE")
TOP = 1 << 32
LASTING, LOCK, POWER_OFF = 1, 2, 4
COLD_RESET, SHUTDOWN = 0, 2


def _fields() -> list[tuple[str, type]]:
    pointer, size, number = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32
    return [
        *(("image", pointer), ("image_size", size), ("smbios", pointer), ("smbios_size", size)),
        *(("options", pointer), ("options_size", size), ("shell_argument", pointer)),
        *(("rom", pointer), ("rom_size", size), ("nonsense", pointer), ("nonsense_size", size)),
        *((name, number) for name in ("has_loaded_image", "has_hypervisor", "has_fw_cfg", "has_dma", "has_file")),
        *((name, number) for name in ("file_size", "has_iommu", "is_out_of_memory", "reset_returns")),
        ("program_options", number),
        *((name, number) for name in ("started_from_igvm", "refuses_images", "is_locked", "host_is_next")),
        *(("has_guest_igvm", number), ("device", ctypes.c_uint8 * 56)),
        *((name, number) for name in ("returned", "stopped", "resets", "reset_type", "variables", "variable_size")),
        ("variable", ctypes.c_uint8 * 512),
        *((name, number) for name in ("writes", "reads", "strayed", "beyond_rom")),
        *(("pages_left", size), ("given", ctypes.c_void_p), ("given_size", size)),
    ]


class _State(ctypes.Structure):
    _fields_ = _fields()


def compile_bench(directory: Path) -> ctypes.CDLL:
    target = directory / "bench.so"
    command = ["gcc", *FLAGS, "-fPIC", "-shared", "-o", str(target), *map(str, SOURCES)]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(target))


class Machine:
    """A machine with a hypervisor and the device, that starts `image`; attributes are those of `struct bench`."""

    def __init__(self, library: ctypes.CDLL, image: bytes, smbios: bytes = b"") -> None:
        self._library = library
        self._kept: dict[str, ctypes.Array[ctypes.c_char]] = {}
        self.state = _State()
        for name in ("loaded_image", "hypervisor", "fw_cfg", "dma", "file"):
            setattr(self.state, f"has_{name}", 1)
        self.state.file_size = 56
        self.state.started_from_igvm = 1
        self.put("image", image)
        self.put("smbios", smbios)

    def put(self, name: str, data: bytes, claimed: int | None = None) -> None:
        """Give the program bytes; images stand on a page, as firmware loads them."""
        room = ctypes.create_string_buffer(len(data) + 4096)
        start = -ctypes.addressof(room) % 4096
        ctypes.memmove(ctypes.addressof(room) + start, data, len(data))
        self._kept[name] = room
        setattr(self.state, name, ctypes.addressof(room) + start if data else None)
        setattr(self.state, f"{name}_size", len(data) if claimed is None else claimed)

    def start(self) -> HandOverOutcome | None:
        """Run the program. None where it left no variable."""
        self._library.bench_run(ctypes.byref(self.state))
        content = bytes(self.state.variable[: self.state.variable_size])
        return hand_over_outcome.decode(content) if content else None

    def reset(self) -> bool:
        """Whether the guest's firmware starts at the reset, and not the host's."""
        return bool(self._library.bench_reset(ctypes.byref(self.state)))

    @property
    def given(self) -> bytes:
        """The image that the host has been given last."""
        return ctypes.string_at(self.state.given, self.state.given_size) if self.state.given else b""

    def free(self) -> None:
        self._library.bench_free(ctypes.byref(self.state))


@contextmanager
def machine(library: ctypes.CDLL, image: bytes, smbios: bytes = b"") -> Iterator[Machine]:
    machine = Machine(library, image, smbios)
    try:
        yield machine
    finally:
        machine.free()


def write_image(*sections: tuple[str, bytes]) -> bytes:
    """A PE image whose sections stand in the file where they do in memory: loaded by reading it."""
    headers = minimal_image(pe.CoffMachine.x64, len(sections))
    body, placed = b"", []
    start = pe.align(headers.optional.size_of_headers, 0x1000)
    for name, content in sections:
        at = start + len(body)
        size = pe.align(len(content), 0x200)
        raw_name = name.encode().ljust(8, b"\0")
        placed.append(
            pe.SectionHeader(
                raw_name=raw_name,
                virtual_size=len(content),
                virtual_address=at,
                raw_size=size,
                raw_offset=at,
                relocations=0,
                line_numbers=0,
                number_of_relocations=0,
                number_of_line_numbers=0,
                flags=0x40000040,
            )
        )
        body += content.ljust(pe.align(max(size, 1), 0x1000), b"\0")

    return pe.encode(headers.with_sections(tuple(placed))).ljust(start, b"\0") + body


def load_image(file: bytes) -> bytes:
    """An image as firmware loads it (Microsoft's PE format, "Section Table")."""
    headers = pe.decode(file[: pe.HEAD_SIZE], len(file))
    memory = bytearray(headers.optional.size_of_image)
    memory[: headers.optional.size_of_headers] = file[: headers.optional.size_of_headers]
    for section in headers.sections:
        content = file[section.raw_offset : section.raw_offset + section.content_size]
        memory[section.virtual_address : section.virtual_address + len(content)] = content
    return bytes(memory)


def structure(kind: int, formatted: bytes, *strings: bytes) -> bytes:
    """An SMBIOS structure (DSP0134, 6.1)."""
    texts = b"".join(text + b"\0" for text in strings) or b"\0"
    return pack("<BBH", kind, 4 + len(formatted), kind) + formatted + texts + b"\0"


def write_smbios(fields: dict[str, bytes]) -> bytes:
    """A table with the strings of `hardware.machine.Machine`'s names; empty ones are left out."""

    def numbered(*names: str) -> tuple[dict[str, int], list[bytes]]:
        strings = [fields[name] for name in names if fields.get(name)]
        present = [name for name in names if fields.get(name)]
        return {name: present.index(name) + 1 if name in present else 0 for name in names}, strings

    system, texts = numbered("manufacturer", "product", "sku", "family")
    board, more = numbered("baseboard_manufacturer", "baseboard_product")
    formatted = bytes([system["manufacturer"], system["product"], *bytes(19), system["sku"], system["family"]])
    table = structure(0, bytes(20)) + structure(1, formatted, *texts)
    table += structure(2, bytes([board["baseboard_manufacturer"], board["baseboard_product"], 0, 0]), *more)
    return table + structure(127, b"")


def igvm(*pages: tuple[int, bytes], mask: int = 1, more: bytes = b"") -> bytes:
    """An IGVM file that deploys pages (Microsoft's igvm_defs; the header's checksum is the device's business)."""
    headers = pack("<IIIBBHQ", 1, 16, mask, 2, 0, 1, 0)
    content_at = 24 + len(headers) + len(pages) * 32 + len(more)
    content = b""
    for address, data in pages:
        offset = content_at + len(content) if data else 0
        headers += pack("<IIQIIIHH", 0x302, 24, address, mask, offset, 0, 0, 0)
        content += data.ljust(4096, b"\0") if data else b""
    headers += more
    return b"IGVM" + pack("<IIIII", 1, 24, len(headers), content_at + len(content), 0) + headers + content


def efifw(fwid: str, payload: bytes) -> bytes:
    name = fwid.encode() + b"\0"
    return pack("<IIII", 0xFEEDDEAD, 16, len(name), len(payload)) + name + payload
