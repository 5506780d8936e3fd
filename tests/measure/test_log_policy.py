"""Rulings on single events: what TCG's firmware profile has on every machine, where each kind belongs, and images."""

from collections.abc import Sequence
from hashlib import sha384

import pytest
from msgspec.structs import replace

from fuki_build.formats.tcg.event_data import MeasuredVariable, encode_variable
from fuki_build.formats.tcg.event_log import TYPES, EventLog, LoggedEvent, LogKind
from fuki_build.formats.uefi.authenticated_variable import GLOBAL_VENDOR, IMAGE_SECURITY_VENDOR
from fuki_build.measure.boot import Boot
from fuki_build.measure.explain import explain
from fuki_build.measure.log_policy import LogJudgement, LogPolicy, Ruling, firmware_registers, judge, program_registers
from fuki_build.measure.pcr7 import SecureBootState
from fuki_build.measure.predict import cases, predict
from fuki_build.measure.secure_boot_rule import Entry, SecureBootRule
from fuki_build.measure.tolerated import EventKind
from tests.measure.test_explain import contents_of, log_of
from tests.measure.test_extender import SHIM, tag

BANK = "sha384"
NUMBERS = {name: number for number, name in TYPES.items()}
EMPTY = LogPolicy(bank=BANK)
CALLING = b"Calling EFI Application from Boot Option"
RETURNING = b"Returning from EFI Application from Boot Option"
EXITS = (
    b"Exit Boot Services Invocation",
    b"Exit Boot Services Returned with Success",
    b"Exit Boot Services Returned with Failure",
)


def event(register: int, kind: str, data: bytes = b"", measured: bytes | None = None) -> LoggedEvent:
    digest = sha384(data if measured is None else measured).digest()
    return LoggedEvent(register, NUMBERS[kind], {BANK: digest}, data)


def log_with(*events: LoggedEvent, kind: LogKind = LogKind.TPM) -> EventLog:
    return EventLog(kind=kind, banks=(BANK,), events=events, crypto_agile=True, end=0)


def rulings(policy: LogPolicy, *events: LoggedEvent, kind: LogKind = LogKind.TPM) -> list[str]:
    return [item.ruling for item in judge(log_with(*events, kind=kind), policy, None).events]


@pytest.mark.parametrize(("kind", "registers"), [(LogKind.TPM, range(8)), (LogKind.CC, range(3))])
def test_separators_are_firmwares_in_its_registers_alone(kind: LogKind, registers: Sequence[int]):
    """PFP 3.3.4: PCR 0 to 7; MRTD, RTMR0 and RTMR1 of a guest have them. 1 tells of an error (10.4.5)."""
    for data, is_good in ((bytes(4), True), (b"\xff" * 4, True), (b"\1\0\0\0", False), (b"", False)):
        separators = [event(register, "EV_SEPARATOR", data) for register in range(24)]
        accepted = [number for number, r in enumerate(rulings(EMPTY, *separators, kind=kind)) if r == Ruling.ACCEPTED]
        assert accepted == list(registers if is_good else ())


@pytest.mark.parametrize(
    ("text", "register", "in_guest"), [(CALLING, 4, 2), (RETURNING, 4, 2), *((text, 5, 2) for text in EXITS)]
)
def test_what_firmware_says_is_accepted_where_it_says_it(text: bytes, register: int, in_guest: int):
    for kind, own in ((LogKind.TPM, register), (LogKind.CC, in_guest)):
        actions = [event(number, "EV_EFI_ACTION", text) for number in range(24)]
        accepted = [number for number, r in enumerate(rulings(EMPTY, *actions, kind=kind)) if r == Ruling.ACCEPTED]
        assert accepted == [own]

    others = [event(register, "EV_EFI_ACTION", text + b"!"), event(register, "EV_ACTION", text)]
    assert rulings(EMPTY, *others) == [Ruling.REFUSED] * 2
    assert rulings(EMPTY, event(register, "EV_EFI_ACTION", text, b"another")) == [Ruling.REFUSED]


def test_what_extends_nothing_is_not_judged_and_what_lacks_the_bank_is_refused():
    other = replace(event(4, "EV_SEPARATOR", bytes(4)), digests={"sha1": bytes(20)})
    judged = judge(log_with(event(0, "EV_NO_ACTION"), other), EMPTY, None)
    assert [item.ruling for item in judged.events] == [Ruling.NOT_JUDGED, Ruling.REFUSED]
    assert judged.events[1].because == "it has no digest in sha384"
    assert not judged.holds
    assert judge(log_with(event(0, "EV_NO_ACTION")), EMPTY, None).holds


