"""What a file starts, what the memory of a stopped guest tells, and which QEMU this machine has."""

import os
import socket
import struct
import subprocess
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest
from fuki_build.errors import FormatError, FukiError
from fuki_build.formats.confidential import igvm
from fuki_build.formats.confidential.igvm import native_context
from fuki_build.formats.confidential.igvm.native_context import NativeRegisters
from fuki_build.formats.tcg import event_log
from fuki_build.testing import invoke, succeed
from hypothesis import given
from hypothesis import strategies as st
from probe_image import build

from fuki_qemu.host import choice, cycle, device, log_in_memory, parts
from fuki_qemu.host.cycle import CycleSettings
from fuki_qemu.host.gdb import GdbStub
from fuki_qemu.host.launch_update import LaunchUpdate, UpdateFields, decode, encode
from fuki_qemu.host.native_start import MemoryRange, memory_of_q35, read_start

GIB = 1 << 30
PLATFORM = igvm.SupportedPlatform(
    mask=1, highest_vtl=2, platform=igvm.IgvmPlatform.NATIVE, version=1, shared_gpa_boundary=0
)


def igvm_file(*directives: igvm.Directive, data: bytes = b"", registers: bool = True) -> bytes:
    """A file whose `PageData` have offsets into `data`, and whose registers come last."""
    context = native_context.encode(NativeRegisters(rip=0xFFF0))
    places = [PLATFORM, *directives, *([igvm.VpContext(0, 1, 0, 0)] if registers else [])]
    start = igvm.data_offset(places)
    placed = [
        d._replace(file_offset=start + (len(data) if isinstance(d, igvm.VpContext) else d.file_offset - 1))
        if isinstance(d, (igvm.PageData, igvm.VpContext)) and (d.file_offset or isinstance(d, igvm.VpContext))
        else d
        for d in places
    ]
    return igvm.encode(placed, data + context)


def page(gpa: int, offset: int) -> igvm.PageData:
    """A page with the data `offset` bytes into a file's data; -1 for an empty one."""
    return igvm.PageData(gpa=gpa, mask=1, file_offset=offset + 1, flags=0, kind=igvm.PageKind.NORMAL)


def test_neighbouring_pages_are_one_piece_and_empty_ones_are_zeros():
    data = b"a" * igvm.PAGE + b"b" * igvm.PAGE
    start = read_start(igvm_file(page(0x3000, igvm.PAGE), page(0x2000, 0), page(0x8000, -1), data=data), ())
    assert [(piece.address, len(piece.data), set(piece.data)) for piece in start.memory] == [
        (0x2000, 0x2000, {ord("a"), ord("b")}),
        (0x8000, 0x1000, {0}),
    ]
    assert start.registers.rip == 0xFFF0


def test_a_memory_map_stands_at_its_areas_start_and_ends_with_an_empty_entry():
    file = igvm_file(
        igvm.ParameterArea(igvm.PAGE, 0, 0),
        igvm.Parameter(igvm.MEMORY_MAP, 0, 8),
        igvm.Parameter(igvm.VP_COUNT, 0, 0xC0),
        igvm.ParameterInsert(0x812000, 1, 0),
    )
    (piece,) = read_start(file, memory_of_q35(3 * GIB), vcpus=2).memory
    assert piece.address == 0x812000
    entries = list(struct.iter_unpack("<QQHHI", piece.data[:72]))
    assert entries == [(0, 0x80000, 0, 0, 0), (0x100000, 0x40000, 0, 0, 0), (0, 0, 0, 0, 0)]
    assert piece.data[0xC0:0xC4] == bytes([2, 0, 0, 0])


@pytest.mark.parametrize(("size", "ranges"), [(GIB, 1), (2 * GIB, 1), (4 * GIB, 2)])
def test_q35_has_its_memory_in_one_piece_up_to_2816_mib(size: int, ranges: int):
    memory = memory_of_q35(size)
    assert len(memory) == ranges
    assert sum(part.size for part in memory) == size


@pytest.mark.parametrize("file", [b"nothing", igvm_file(registers=False)], ids=["no IGVM", "no registers"])
def test_a_file_that_starts_no_native_guest_is_an_error(file: bytes):
    with pytest.raises(FormatError):
        read_start(file, ())


