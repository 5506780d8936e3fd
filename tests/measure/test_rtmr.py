"""RTMRs, put together again by hand from what was predicted; tests/boot holds them against logs of guests."""

import json
import re
from collections.abc import Iterable, Sequence
from hashlib import sha384
from pathlib import Path

import pytest

from fuki_build.formats.tcg import event_log
from fuki_build.formats.tcg.event_log import LogKind
from fuki_build.image.assemble import assemble
from fuki_build.image.digest_plan import measured_in
from fuki_build.image.image import ImageKind
from fuki_build.image.layout import Layout
from fuki_build.image.stub import model_of
from fuki_build.measure.boot import Addon, Boot, BootMethod
from fuki_build.measure.events import Event, Measurer
from fuki_build.measure.explain import explain
from fuki_build.measure.pcr7 import SecureBootPolicy, SecureBootState
from fuki_build.measure.predict import Prediction, cases, predict
from fuki_build.measure.rtmr import Rtmr, measured, rtmrs
from fuki_build.measure.rtmr0 import with_later
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.testing import invoke, succeed
from tests.formats.test_event_log import record, spec_event
from tests.measure.test_explain import NUMBERS, RTMR
from tests.support.images import Content, layout_of, write

LOGS = Path(__file__).parents[1] / "data" / "event-logs"
BANKS = ("sha384",)
IMAGE: tuple[Content, ...] = (
    (".linux", b"kernel", None),
    (".cmdline", b"console=ttyS0", None),
    (".initrd", b"initrd", None),
    (".profile", b"ID=main\n", 0),
    (".profile", b"ID=other\n", 1),
)
ANNOUNCED = (b"Calling EFI Application from Boot Option", bytes(4))
EXITS = (b"Exit Boot Services Invocation", b"Exit Boot Services Returned with Success")
DIRECT = Boot(method=BootMethod.DIRECT)


def extended(values: Iterable[bytes]) -> bytes:
    register = bytes(48)
    for value in values:
        register = sha384(register + value).digest()
    return register


def predicted(layout: Layout, boot: Boot, profile: int | None = 0) -> Prediction:
    contents = SectionDigests(layout, assemble(layout, digests=measured_in(BANKS)), BANKS)
    (prediction,) = predict(contents, cases(layout, None, [profile]), boot)
    return prediction


def told(boot: Boot, profile: int | None = 0, stub: str = "stub-x64", more: Sequence[Content] = ()) -> tuple[Rtmr, ...]:
    layout = layout_of([*IMAGE, *more], stub)
    return rtmrs(predicted(layout, boot, profile), boot, layout)


def addon() -> Addon:
    layout = layout_of([(".initrd", b"more", None)], None, ImageKind.ADDON)
    return Addon("more.addon.efi", layout, assemble(layout, digests=measured_in(BANKS)))


def authenticode(layout: Layout) -> bytes:
    return assemble(layout, digests=measured_in(BANKS)).image_hash("sha384").digest()


def test_the_first_of_an_image_that_the_hypervisor_hands_over_is_decided_by_the_image():
    first, _ = told(DIRECT)
    image = authenticode(layout_of(IMAGE))
    assert first.value == extended([image, *(sha384(text).digest() for text in (*ANNOUNCED, *EXITS))])


def test_the_first_of_a_disk_boot_has_the_partition_table_before_the_programs():
    boot = Boot(secret=False, partitions=b"table")
    image = authenticode(layout_of(IMAGE))
    *head, table = (sha384(text).digest() for text in (*ANNOUNCED, b"table"))
    tail = [sha384(text).digest() for text in EXITS]
    assert told(boot)[0].value == extended([*head, table, image, *tail])
    without = told(Boot(secret=False, partitions=b""))[0]
    assert without.value == extended([*head, image, *tail])