def test_each_event_has_one_ruling_with_its_number_and_the_reason():
    without_bank = LoggedEvent(4, NUMBERS["EV_IPL"], {}, b"")
    log = log_with(
        event(0, "EV_NO_ACTION"),
        without_bank,
        event(4, "EV_SEPARATOR", bytes(4)),
        event(1, "EV_EFI_HANDOFF_TABLES"),
        event(11, "EV_IPL", b"x"),
    )
    judged = judge(log, replace(EMPTY, tolerated=frozenset({EventKind.TABLES})), None)
    assert [(item.number, item.event) for item in judged.events] == list(enumerate(log.events))
    assert [(item.ruling, item.because) for item in judged.events] == [
        (Ruling.NOT_JUDGED, "it extends no register"),
        (Ruling.REFUSED, "it has no digest in sha384"),
        (Ruling.ACCEPTED, "firmware measures it on every machine"),
        (Ruling.TOLERATED, 'tolerate "tables": tables that firmware hands over, such as SMBIOS'),
        (Ruling.REFUSED, "nothing in the policy names it"),
    ]


def test_a_digest_is_accepted_in_the_register_that_it_is_named_for():
    """Whatever the log says of it, even if its data proves something else."""
    named = event(4, "EV_EFI_ACTION", b"a lie", b"program")
    policy = replace(EMPTY, digests={4: {named.digests[BANK]: "programs.digests"}})
    judged = judge(log_with(named, replace(named, register=2)), policy, None)
    assert [(item.ruling, item.because) for item in judged.events] == [
        (Ruling.ACCEPTED, "programs.digests"),
        (Ruling.REFUSED, "its digest is of something else than its data"),
    ]


PLACES = [
    ("host", 0, "EV_NONHOST_INFO", b"", 0),
    ("microcode", 1, "EV_CPU_MICROCODE", b"", 1),
    ("tables", 1, "EV_EFI_HANDOFF_TABLES", b"", 1),
    ("tables", 1, "EV_EFI_HANDOFF_TABLES2", b"", 1),
    ("boot-variables", 1, "EV_EFI_VARIABLE_BOOT", b"", 1),
    ("boot-variables", 1, "EV_EFI_VARIABLE_BOOT2", b"", 1),
    ("configuration", 1, "EV_PLATFORM_CONFIG_FLAGS", b"", 1),
    ("drivers", 2, "EV_EFI_BOOT_SERVICES_DRIVER", b"", 2),
    ("drivers", 2, "EV_EFI_RUNTIME_SERVICES_DRIVER", b"", 2),
    ("partitions", 5, "EV_EFI_GPT_EVENT", b"", 2),
    ("authorities", 7, "EV_EFI_VARIABLE_AUTHORITY", b"", 1),
    ("secure-boot-variables", 7, "EV_EFI_VARIABLE_DRIVER_CONFIG", b"", 1),
    ("grub", 8, "EV_IPL", b"", 3),
    ("grub", 9, "EV_IPL", b"", 3),
    ("shim-lists", 14, "EV_IPL", b"", None),
    ("smbios", 1, "EV_EVENT_TAG", tag(0xD5CB7CBC), 1),
    ("smbios", 1, "EV_EVENT_TAG", tag(0xE0D47BC8), 1),
    ("smbios", 1, "EV_EVENT_TAG", tag(0xC0B3BD23), 1),
    ("initrd", 9, "EV_EVENT_TAG", tag(0x8F3B22EC), 3),
]
"""PFP 3.3.4 and the UAPI group's registry; the last number is the guest's register (UEFI 2.10, 38.4.1).

There nothing tells shim's lists from GRUB's commands, so that they are of that kind.
"""


@pytest.mark.parametrize(("kind", "register", "type_name", "data", "in_guest"), PLACES)
def test_a_kind_is_tolerated_in_its_register_alone(
    kind: str, register: int, type_name: str, data: bytes, in_guest: int | None
):
    policy = replace(EMPTY, tolerated=frozenset({EventKind(kind)}))
    everywhere = [event(number, type_name, data) for number in range(24)]
    tolerated = {number for number, r in enumerate(rulings(policy, *everywhere)) if r == Ruling.TOLERATED}
    assert tolerated == {
        own for name, own, its_type, its_data, _ in PLACES if (name, its_type, its_data) == (kind, type_name, data)
    }
    guest = rulings(policy, *everywhere, kind=LogKind.CC)
    assert [number for number, ruling in enumerate(guest) if ruling == Ruling.TOLERATED] == (
        [] if in_guest is None else [in_guest]
    )

    others = replace(EMPTY, tolerated=frozenset(set(EventKind) - {EventKind(kind)}))
    assert Ruling.TOLERATED not in rulings(others, event(register, type_name, data))


