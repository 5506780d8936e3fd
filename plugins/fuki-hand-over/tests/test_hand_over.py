"""What the program does with a device, and with hosts that are not as they should be.

The bench's device follows QEMU's source; it is a model, and the hosts of plugins/fuki-qemu are another.
"""

import hashlib
from struct import pack, unpack_from
from uuid import UUID

import hand_over_bench as bench
import pytest
from fuki_build import Machine
from fuki_build.formats.uki import hwids
from fuki_build.formats.uki.hand_over_outcome import HandOverResult
from fuki_build.formats.uki.hwids import Device, DeviceType
from fuki_build.testing import stub_chids

ACME = Machine(name="m", manufacturer="Acme")
SMBIOS = bench.write_smbios({"manufacturer": b"Acme"})
HOST_ROM = bytes(0x10000)
PAGES = tuple((bench.TOP - (16 - n) * 4096, bytes([n]) * 4096) for n in range(16))
ROM = b"".join(content for _, content in PAGES)
PAYLOAD = bench.igvm(*PAGES)


def image_of(payload: bytes) -> bytes:
    table = hwids.encode([Device(DeviceType.UEFI_FW, "n", "fw", frozenset({stub_chids(ACME)[11]}))])
    return bench.write_image((".hwids", table), (".efifw", bench.efifw("fw", payload)))


@pytest.fixture
def guest(library):
    """A guest on the host's firmware that can hand over."""
    with bench.machine(library, image_of(PAYLOAD), SMBIOS) as machine:
        machine.put("rom", HOST_ROM)
        yield machine


def start(guest: bench.Machine) -> tuple[HandOverResult, int]:
    outcome = guest.start()
    assert outcome
    assert not guest.state.strayed
    return outcome.result, outcome.reason


def reset(guest: bench.Machine) -> bool:
    """Resets the machine; the firmware that then runs stands below 4 GiB."""
    assert guest.state.resets
    assert guest.state.reset_type == bench.COLD_RESET
    return restart(guest)


def restart(guest: bench.Machine) -> bool:
    own = guest.reset()
    guest.put("rom", ROM if own else HOST_ROM)
    return own


@pytest.mark.parametrize("options", [0, bench.LASTING, bench.LOCK, bench.LASTING | bench.LOCK])
@pytest.mark.parametrize("iommu", [0, 1])
def test_the_firmware_starts_once_and_without_a_loop(options, iommu, guest):
    guest.state.program_options = options
    guest.state.has_iommu = iommu
    assert start(guest)[0] is HandOverResult.PENDING
    assert guest.given == PAYLOAD
    assert reset(guest)
    assert start(guest) == (HandOverResult.HANDED_OVER, 0)
    assert guest.state.returned
    assert not guest.state.resets
    assert not guest.state.pages_left
    # What was done for this start is forgotten, so that a later one may do it again.
    assert start(guest) == (HandOverResult.ALREADY_RUNNING, 0)


@pytest.mark.parametrize("lock", [0, bench.LOCK])
def test_for_one_reset_the_hosts_firmware_is_back_at_the_next_and_hands_over_again(lock, guest):
    guest.state.program_options = lock
    start(guest)
    assert reset(guest)
    start(guest)
    assert guest.state.is_locked == bool(lock)
    assert not restart(guest)
    assert start(guest)[0] is HandOverResult.PENDING
    assert reset(guest)
    assert start(guest)[0] is HandOverResult.HANDED_OVER


@pytest.mark.parametrize("lock", [0, bench.LOCK])
def test_for_good_it_stays(lock, guest):
    guest.state.program_options = bench.LASTING | lock
    start(guest)
    assert reset(guest)
    start(guest)
    assert restart(guest)
    assert start(guest)[0] is HandOverResult.ALREADY_RUNNING
    assert guest.state.is_locked == bool(lock)


def test_dead_firmware_is_not_tried_twice(guest):
    start(guest)
    assert reset(guest)  # and it dies before it starts the image: somebody resets the machine
    assert not restart(guest)
    assert start(guest) == (HandOverResult.GUARD, 0)
    assert guest.state.returned
    assert not guest.state.writes
    assert start(guest) == (HandOverResult.GUARD, 0)


def test_other_firmware_is_tried_all_the_same(guest):
    start(guest)
    assert not (reset(guest) and restart(guest))
    guest.put("image", image_of(bench.igvm((bench.TOP - 4096, b"newer"))))
    assert start(guest)[0] is HandOverResult.PENDING