def test_the_first_has_the_types_registers_and_order_that_firmware_logs():
    """As in tests/data/event-logs and, for the partition table, in tests/boot/test_event_logs.py."""
    first, _ = told(Boot(secret=False, partitions=b"table", addons=(addon(),)))
    assert [(event.pcr, event.type, event.source) for event in first.events] == [
        (4, "EV_EFI_ACTION", "constant"),
        (4, "EV_SEPARATOR", "constant"),
        (5, "EV_EFI_GPT_EVENT", "the disk"),
        (4, "EV_EFI_BOOT_SERVICES_APPLICATION", "the image"),
        (4, "EV_EFI_BOOT_SERVICES_APPLICATION", "more.addon.efi"),
        (5, "EV_EFI_ACTION", "constant"),
        (5, "EV_EFI_ACTION", "constant"),
    ]
    assert {event.by for event in first.events} == {Measurer.FIRMWARE}


def test_without_the_disk_the_first_cannot_be_told_and_the_second_can():
    first, second = told(Boot(secret=False))
    assert (first.value, first.unknown) == (None, "the partition table of the disk is not known")
    assert second.value is not None


def test_what_makes_register_9_unknown_makes_the_second_so():
    first, second = told(Boot(partitions=b""))
    assert first.value is not None
    assert "secret" in second.unknown


def test_boot_loaders_make_both_unknown():
    for boot in (Boot(secret=False, partitions=b"", loaders=(addon(),)), Boot(method=BootMethod.DIRECT, shim=True)):
        assert all("boot loaders" in register.unknown for register in told(boot))


def test_the_second_holds_profile_sections_options_and_initrd_in_the_order_of_time():
    layout = layout_of(IMAGE)
    prediction = predicted(layout, Boot(method=BootMethod.DIRECT, options="passed console="), 1)
    _, second = rtmrs(prediction, DIRECT, layout)
    assert [event.pcr for event in second.events] == [12, *[11] * 10, 12, 9, 9]
    assert second.value == extended(event.digests["sha384"] for event in prediction.events if event.pcr >= 8)


TAGGED = ("the profile's number 1", ".initrd of the addon more.addon.efi")


def test_options_that_the_stub_of_a_confidential_guest_passes_over_make_the_second_unknown():
    """stub.c, use_load_options and cmdline_append_and_measure_smbios: the host decides on both."""
    first, second = told(Boot(method=BootMethod.DIRECT, smbios="quiet"))
    assert first.value is not None
    assert second.unknown.startswith("the stub of a confidential guest passes over options in SMBIOS strings")

    layout = layout_of([content for content in IMAGE if content[0] != ".cmdline"])
    with_options = {
        is_on: Boot(method=BootMethod.DIRECT, secure_boot=is_on, options="quiet", console="") for is_on in (False, True)
    }
    seconds = {is_on: rtmrs(predicted(layout, boot), boot, layout)[1] for is_on, boot in with_options.items()}
    assert seconds[False].value is not None
    assert seconds[True].unknown.startswith("with Secure Boot, the stub of a confidential guest passes over")


def test_only_stubs_from_261_on_measure_the_profile_and_addons():
    boot = Boot(method=BootMethod.DIRECT, addons=(addon(),))
    _, newest = told(boot, 1)
    assert [event.what for event in newest.events if event.type == "EV_EVENT_TAG"][:2] == list(TAGGED)
    _, older = told(boot, 1, "stub-257-x64")
    kinds = [(event.by, event.type) for event in older.events]
    assert ("stub", "EV_EVENT_TAG") not in kinds
    assert ("kernel", "EV_EVENT_TAG") in kinds
    assert ("stub", "EV_IPL") in kinds


def test_stubs_before_256_measure_nothing():
    events = measured(predicted(layout_of(IMAGE, "stub-257-x64"), DIRECT), model_of((255, 0)))
    assert {event.by for event in events} == {"firmware", "kernel"}


@pytest.mark.parametrize(
    ("release", "known"), [(b"6.9.12-arch1", False), (b"6.10.0", True), (b"5.14.0-427.el9", False), (b"12.0", True)]
)
def test_a_kernel_that_measures_only_into_tpms_makes_the_second_unknown(release, known):
    first, second = told(DIRECT, more=[(".uname", release, None)])
    assert first.value is not None
    assert (second.value is not None) is known
    assert ("6.10" in second.unknown) is not known