def test_what_its_data_proves_false_is_never_tolerated():
    policy = replace(EMPTY, tolerated=frozenset(EventKind))
    for register, kind in ((5, "EV_EFI_GPT_EVENT"), (7, "EV_EFI_VARIABLE_DRIVER_CONFIG"), (1, "EV_EFI_VARIABLE_BOOT2")):
        assert rulings(policy, event(register, kind, b"data", b"other")) == [Ruling.REFUSED]


def test_other_tags_are_of_no_kind():
    policy = replace(EMPTY, tolerated=frozenset(EventKind))
    tags = [tag(0x8F3B22ED), tag(0x13AED6DB), tag(0xF5BC582A), tag(0x12345678), b"\xec"]
    for register in (1, 9, 12):
        assert rulings(policy, *(event(register, "EV_EVENT_TAG", data) for data in tags)) == [Ruling.REFUSED] * len(
            tags
        )


ENTRY: Entry = (IMAGE_SECURITY_VENDOR, b"certificate")
RULE = SecureBootRule(state=SecureBootState.ON, lists={"db": frozenset({ENTRY})}, authorities=frozenset({b"shim's"}))


@pytest.mark.parametrize(
    ("vendor", "name", "value", "is_good"),
    [
        (IMAGE_SECURITY_VENDOR, "db", bytes(16) + b"certificate", True),
        (IMAGE_SECURITY_VENDOR, "db", b"certificate", True),
        (IMAGE_SECURITY_VENDOR, "db", bytes(15) + b"certificate", False),
        (SHIM, "Shim", b"shim's", True),
        (SHIM, "MokList", bytes(16) + b"shim's", True),
        (SHIM, "Shim", b"another", False),
        (SHIM, "Shim", b"", False),
    ],
)
def test_only_what_is_named_vouches(vendor, name: str, value: bytes, is_good: bool):
    vouching = event(7, "EV_EFI_VARIABLE_AUTHORITY", encode_variable(MeasuredVariable(vendor, name, value)))
    policy = replace(EMPTY, secure_boot=RULE)
    assert rulings(policy, vouching) == [Ruling.ACCEPTED if is_good else Ruling.REFUSED]
    assert rulings(policy, replace(vouching, register=1), kind=LogKind.CC) == rulings(policy, vouching)
    assert rulings(policy, replace(vouching, register=6)) == [Ruling.REFUSED]
    assert rulings(EMPTY, vouching) == [Ruling.REFUSED]


@pytest.mark.parametrize(
    ("required", "values"),
    [("on", {b"\1": True, b"\0": False, b"": False}), ("off", {b"\1": False, b"\0": True, b"": True, b"\2": False})],
)
def test_the_state_is_that_of_the_policy(required: str, values: dict[bytes, bool]):
    policy = replace(EMPTY, secure_boot=SecureBootRule(state=SecureBootState(required)))
    for value, is_good in values.items():
        state = event(
            7, "EV_EFI_VARIABLE_DRIVER_CONFIG", encode_variable(MeasuredVariable(GLOBAL_VENDOR, "SecureBoot", value))
        )
        judged = judge(log_with(state), policy, None)
        assert judged.holds is is_good
        assert bool(judged.missing) is not is_good
        # A variable of that name of somebody else is none of Secure Boot's.
        foreign = encode_variable(MeasuredVariable(IMAGE_SECURITY_VENDOR, "SecureBoot", value))
        assert rulings(policy, event(7, "EV_EFI_VARIABLE_DRIVER_CONFIG", foreign)) == [Ruling.REFUSED]


@pytest.mark.parametrize(
    ("name", "state", "is_good"),
    [("KEK", "on", True), ("KEK", "off", True), ("dbx", "on", False), ("dbx", "off", True), ("dbt", "on", True)],
)
def test_an_empty_list_trusts_nothing_and_revokes_nothing(name: str, state: str, is_good: bool):
    vendor = GLOBAL_VENDOR if name == "KEK" else IMAGE_SECURITY_VENDOR
    empty = event(7, "EV_EFI_VARIABLE_DRIVER_CONFIG", encode_variable(MeasuredVariable(vendor, name, b"")))
    policy = replace(EMPTY, secure_boot=SecureBootRule(state=SecureBootState(state)))
    assert rulings(policy, empty) == [Ruling.ACCEPTED if is_good else Ruling.REFUSED]


