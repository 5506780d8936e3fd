"""What is predicted of images like those of the recorded logs has the logs' registers, types, programs and order."""

import pytest

from fuki_build.formats.tcg import event_data, event_log
from fuki_build.measure.boot import Boot, BootMethod
from fuki_build.measure.boot_options import read_firmware
from fuki_build.measure.events import CONSTANT, register
from fuki_build.measure.explain import registers
from fuki_build.measure.extender import extender
from fuki_build.measure.pcr7 import SecureBootPolicy, SecureBootState
from fuki_build.measure.registers import BANKS
from tests.formats.test_event_log import LOGS
from tests.measure.test_predictions import addon, predicted
from tests.support.images import Content

SECTIONS: tuple[Content, ...] = (
    (".osrel", b"ID=acme\n", None),
    (".cmdline", b"console=ttyS0", None),
    (".initrd", b"initrd", None),
    (".uname", b"6.12", None),
    (".profile", b"ID=main\n", 0),
    (".profile", b"ID=other\n", 1),
)
"""Those of the recorded images, which have firmware besides."""
POLICY = SecureBootPolicy(SecureBootState.ABSENT, {})
ADDON = addon("more.addon.efi", (".cmdline", b"from=addon", None))
ON_DISK = Boot(secret=False, smbios="from=smbios", addons=(ADDON,), policy=POLICY)
HANDED_OVER = Boot(method=BootMethod.DIRECT, options="console=ttyS0 passed", policy=POLICY)
FIRMWARE = (".hwids", ".efifw")


@pytest.mark.parametrize(
    ("name", "stub", "boot", "profile"),
    [
        ("disk-262", "stub-x64", ON_DISK, 0),
        ("disk-257", "stub-257-x64", ON_DISK, 0),
        ("direct-262", "stub-x64", HANDED_OVER, 1),
    ],
)
def test_events_are_those_that_a_machine_logged(name: str, stub: str, boot: Boot, profile: int):
    log = event_log.decode((LOGS / f"{name}.log").read_bytes())
    logged = [
        (event.register, event.type_name, extender(event, log))
        for event in log.events
        if event.register in (4, 7, 9, 11, 12) and event_data.text(event.data) not in FIRMWARE
    ]
    events = predicted(*SECTIONS, boot=boot, profile=profile, stub=stub).events
    assert [(event.pcr, event.type, event.by) for event in events] == logged
    # Their digests are the same in all recorded logs.
    constant = {
        (event.pcr, digest) for event in events if event.source == CONSTANT for digest in event.digests.values()
    }
    assert constant == constants()


def constants() -> set[tuple[int, bytes]]:
    """The digests that every recorded machine has in the registers before the image's."""
    logs = [event_log.decode(path.read_bytes()) for path in LOGS.glob("*.log")]
    return set.intersection(
        *({(e.register, e.digests["sha256"]) for e in log.events if e.extends and e.register in (4, 7)} for log in logs)
    )


def test_register_0_is_that_of_the_machine_with_this_firmware(part):
    """The recorded machines had this build, whose drivers write nothing into its first volume."""
    log = event_log.decode((LOGS / "disk-262.log").read_bytes())
    events = read_firmware(part("ovmf-generic"), tuple(BANKS), is_unchanged=True)

    logged = [event for event in log.events if event.extends and event.register == 0]
    assert [(event.pcr, event.type, event.by) for event in events] == [
        (event.register, event.type_name, extender(event, log)) for event in logged
    ]
    assert [event.digests for event in events] == [event.digests for event in logged]
    assert {event.source for event in events} == {"the firmware", CONSTANT}
    assert register(events, 0, "sha256") == registers(log, "sha256")[0]
    assert [event.source == CONSTANT for event in events] == [event.type_name == "EV_SEPARATOR" for event in logged]
    assert [event.what for event in events[:2]] == [
        "the firmware's version '2026.08+ds-2'",
        f"a volume of the firmware, {int.from_bytes(logged[1].data[8:], 'little')} bytes",
    ]


def test_the_volume_of_the_first_drivers_is_unknown_where_they_may_write_into_it(part):
    whole = read_firmware(part("ovmf-2022"), ("sha256",), is_unchanged=True)
    version, first, second, separator = read_firmware(part("ovmf-2022"), ("sha256",), is_unchanged=False)
    assert (first.digests, "may write into this volume" in first.unknown) == ({}, True)
    assert (version, second, separator) == (whole[0], *whole[2:])
    assert register([version, first, second, separator], 0, "sha256") is None