def test_a_small_file_that_fills_much_memory_is_an_error():
    """Whoever runs in the guest can hand over any file."""
    large = [
        igvm.PageData(gpa=n << 21, mask=1, file_offset=0, flags=igvm.PageFlag.LARGE, kind=igvm.PageKind.NORMAL)
        for n in range(300)
    ]
    with pytest.raises(FormatError, match="512 MiB"):
        read_start(igvm_file(*large), ())
    inserts = [igvm.ParameterInsert(n << 12, 1, 0) for n in range(20)]
    with pytest.raises(FormatError, match="512 MiB"):
        read_start(igvm_file(igvm.ParameterArea(1 << 24, 0, 0), *inserts), ())


@given(st.binary(max_size=200), st.integers(0, 300))
def test_a_damaged_file_starts_or_is_an_error(noise: bytes, at: int):
    """The checksum is made right again, as a guest would."""
    file = bytearray(igvm_file(page(0x2000, 0), igvm.ParameterArea(64, 0, 0), data=b"a" * igvm.PAGE))
    start = min(24 + at, len(file))
    file[start : start + len(noise)] = noise[: len(file) - start]
    headers = int.from_bytes(file[12:16], "little")
    file[20:24] = bytes(4)
    file[20:24] = zlib.crc32(bytes(file[: 24 + headers])).to_bytes(4, "little")
    with suppress(FormatError):
        read_start(bytes(file), memory_of_q35(GIB))


def test_a_wrapped_firmware_is_recognised_in_memory_whatever_its_variables_are(
    part: Callable[[str], Path], tmp_path: Path
):
    succeed(tmp_path, "firmware", "wrap", part("ovmf-generic"), "-o", "own.igvm", "--platform", "native")
    file = (tmp_path / "own.igvm").read_bytes()
    rom = part("ovmf-generic").read_bytes()
    memory = memory_of_q35(GIB)
    assert parts.rom_of(file, memory) == rom
    below = bytearray(bytes(cycle.ROM_SIZE - len(rom)) + rom)
    assert parts.is_running(file, memory, bytes(below))
    below[cycle.ROM_SIZE - len(rom) + 100] ^= 1  # OVMF's variables stand at its start
    assert parts.is_running(file, memory, bytes(below))
    below[-100] ^= 1
    assert not parts.is_running(file, memory, bytes(below))


LOG_HEAD = struct.pack("<II20sI", 0, 3, bytes(20), 37) + struct.pack(
    "<16sIBBBBIHHHHB", b"Spec ID Event03\0", 0, 0, 2, 0, 2, 2, 0x0B, 32, 0x04, 20, 0
)
EVENT = struct.pack("<IIIH32sH20sI", 4, 5, 2, 0x0B, b"d" * 32, 4, b"e" * 20, 3) + b"abc"


@given(junk=st.binary(max_size=64))
def test_a_log_is_cut_out_of_memory_whatever_is_behind_it(junk: bytes):
    log = LOG_HEAD + 2 * EVENT
    cut = log_in_memory.cut(log + bytes(64) + junk)
    assert cut == log
    assert len(event_log.decode(cut).events) == 3


@given(st.binary(max_size=300))
def test_any_memory_is_looked_at_for_a_log_without_an_error(data: bytes):
    for head in (b"", LOG_HEAD):
        cut = log_in_memory.cut(head + data)
        assert cut is None or (head + data).startswith(cut)


def test_the_log_nearest_to_the_end_of_low_memory_is_taken():
    log = LOG_HEAD + EVENT
    memory = bytearray(200 * 1024 * 1024)
    memory[0x1000 : 0x1000 + len(log)] = log
    at = 150 * 1024 * 1024
    memory[at : at + len(log) + len(EVENT)] = log + EVENT
    found = log_in_memory.find(lambda a, n: bytes(memory[a : a + n]), [MemoryRange(0, len(memory))])
    assert found == log + EVENT


def qemu(path: Path, devices: str) -> str:
    path.write_text(f"#!/bin/sh\necho \"$@\" >>{path}.log\necho '{devices}'\n")
    path.chmod(0o755)
    return str(path)


def test_qemu_is_asked_whether_it_has_the_device(tmp_path: Path):
    real = qemu(tmp_path / "real", 'name "vm-launch-update"\nigvm-cfg')
    assert choice.is_real(real)
    assert (tmp_path / "real.log").read_text() == "-device help\n-object help\n"
    assert not choice.is_real(qemu(tmp_path / "older", 'name "virtio-blk-pci"'))
    assert not choice.is_real(qemu(tmp_path / "half", 'name "vm-launch-update"'))
    with pytest.raises(FukiError, match="cannot ask"):
        choice.is_real(str(tmp_path / "none"))