def test_an_event_that_is_accepted_for_its_digest_alone_proves_no_state():
    """What its data says counts only if it was measured, and if it is what the policy asks for."""
    on = encode_variable(MeasuredVariable(GLOBAL_VENDOR, "SecureBoot", b"\1"))
    off = encode_variable(MeasuredVariable(GLOBAL_VENDOR, "SecureBoot", b"\0"))
    rule = SecureBootRule(state=SecureBootState.ON, lists={"dbx": frozenset()})
    missing = (
        "no accepted event is of SecureBoot, which secure-boot.state is about",
        "no accepted event is of dbx, which secure-boot.dbx is about",
    )
    for data, measured in ((on, off), (off, off)):
        accepted = event(7, "EV_EFI_VARIABLE_DRIVER_CONFIG", data, measured)
        policy = replace(EMPTY, secure_boot=rule, digests={7: {accepted.digests[BANK]: "named"}})
        judged = judge(log_with(accepted), policy, None)
        assert (judged.events[0].because, judged.missing) == ("named", missing)

    proven = event(7, "EV_EFI_VARIABLE_DRIVER_CONFIG", on)
    assert judge(log_with(proven), replace(EMPTY, secure_boot=rule), None).missing == missing[1:]
    labelled = event(7, "EV_EFI_VARIABLE_AUTHORITY", on)
    policy = replace(EMPTY, secure_boot=rule, digests={7: {labelled.digests[BANK]: "named"}})
    assert judge(log_with(labelled), policy, None).missing == missing


def test_a_damaged_variable_is_refused():
    named = replace(EMPTY, secure_boot=SecureBootRule(state=SecureBootState.OFF, lists={"KEK": frozenset({ENTRY})}))
    data = encode_variable(MeasuredVariable(GLOBAL_VENDOR, "KEK", b"no list"))
    for kind, content, words in (
        ("EV_EFI_VARIABLE_DRIVER_CONFIG", data, "KEK is damaged: "),
        ("EV_EFI_VARIABLE_DRIVER_CONFIG", b"no variable", "it is damaged: "),
        ("EV_EFI_VARIABLE_AUTHORITY", b"no variable", "it is damaged: "),
    ):
        (judged,) = judge(log_with(event(7, kind, content)), named, None).events
        assert (judged.ruling, judged.because.startswith(words)) == (Ruling.REFUSED, True)


def test_firmware_and_programs_are_measured_into_registers_of_their_own():
    """PFP 3.3.4; of a guest, MRTD and RTMR0, and RTMR1."""
    assert [firmware_registers(kind) for kind in (LogKind.TPM, LogKind.CC)] == [(0,), (0, 1)]
    assert [program_registers(kind) for kind in (LogKind.TPM, LogKind.CC)] == [(2, 4), (2,)]


STARTED = Boot(secret=False, console="", options="console=tty0 passed", smbios="from=host")


def started(policy: LogPolicy, boot: Boot = STARTED, kind: LogKind = LogKind.TPM, *, lacks: int = 0) -> LogJudgement:
    """The judgement on the log of an image that was started so, without the last of its events."""
    contents = contents_of(b"console=tty0")
    possible = cases(contents.layout, None, [None])
    (prediction,) = predict(contents, possible, boot)
    log = log_of(prediction.events[: len(prediction.events) - lacks], kind)
    return judge(log, policy, explain(log, contents, possible), "image.efi")


ALLOWED = replace(
    EMPTY, options=("console=tty0 passed",), smbios_options=("from=host",), image_names=("image.efi", "other.efi")
)


@pytest.mark.parametrize("kind", LogKind)
def test_an_image_accounts_for_its_events_with_the_options_that_are_named(kind: LogKind):
    judged = started(ALLOWED, kind=kind)
    assert (judged.holds, judged.missing) == (True, ())
    because = [item.because for item in judged.events]
    assert because[1:3] == ["firmware measures it on every machine"] * 2
    assert because[3] == 'programs.images "image.efi": the image'
    assert "programs.options names 'console=tty0 passed'" in because
    assert "programs.smbios-options names 'from=host'" in because


