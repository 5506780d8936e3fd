"""Who extended what: events as real programs log them, and the logs of real machines."""

import os
from pathlib import Path
from struct import pack
from uuid import UUID

import pytest

from fuki_build.formats.tcg import event_data, event_log
from fuki_build.formats.tcg.event_data import MeasuredVariable
from fuki_build.formats.tcg.event_log import EventLog, LoggedEvent, LogKind
from fuki_build.measure.events import Measurer
from fuki_build.measure.explain import explain
from fuki_build.measure.log_comparison import RegisterVerdict

EVIDENCE = os.environ.get("FUKI_EVIDENCE", "")
"""A directory with logs of machines elsewhere, which are not copied into the project."""
LOGS = Path(__file__).parents[1] / "data" / "event-logs"
IPL, TAG, APPLICATION, AUTHORITY, ACTION, SEPARATOR = 13, 6, 0x80000003, 0x800000E0, 0x80000007, 4
SHIM = UUID("605dab50-e046-4300-abb6-3dd810dd8b23")
DATABASE = UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")


def file_path(text: str) -> bytes:
    name = text.encode("utf-16-le") + b"\0\0"
    return pack("<BBH", 4, 4, 4 + len(name)) + name + pack("<BBH", 0x7F, 0xFF, 4)


def loaded(path: bytes) -> bytes:
    """A UEFI_IMAGE_LOAD_EVENT."""
    return pack("<QQQQ", 0, 0, 0, len(path)) + path


def authority(vendor: UUID, name: str) -> bytes:
    return event_data.encode_variable(MeasuredVariable(vendor, name, b"value"))


def tag(number: int, text: bytes = b"") -> bytes:
    return pack("<II", number, len(text)) + text


ON_DISK = pack("<BBHII", 2, 1, 12, 0x0A0341D0, 0) + file_path("\\EFI\\BOOT\\BOOTX64.EFI")
IN_TPM = [
    (0, 8, b"version", Measurer.FIRMWARE),
    (4, ACTION, b"Calling EFI Application from Boot Option", Measurer.FIRMWARE),
    (4, APPLICATION, loaded(ON_DISK), Measurer.FIRMWARE),
    (4, APPLICATION, loaded(file_path("\\EFI\\redhat\\grubx64.efi")), Measurer.LOADER),
    (4, APPLICATION, loaded(b""), Measurer.LOADER),
    (5, TAG, tag(0xF5BC582A), Measurer.BOOT_MENU),
    (1, TAG, tag(0xD5CB7CBC), Measurer.STUB),
    (7, AUTHORITY, authority(DATABASE, "db"), Measurer.FIRMWARE),
    (7, AUTHORITY, authority(SHIM, "Shim"), Measurer.SHIM),
    (7, AUTHORITY, authority(SHIM, "SbatLevel"), Measurer.SHIM),
    (7, AUTHORITY, authority(SHIM, "vendor_db"), Measurer.SHIM),
    (7, AUTHORITY, authority(DATABASE, "MokList"), Measurer.SHIM),
    (7, AUTHORITY, b"no variable", Measurer.FIRMWARE),
    (4, APPLICATION, b"no path", Measurer.FIRMWARE),
    (9, TAG, b"no tag", Measurer.UNKNOWN),
    (9, TAG, tag(0x12345678), Measurer.UNKNOWN),
    (8, IPL, b"grub_cmd: set default=0", Measurer.GRUB),
    (8, IPL, b"kernel_cmdline: /boot/vmlinuz root=/dev/sda1", Measurer.GRUB),
    (9, IPL, b"(hd0,gpt1)/boot/grub/grub.cfg", Measurer.GRUB),
    (9, IPL, b"/boot/vmlinuz-5.11.0", Measurer.GRUB),
    (9, TAG, tag(0x8F3B22EC), Measurer.KERNEL),
    (8, IPL, "initrd=\\initramfs.img".encode("utf-16-le") + b"\0\0", Measurer.LOADER),
    (10, IPL, b"", Measurer.KERNEL),
    (11, IPL, b".linux", Measurer.STUB),
    (12, IPL, "options".encode("utf-16-le"), Measurer.STUB),
    (12, TAG, tag(0x13AED6DB), Measurer.STUB),
    (13, IPL, b"", Measurer.STUB),
    (14, IPL, b"MokList", Measurer.SHIM),
    (14, IPL, b"MokListX", Measurer.SHIM),
    (15, IPL, b"", Measurer.SYSTEM),
    (17, 0x502, b"", Measurer.DYNAMIC_ROOT),
    (16, IPL, b"something", Measurer.LOADER),
    (23, 0x99, b"", Measurer.UNKNOWN),
    # These types are firmware's in any register (PFP 10.4.1).
    (23, SEPARATOR, bytes(4), Measurer.FIRMWARE),
    (23, ACTION, b"anything", Measurer.FIRMWARE),
    (23, 5, b"anything", Measurer.FIRMWARE),
]
IN_GUEST = [
    (1, SEPARATOR, bytes(4), Measurer.FIRMWARE),
    (1, AUTHORITY, authority(SHIM, "MokListTrusted"), Measurer.SHIM),
    (2, APPLICATION, loaded(ON_DISK), Measurer.FIRMWARE),
    (3, IPL, b"MokList", Measurer.SHIM),
    (3, IPL, b"grub_cmd: set default=0", Measurer.GRUB),
    (3, IPL, b".cmdline", Measurer.STUB),
    (3, TAG, tag(0x8F3B22ED), Measurer.KERNEL),
    (4, IPL, b"anything", Measurer.RUNNING),
    (4, SEPARATOR, bytes(4), Measurer.RUNNING),
    (4, 0x99, b"", Measurer.RUNNING),
]