def test_only_the_digests_of_an_old_kernels_events_are_unknown():
    _, known = told(DIRECT, more=[(".uname", b"6.10", None)])
    _, old = told(DIRECT, more=[(".uname", b"6.9", None)])
    assert [(event.pcr, event.type, event.what, event.source, event.by) for event in old.events] == [
        (event.pcr, event.type, event.what, event.source, event.by) for event in known.events
    ]
    assert {event.by for event in old.events if event.unknown} == {Measurer.KERNEL}
    assert [event.digests for event in old.events if event.unknown] == [{}, {}]


def test_the_release_of_a_profile_is_its_own():
    own = (*IMAGE, (".uname", b"6.9", 1))
    for profile, is_known in ((0, True), (1, False)):
        layout = layout_of(own)
        _, second = rtmrs(predicted(layout, DIRECT, profile), DIRECT, layout)
        assert (second.value is not None) is is_known


def test_a_kernel_that_firmware_loads_is_in_the_first(part):
    kernel = part("kernel-x64").read_bytes()
    layout = layout_of([(".linux", kernel, None), (".cmdline", b"console=", None)], "stub-257-x64")
    first, _ = rtmrs(predicted(layout, DIRECT, None), DIRECT, layout)
    assert [event.source for event in first.events if event.type.endswith("APPLICATION")] == ["the image", ".linux"]


def test_what_vouches_for_a_program_comes_right_before_it():
    authorities = {"the image": b"one", "more.addon.efi": b"two"}
    policy = SecureBootPolicy(SecureBootState.ON, {}, authorities)
    boot = Boot(secret=False, secure_boot=True, policy=policy, addons=(addon(),))
    events = predicted(layout_of(IMAGE), boot).events
    order = [event.source for event in events if event.pcr == 4 or event.type == "EV_EFI_VARIABLE_AUTHORITY"]
    assert order == ["constant", "constant", "variable db", "the image", "variable db", "more.addon.efi"]


def guest_log(events: Iterable[Event]) -> bytes:
    """The log of a confidential guest with these events."""
    data = spec_event({"sha384": 48})
    for event in events:
        data += record({5: 2, **RTMR}[event.pcr], NUMBERS[event.type], event.digests, event.what.encode())
    return data


def test_a_guests_registers_are_held_against_those_that_its_image_predicts(tmp_path):
    layout = layout_of(IMAGE)
    write(tmp_path / "image.efi", layout)
    first, second = rtmrs(predicted(layout, DIRECT, 1), DIRECT, layout)
    verb = ("replay", "ccel", "--kind", "cc", "--image", "image.efi", "--direct")
    (tmp_path / "ccel").write_bytes(guest_log((*first.events, *second.events)))
    view = json.loads(succeed(tmp_path, *verb, "--json").out)
    values = {row["name"]: row["predicted"] for row in view["registers"]}
    assert values == {register.name: {"sha384": (register.value or b"").hex()} for register in (first, second)}
    number, *others = second.events
    (tmp_path / "ccel").write_bytes(guest_log((*first.events, *others, number)))
    done = invoke(tmp_path, *verb)
    assert done.code == 3
    assert "RTMR2 has the events that image.efi predicts, in another order" in done.err

    assert re.search(r"(?m)^RTMR2 +sha384 another value", done.out)


def test_a_confidential_guests_log_lacks_what_its_stub_does_not_measure_there():
    layout = layout_of(IMAGE, "stub-257-x64")
    contents = SectionDigests(layout, assemble(layout, digests=measured_in(BANKS)), BANKS)
    first, second = rtmrs(predicted(layout, DIRECT, 1), DIRECT, layout)
    data = guest_log((*first.events, *second.events))
    explanation = explain(event_log.decode(data, LogKind.CC), contents, cases(layout, None, [0, 1]), DIRECT)
    assert explanation.complete
    assert explanation.prediction is not None
    assert explanation.prediction.case.profile == 1