@pytest.mark.parametrize(
    ("policy", "key"),
    [
        (replace(ALLOWED, options=("console=tty0",)), "programs.options does not name 'console=tty0 passed'"),
        (replace(ALLOWED, smbios_options=()), "programs.smbios-options does not name 'from=host'"),
    ],
)
def test_options_that_are_not_named_are_refused_where_they_are_measured(policy: LogPolicy, key: str):
    """In PCR 12 as they are passed, and in PCR 9 as part of the whole command line."""
    refused = [item for item in started(policy).events if item.ruling is Ruling.REFUSED]
    assert [item.event.register for item in refused] == [12, 9]
    assert {item.because for item in refused} == {f"{key}, which was passed to the image"}


def test_what_the_image_measures_and_the_log_lacks_is_told():
    judged = started(ALLOWED, lacks=1)
    assert judged.missing == ("PCR 9 has no event of the initrd, as the stub joins it",)
    assert not judged.holds


def test_an_image_that_was_not_started_accounts_for_nothing():
    contents = contents_of(b"console=tty0")
    possible = cases(contents.layout, None, [None])
    (prediction,) = predict(contents, possible, STARTED)
    log = log_of([event for event in prediction.events if event.source != "the image"])
    judged = judge(log, ALLOWED, explain(log, contents, possible), "image.efi")
    assert judged.missing == ("none of programs.images was started: image.efi, other.efi",)
    assert {item.ruling for item in judged.events if item.event.register in (9, 11, 12)} == {Ruling.REFUSED}


def test_what_the_image_may_have_measured_is_not_accepted_for_it():
    """Where the stub adds a secret nobody can tell the initrd, so that any other one could stand there."""
    contents = contents_of(b"console=tty0")
    possible = cases(contents.layout, None, [None])
    (prediction,) = predict(contents, possible, STARTED)
    *others, initrd = prediction.events
    log = log_of([*others, replace(initrd, digests={BANK: sha384(b"another initrd").digest()})])

    judged = judge(log, ALLOWED, explain(log, contents, possible), "image.efi")
    assert (judged.events[-1].event.register, judged.events[-1].ruling) == (9, Ruling.REFUSED)
    assert [item.ruling for item in judged.events[:-1]].count(Ruling.REFUSED) == 0


FIRMWARE = event(0, "EV_S_CRTM_VERSION", b"1.0")


def test_firmware_that_is_named_has_to_be_measured_as_what_is_accepted():
    digest = FIRMWARE.digests[BANK]
    policy = replace(EMPTY, firmware=frozenset({digest}))
    missing = ("no event is of the firmware that [firmware] names",)
    assert judge(log_with(FIRMWARE), policy, None).missing == missing
    assert judge(log_with(), policy, None).missing == missing
    accepting = replace(policy, digests={0: {digest: "firmware.versions"}})
    assert judge(log_with(FIRMWARE), accepting, None).missing == ()


@pytest.mark.parametrize(
    ("register", "kind", "remedy", "in_guest"),
    [
        (0, "EV_S_CRTM_VERSION", "firmware.files", (0, 1)),
        (0, "EV_POST_CODE", "firmware.files", (0, 1)),
        (2, "EV_EFI_BOOT_SERVICES_APPLICATION", "programs.images or programs.loaders", (2,)),
        (4, "EV_EFI_BOOT_SERVICES_APPLICATION", "programs.images or programs.loaders", (2,)),
        (7, "EV_EFI_VARIABLE_DRIVER_CONFIG", "[secure-boot]", (1,)),
        (7, "EV_EFI_VARIABLE_AUTHORITY", "secure-boot.authorities", (1,)),
        (1, "EV_EFI_VARIABLE_BOOT", 'tolerate = ["boot-variables"]', (1,)),
        (12, "EV_IPL", "programs.images with the image's file and programs.options", ()),
        (11, "EV_IPL", "programs.images with the file of the image", ()),
        (9, "EV_EVENT_TAG", "programs.images with the file of the image", (3,)),
        (13, "EV_IPL", "programs.images with the file of the image", ()),
        (10, "EV_IPL", "[[events]] with register = 10", ()),
        (5, "EV_EFI_BOOT_SERVICES_APPLICATION", "[[events]] with register = 5", ()),
    ],
)
def test_a_remedy_is_about_register_and_type(register: int, kind: str, remedy: str, in_guest: tuple[int, ...]):
    (judged,) = judge(log_with(event(register, kind, b"data")), EMPTY, None).events
    assert judged.remedy.startswith(remedy)
    assert ("[[events]]" in judged.remedy) is not remedy.startswith(
        ("firmware", "programs.images or", "[sec", "secure")
    )
    for number in in_guest:
        (judged,) = judge(log_with(event(number, kind, b"data"), kind=LogKind.CC), EMPTY, None).events
        assert judged.remedy.startswith(remedy)