def test_the_mark_is_memory_of_the_guests_and_tells_the_payload(guest):
    start(guest)
    address, size = unpack_from("<QQ", bytes(guest.state.device), 40)
    digest = hashlib.sha1(PAYLOAD, usedforsecurity=False).digest()
    offset, extent = unpack_from("<HH", digest)
    assert (address % 0x10000, size) == (offset & 0x7FFF, 1 + (extent & 0x7FFF))


def test_a_foreign_mark_is_left_alone(guest):
    guest.put("rom", ROM)
    guest.state.device[40:56] = pack("<QQ", 0x123456, 99)
    assert start(guest)[0] is HandOverResult.ALREADY_RUNNING
    assert not guest.state.writes
    assert unpack_from("<QQ", bytes(guest.state.device), 40) == (0x123456, 99)


REFUSALS = {
    "load fails": ({"refuses_images": 1}, 38),
    "not started from IGVM": ({"started_from_igvm": 0}, 39),
    "locked": ({"is_locked": 1}, 37),
    "larger file": ({"file_size": 64}, 35),
    "no memory": ({"is_out_of_memory": 1}, 33),
    "no reset": ({"reset_returns": 1}, 43),
}


@pytest.mark.parametrize("case", REFUSALS)
@pytest.mark.parametrize("iommu", [0, 1])
def test_a_refusal_has_a_reason_and_the_stub_starts(case, iommu, guest):
    state, reason = REFUSALS[case]
    guest.state.has_iommu = iommu
    for name, value in state.items():
        setattr(guest.state, name, value)
    assert start(guest) == (HandOverResult.REFUSED, reason)
    assert guest.state.returned
    assert not guest.state.pages_left
    # The device's memory of a failure is not taken for firmware that was tried.
    if case in {"load fails", "not started from IGVM"}:
        assert start(guest) == (HandOverResult.REFUSED, reason)


def test_a_payload_that_is_no_igvm_file_is_refused(guest):
    guest.put("image", image_of(b"OVMF".ljust(0x20000)))
    assert start(guest) == (HandOverResult.REFUSED, 32)
    assert not guest.state.writes


MISSING = {"hypervisor": 16, "fw_cfg": 17, "dma": 18, "file": 19}


@pytest.mark.parametrize("what", MISSING)
def test_without_a_device_the_stub_starts(what, guest):
    setattr(guest.state, f"has_{what}", 0)
    assert start(guest) == (HandOverResult.NO_DEVICE, MISSING[what])
    assert guest.state.returned
    assert not guest.state.resets
    assert not guest.state.pages_left


def test_where_nothing_is_selected_the_device_is_not_asked(guest):
    guest.put("smbios", bench.write_smbios({"manufacturer": b"Other"}))
    assert start(guest) == (HandOverResult.NOTHING_SELECTED, 3)
    assert guest.state.returned
    assert not guest.state.reads


@pytest.mark.parametrize(
    ("state", "stays_on"),
    [({"has_file": 0}, False), ({"refuses_images": 1}, False), ({"smbios": None}, True), ({}, True)],
)
def test_the_machine_is_switched_off_only_where_selected_firmware_cannot_start(state, stays_on, guest):
    guest.state.program_options = bench.POWER_OFF
    if not state:
        guest.put("rom", ROM)
    for name, value in state.items():
        setattr(guest.state, name, value)
    start(guest)
    assert bool(guest.state.returned) == stays_on
    assert (guest.state.resets, guest.state.reset_type) == ((0, 0) if stays_on else (1, bench.SHUTDOWN))


def test_a_machine_that_cannot_be_switched_off_stops(guest):
    guest.state.program_options = bench.POWER_OFF
    guest.state.has_file = 0
    guest.state.reset_returns = 1
    start(guest)
    assert guest.state.stopped
    assert not guest.state.returned


def test_without_a_loaded_image_the_entry_returns_an_error(guest):
    guest.state.has_loaded_image = 0
    assert guest.start() is None
    assert not guest.state.returned


# What runs already


def variables(size: int) -> bytes:
    """The head of a volume of EFI variables (UEFI PI 1.8, volume 3, 3.2.1)."""
    guid = UUID("fff12b8d-7696-4c8b-a985-2747075b4f50").bytes_le
    return (bytes(16) + guid + pack("<Q", size) + b"_FVH").ljust(4096, b"\xaa")