LOGGED = [tuple(line.split()) for line in (LOGS / "rtmr0.txt").read_text().splitlines()]
"""Type and digest of each event that a guest of dstack with 2 GiB on QEMU had in RTMR0, by a published log.

Its firmware is another build than Debian's, with the same empty volume of variables, and sections in the same places.
"""
RTMR0 = "85e0855a6384fa1c8a6ab36d0dcbfaa11a5753e5a070c08218ae5fe872fcb86967fd2449c29e22e59dc9fec998cb6547"
"""The register's value in its quote."""
CONFIGURATION = ("--host-firmware", "OVMF.fd", "--variables", "OVMF.fd", "--secure-boot", "absent", "--memory", "2G")


@pytest.fixture
def guest(tmp_path, part):
    write(tmp_path / "image.efi", layout_of(IMAGE))
    (tmp_path / "OVMF.fd").symlink_to(part("ovmf-2025"))
    return tmp_path


def test_what_files_decide_of_the_first_register_of_all_is_what_a_guest_had(guest):
    assert extended(bytes.fromhex(digest) for _, digest in LOGGED).hex() == RTMR0
    view = json.loads(
        succeed(guest, "measure", "image.efi", "--profile", "0", "--rtmr", "--direct", *CONFIGURATION, "--json").out
    )
    (case,) = view["predictions"]
    register = case["rtmrs"][0]
    assert (register["name"], register["value"]) == ("RTMR0", None)
    assert [(event["type"], event["digests"].get("sha384")) for event in register["events"]] == [
        *LOGGED[:8],
        ("EV_PLATFORM_CONFIG_FLAGS", None),
        ("EV_EFI_VARIABLE_BOOT", None),
    ]
    for reason in ("the hypervisor makes ACPI and SMBIOS tables", "the firmware makes boot options"):
        assert reason in register["unknown"]


def test_what_is_not_said_of_the_guest_is_asked_for(guest):
    out = succeed(guest, "measure", "image.efi", "--profile", "0", "--rtmr", "--direct", *CONFIGURATION[:2]).out
    (row,) = [line for line in out.splitlines() if "RTMR0" in line]
    assert "say --memory for one of QEMU q35" in row
    assert "give it as --variables too" in row
    refused = invoke(guest, "measure", "image.efi", "--rtmr", *CONFIGURATION[:-1], "2 GiB")
    assert refused.code == 2
    assert "--memory: '2 GiB' is no size of memory" in refused.err


def test_what_vouches_for_programs_follows_the_boot_options_as_in_a_guests_log():
    kinds = ("EV_EFI_VARIABLE_BOOT", "EV_EFI_VARIABLE_AUTHORITY")
    log = event_log.decode((LOGS / "secure-boot-on.log").read_bytes())
    logged = dict.fromkeys(event.type_name for event in log.events if event.type_name in kinds)

    variables = [
        Event(pcr=7, type=kind, what="", source="", by=Measurer.FIRMWARE, digests={"sha384": bytes(48)})
        for kind in ("EV_EFI_VARIABLE_DRIVER_CONFIG", "EV_EFI_VARIABLE_AUTHORITY")
    ]
    register = list(with_later(variables))
    assert [event.type for event in register if event.type in kinds] == list(logged)
    assert register[0] == variables[0]


def test_firmware_of_a_guests_log_is_recognised(guest):
    layout = layout_of(IMAGE)
    first, second = rtmrs(predicted(layout, DIRECT, 1), DIRECT, layout)
    numbers = {name: number for number, name in event_log.TYPES.items()}
    settings = b"".join(record(1, numbers[kind], {"sha384": bytes.fromhex(digest)}, b"") for kind, digest in LOGGED)
    (guest / "ccel").write_bytes(guest_log((*first.events, *second.events)) + settings)

    verb = ("replay", "ccel", "--kind", "cc", "--image", "image.efi", "--direct", *CONFIGURATION)
    events = json.loads(succeed(guest, *verb, "--json").out)["events"]
    verdicts = [event["verdict"] for event in events if event["register"] == 1]
    assert verdicts == [*["image"] * 7, *["firmware"] * 6]