@pytest.mark.parametrize(
    ("kind", "rows"), [(LogKind.TPM, IN_TPM), (LogKind.CC, IN_GUEST)], ids=["tpm", "confidential guest"]
)
def test_who_extended_what(kind, rows):
    events = tuple(LoggedEvent(register, number, {}, data) for register, number, data, _ in rows)
    items = explain(EventLog(kind=kind, banks=("sha384",), events=events, crypto_agile=True, end=0)).events
    assert [item.by for item in items] == [by for *_, by in rows]


def test_firmware_is_named_only_for_what_firmware_does():
    events = tuple(LoggedEvent(register, number, {}, data) for register, number, data, _ in IN_TPM)
    items = explain(EventLog(kind=LogKind.TPM, banks=("sha384",), events=events, crypto_agile=True, end=0)).events
    blamed = {item.by for item in items if item.verdict is RegisterVerdict.FIRMWARE}
    assert blamed == {Measurer.FIRMWARE}


def test_options_without_an_image_that_measures_itself_are_the_boot_menus():
    event = LoggedEvent(12, IPL, {}, "options".encode("utf-16-le"))
    (item,) = explain(EventLog(kind=LogKind.TPM, banks=("sha256",), events=(event,), crypto_agile=True, end=0)).events
    assert item.by is Measurer.BOOT_MENU


@pytest.mark.parametrize("name", ["direct-262", "disk-262", "disk-257", "secure-boot-on", "secure-boot-off"])
def test_in_the_log_of_a_booted_image_firmware_stub_and_kernel_are_told_apart(name):
    log = event_log.decode((LOGS / f"{name}.log").read_bytes())
    told = {(item.event.register, item.by) for item in explain(log).events if item.by}
    assert {by for register, by in told if register in (0, 2, 3, 5, 6, 7)} == {Measurer.FIRMWARE}
    assert (11, Measurer.STUB) in told
    assert {by for register, by in told if register == 9} == {Measurer.KERNEL}
    assert not {by for _, by in told} & {Measurer.UNKNOWN, Measurer.LOADER, Measurer.GRUB, Measurer.SHIM}


REAL = [
    ("logs/rhel8-uefi.bin", {(8, Measurer.GRUB), (9, Measurer.GRUB), (14, Measurer.SHIM)}),
    ("logs/ubuntu-2104-no-secure-boot.bin", {(8, Measurer.GRUB), (9, Measurer.GRUB), (14, Measurer.SHIM)}),
    ("logs/cos-101-amd-sev.bin", {(8, Measurer.GRUB), (9, Measurer.GRUB), (14, Measurer.SHIM)}),
    ("logs/debian-10.bin", set()),
    ("logs/arch-linux-workstation.bin", {(8, Measurer.LOADER)}),
    ("tdx/cos-113-ccel.dat", {(3, Measurer.GRUB), (3, Measurer.SHIM)}),
]


def test_logs_of_machines_elsewhere():
    for name, expected in REAL if EVIDENCE else ():
        log = event_log.decode((Path(EVIDENCE) / name).read_bytes())
        items = [item for item in explain(log).events if item.by]
        above = 7 if log.kind is LogKind.TPM else 2
        extenders = {(item.event.register, item.by) for item in items if item.event.register > above}

        assert extenders == expected, name
        assert not log.flaw, name
        # One of them, of an old shim, has a digest of other bytes than it logs.
        false = [item.what for item in items if item.data_matches is False]
        assert false == (["Shim, 930 bytes"] if "debian-10" in name else []), name