def test_real_qemu_gets_the_hosts_file_and_the_device(tmp_path: Path):
    settings = CycleSettings(host_file=b"the file", memory=memory_of_q35(GIB), is_modelled=False)
    options = cycle.options(settings, tmp_path)
    assert options == (
        *("-object", f"igvm-cfg,id=igvm,file={tmp_path}/host.igvm", "-machine", "igvm-cfg=igvm"),
        *("-device", "vm-launch-update"),
    )
    assert (tmp_path / "host.igvm").read_bytes() == b"the file"


def test_the_library_compiles_without_a_warning_and_leaves_other_programs_alone(tmp_path: Path):
    library = device.build_library(tmp_path)
    environment = {**os.environ, **device.environment(library, 7)}
    done = subprocess.run(["true"], env=environment, capture_output=True, check=True)
    assert done.stderr == b""


def test_a_guests_write_is_answered_and_its_memory_is_read_over_the_socket():
    model = LaunchUpdate(igvm_file())
    ours, theirs = socket.socketpair()
    image = igvm_file()
    with ours, theirs:
        device.DeviceServer(model, theirs)
        ours.sendall(b"S")
        assert decode(receive(ours, 57)[1:]).version == 1
        ours.sendall(b"W" + encode(UpdateFields(control=1 << 32, image_address=0x5000, image_size=len(image))))
        assert receive(ours, 17) == b"R" + struct.pack("<QQ", 0x5000, len(image))
        ours.sendall(b"\0" + image)
        answer = decode(receive(ours, 57)[1:])
        assert (answer.status, answer.image_size) == (0, 0)
    assert model.file == image


def receive(connection: socket.socket, size: int) -> bytes:
    return connection.recv(size, socket.MSG_WAITALL)


def gdb_that_answers(connection: socket.socket, answers: dict[str, str], asked: list[str]) -> None:
    rest = b""
    while more := connection.recv(4096):
        rest += more
        while b"#" in rest and len(rest) >= rest.index(b"#") + 3:
            packet, rest = rest[: rest.index(b"#")], rest[rest.index(b"#") + 3 :]
            command = packet.partition(b"$")[2].decode()
            asked.append(command)
            text = answers.get(command[:1], "OK")
            connection.sendall(b"+" + f"${text}#{sum(text.encode()) % 256:02x}".encode())


def test_flat_registers_are_set_through_a_table_at_address_0():
    ours, theirs = socket.socketpair()
    asked: list[str] = []
    with ours, theirs:
        thread = Thread(target=gdb_that_answers, args=(theirs, {"?": "T05thread:01;"}, asked), daemon=True)
        thread.start()
        stub = GdbStub(ours)
        flat = NativeRegisters(
            rip=0xFFFFFFF0, rflags=2, cr0=0x31, code_selector=8, code_attributes=0xC09B, code_limit=0xFFFFFFFF,
            data_selector=16, data_attributes=0xC093, data_limit=0xFFFFFFFF,
        )  # fmt: skip
        stub.set_registers(flat)
        for wrong in (flat._replace(cr0=0x80000031), flat._replace(code_base=4), NativeRegisters(rip=0)):
            with pytest.raises(FukiError):
                stub.set_registers(wrong)
        ours.shutdown(socket.SHUT_RDWR)
        thread.join()
    # Intel SDM volume 3, 3.4.5: a flat segment for code, and one for data.
    assert "M8,8:ffff0000009bcf00" in asked
    assert "M10,8:ffff00000093cf00" in asked
    assert "P10=f0ffffff00000000" in asked


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (("--secure-boot", "."), "has no variable store"),
        (("--variables", "vars.fd"), "has no variable store"),
        (("--options", "quiet"), "keeps no boot option"),
    ],
)
def test_what_a_host_without_variables_cannot_do_is_one_error(
    option: tuple[str, str], words: str, tmp_path: Path, part: Callable[[str], Path]
):
    image = build(tmp_path / "image")
    firmware = ("--firmware", part("ovmf-generic"))
    command = ("--plugin", "qemu", "boot", image, "--host", "vm-launch-update", *firmware, *option)
    outcome = invoke(tmp_path, *command)
    assert outcome.code in (1, 2), outcome
    assert f"{option[0]}: a host that takes firmware {words}" in outcome.err