def test_plain_images_are_compared_too(guest):
    guest.put("image", image_of(ROM))
    guest.put("rom", ROM)
    assert start(guest) == (HandOverResult.ALREADY_RUNNING, 0)
    guest.put("rom", ROM[:-1] + b"\xff")
    assert start(guest) == (HandOverResult.REFUSED, 32)


@pytest.mark.parametrize("what", MISSING)
def test_what_runs_needs_no_device(what, guest):
    guest.put("rom", ROM)
    setattr(guest.state, f"has_{what}", 0)
    assert start(guest) == (HandOverResult.ALREADY_RUNNING, 0)


def test_variables_may_differ_and_nothing_else(guest):
    pages = [variables(0x3000), *(bytes([n]) * 4096 for n in range(2, 9))]
    payload = bench.igvm(*((bench.TOP - (8 - n) * 4096, page) for n, page in enumerate(pages)))
    guest.put("image", image_of(payload))
    rom = bytearray(b"".join(pages))
    rom[0x40:0x2FFF] = b"changed".ljust(0x2FBF, b"\x55")
    guest.put("rom", bytes(rom))
    assert start(guest)[0] is HandOverResult.ALREADY_RUNNING
    rom[0x3000] ^= 1
    guest.put("rom", bytes(rom))
    assert start(guest)[0] is HandOverResult.PENDING


def test_one_platforms_pages_are_enough(guest):
    """SEV-SNP's pages may differ from those of a plain guest."""
    page_of_zeros = pack("<IIQIIIHH", 0x302, 24, bench.TOP - 8192, 2, 0, 0, 0, 0)
    other = bench.igvm((bench.TOP - 4096, b"other"), mask=1, more=page_of_zeros)
    guest.put("image", image_of(other))
    guest.put("rom", bytes(4096) + b"unlike".ljust(4096, b"\0"))
    assert start(guest)[0] is HandOverResult.ALREADY_RUNNING


def test_memory_below_the_running_firmware_is_not_touched(guest):
    """Confidential guests end where they touch pages that nobody has accepted."""
    big = [bytes([n]) * 4096 for n in range(64)]
    guest.put("image", image_of(bench.igvm(*((bench.TOP - (64 - n) * 4096, page) for n, page in enumerate(big)))))
    guest.put("rom", HOST_ROM)
    start(guest)
    assert not guest.state.beyond_rom


# Hostile surroundings


@pytest.mark.parametrize(
    "table",
    [
        bytes(64),
        b"\x01\x00\x00\x00" * 8,
        b"\x01\xff\x01\x00" + bytes(20),
        bench.structure(1, bytes([9, 9, 9, 9]) + bytes(19), b"only one"),
        bench.structure(1, bytes([1, 2, 0, 0]), b"Acme", b"short"),
        b"\x01\x1b\x01\x00" + b"\x01" * 23 + b"no end",
        b"\x02\x04\x00\x00" + b"x" * 5000,
    ],
)
def test_damaged_smbios_selects_nothing(table, guest):
    guest.put("smbios", table)
    assert start(guest) == (HandOverResult.NOTHING_SELECTED, 3)


def test_a_size_that_is_a_lie_is_followed_for_one_mebibyte(guest):
    """The bytes behind are another's: reading on would leave this buffer of exactly that size."""
    endless = b"".join(bench.structure(4, bytes(30), b"CPU") for _ in range(0x100000 // 40))
    guest.put("smbios", endless.ljust(0x100000, b"\0"), claimed=0xFFFFFFFF)
    assert start(guest) == (HandOverResult.NOTHING_SELECTED, 3)


@pytest.mark.parametrize("seed", range(200))
def test_a_device_that_answers_nonsense_ends_at_the_stub(seed, guest):
    noise = b"".join(hashlib.sha256(b"%d %d" % (seed, n)).digest() for n in range(4 * 1024))
    directory = pack(">I", 0xFFFFFFFF if seed % 3 else 3) + pack(">IHH56s", 56, 42, 0, b"etc/vmlaunchupdate") * 2
    guest.put("nonsense", (bytes([seed % 5]) + directory + noise) if seed % 2 else noise)
    guest.state.program_options = seed % 4
    result, _ = start(guest)
    assert result in {HandOverResult.REFUSED, HandOverResult.NO_DEVICE, HandOverResult.PENDING, HandOverResult.GUARD}
    assert guest.state.returned or guest.state.resets
