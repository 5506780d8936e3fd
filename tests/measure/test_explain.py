"""Logs held against images, where the logs are made of what was predicted and of what was added."""

from collections.abc import Iterable
from hashlib import sha256

import pytest
from msgspec.structs import replace

from fuki_build.formats.tcg import event_log
from fuki_build.formats.tcg.event_log import TYPES, EventLog, LogKind
from fuki_build.image.assemble import assemble
from fuki_build.image.digest_plan import measured_in
from fuki_build.measure.boot import Boot, BootMethod
from fuki_build.measure.cmdline import encode
from fuki_build.measure.events import Event
from fuki_build.measure.explain import Explanation, explain, fits_phases
from fuki_build.measure.log_comparison import RegisterVerdict
from fuki_build.measure.pcr7 import SecureBootPolicy, SecureBootState
from fuki_build.measure.predict import cases, predict
from fuki_build.measure.reasons import reasons
from fuki_build.measure.registers import PHASES, digests
from fuki_build.measure.section_digests import SectionDigests
from tests.formats.test_event_log import record, spec_event
from tests.support.images import layout_of

NUMBERS = {name: number for number, name in TYPES.items()}
RTMR = {4: 2, 9: 3, 11: 3, 12: 3}
"""Registers of a confidential guest as its log numbers them, by those of a TPM (UEFI 2.10, 38.4.1)."""


def contents_of(cmdline: bytes = b"quiet", bank: str = "sha384") -> SectionDigests:
    layout = layout_of([(".linux", b"kernel", None), (".cmdline", cmdline, None), (".initrd", b"initrd", None)])
    return SectionDigests(layout, assemble(layout, digests=measured_in((bank,))), (bank,))


CONTENTS = contents_of()
BOOTS = cases(CONTENTS.layout, None, [None])


def log_of(events: Iterable[Event], kind: LogKind = LogKind.TPM) -> EventLog:
    """A log of predicted events; options stand in it as the stub writes them."""
    data = spec_event({"sha384": 48})
    for event in events:
        register = event.pcr if kind is LogKind.TPM else RTMR[event.pcr]
        data += record(register, NUMBERS[event.type], event.digests, data_of(event))
    return event_log.decode(data, kind)


def data_of(event: Event) -> bytes:
    """What firmware and stub log of an event, as far as it is read."""
    match event.type:
        case "EV_SEPARATOR":
            return bytes(4)
        case "EV_EFI_ACTION":
            return event.what.encode()
        case "EV_IPL" if event.pcr == 12:
            return encode(event.what.partition(": ")[2])
    return encode(event.what.split()[-1]) if event.pcr == 12 else event.what.split()[-1].encode()


def found(contents: SectionDigests, boot: Boot, kind: LogKind = LogKind.TPM) -> Explanation:
    boots = cases(contents.layout, None, [None])
    (prediction,) = predict(contents, boots, boot)
    return explain(log_of(prediction.events, kind), contents, boots)


@pytest.mark.parametrize("kind", LogKind)
@pytest.mark.parametrize(
    "boot",
    [
        Boot(method=BootMethod.DIRECT, console=""),
        Boot(method=BootMethod.DIRECT, console="console=uart,io,0x3f8 console=tty0"),
        Boot(secret=False, console="console=hvc0", options="passed"),
        Boot(secret=False, console="", smbios="from=host"),
        Boot(secret=False, console="console=tty0", options="passed", smbios="from=host"),
    ],
)
def test_how_an_image_was_started_is_found_out(boot, kind):
    explanation = found(contents_of(), boot, kind)
    assert explanation.complete
    assert explanation.boot is not None
    assert explanation.boot.method is boot.method
    assert (explanation.boot.options, explanation.boot.smbios) == (boot.options, boot.smbios)
    assert explanation.boot.console == boot.console


def test_firmware_without_secure_boot_is_told_from_firmware_that_has_it_off():
    """It measures an empty variable SecureBoot, and the other a zero (tests/data/event-logs)."""
    for state in (SecureBootState.OFF, SecureBootState.ABSENT):
        policy = SecureBootPolicy(state, {})
        (prediction,) = predict(CONTENTS, BOOTS, Boot(secret=False, console="", policy=policy))
        explanation = explain(
            log_of(prediction.events), CONTENTS, BOOTS, Boot(policy=SecureBootPolicy(SecureBootState.OFF, {}))
        )
        assert explanation.complete
        assert explanation.boot is not None
        assert explanation.boot.policy == policy

    on = SecureBootPolicy(SecureBootState.ON, {})
    (prediction,) = predict(CONTENTS, BOOTS, Boot(secret=False, console="", policy=policy))
    assert not explain(log_of(prediction.events), CONTENTS, BOOTS, Boot(policy=on)).complete


@pytest.mark.parametrize("known", [Boot(options="other"), Boot(smbios="other"), Boot(console="console=tty0")])
def test_what_is_known_of_the_start_is_not_sought_in_the_log(known: Boot):
    (prediction,) = predict(CONTENTS, BOOTS, Boot(secret=False, console="", options="passed", smbios="host"))
    explanation = explain(log_of(prediction.events), CONTENTS, BOOTS, known)
    assert not explanation.complete
    boot = explanation.boot
    assert boot is not None
    assert (known.options or boot.options, known.smbios or boot.smbios) == (boot.options, boot.smbios)
    assert boot.console == (known.console or "")


@pytest.mark.parametrize("secret", [True, False])
def test_a_secret_of_the_machine_is_assumed_where_the_initrd_is_another(secret: bool):
    (prediction,) = predict(CONTENTS, BOOTS, Boot(secret=False, console=""))
    *others, initrd = prediction.events
    events = [*others, replace(initrd, digests=digests(b"secret", ("sha384",)))] if secret else prediction.events
    explanation = explain(log_of(events), CONTENTS, BOOTS)
    assert explanation.boot is not None
    assert explanation.boot.secret is secret
    # Who knows that there is none is told that the initrd is another.
    assert explain(log_of(events), CONTENTS, BOOTS, Boot(secret=False)).complete is not secret


def test_the_case_is_the_one_whose_sections_were_measured():
    layout = layout_of(
        [
            (".linux", b"kernel", None),
            (".cmdline", b"console=tty0", None),
            (".profile", b"ID=a", 0),
            (".profile", b"ID=b", 1),
        ]
    )
    contents = SectionDigests(layout, assemble(layout, digests=measured_in(("sha384",))), ("sha384",))
    possible = cases(layout, None, [0, 1])
    for prediction in predict(contents, possible, Boot(secret=False)):
        explanation = explain(log_of(prediction.events), contents, possible)
        assert explanation.complete
        assert explanation.prediction is not None
        assert explanation.prediction.case == prediction.case


def test_a_register_that_phases_extended_is_told_with_their_path():
    start, phase = bytes(32), "enter-initrd:leave-initrd"
    value = start
    for word in (b"enter-initrd", b"leave-initrd"):
        value = sha256(value + sha256(word).digest()).digest()
    assert fits_phases(value, "sha256", start, PHASES) == phase
    assert fits_phases(start, "sha256", start, PHASES) is None


def test_the_log_of_a_confidential_guest_is_explained_although_it_has_other_registers():
    explanation = found(contents_of(), Boot(secret=False, console=""), LogKind.CC)
    assert explanation.complete
    verdicts = [item.verdict for item in explanation.events]
    assert verdicts.count(RegisterVerdict.IMAGE) == 1 + 2 * 4 + 2


def test_what_the_log_of_a_confidential_guest_lacks_is_told_with_its_own_registers():
    contents = contents_of(b"console=tty0")
    boots = cases(contents.layout, None, [None])
    (prediction,) = predict(contents, boots, Boot(secret=False))
    *others, _ = prediction.events
    explanation = explain(log_of(others, LogKind.CC), contents, boots)
    assert list(reasons(explanation, contents, LogKind.CC)) == [
        (3, "the initrd, as the stub joins it was not measured")
    ]


def test_an_initrd_that_cannot_be_told_is_undecided_and_nothing_is_missing():
    contents = contents_of(b"console=tty0")
    boots = cases(contents.layout, None, [None])
    (prediction,) = predict(contents, boots, Boot(secret=False))

    *others, initrd = prediction.events
    changed = Event(
        pcr=initrd.pcr,
        type=initrd.type,
        what=initrd.what,
        source=initrd.source,
        by=initrd.by,
        digests=digests(b"secret", ("sha384",)),
    )

    explanation = explain(log_of([*others, changed]), contents, boots)
    assert explanation.complete
    assert explanation.events[-1].verdict is RegisterVerdict.UNDECIDED
    assert "secret" in explanation.events[-1].what


def test_a_program_that_starts_before_the_image_is_found():
    contents = contents_of(b"console=tty0")
    boots = cases(contents.layout, None, [None])
    (prediction,) = predict(contents, boots, Boot(secret=False))

    first, second, *others = prediction.events
    program = Event(
        pcr=4,
        type="EV_EFI_BOOT_SERVICES_APPLICATION",
        what="a menu",
        source="",
        by=first.by,
        digests=digests(b"menu", ("sha384",)),
    )

    explanation = explain(log_of([first, second, program, *others]), contents, boots)
    assert not explanation.complete
    assert not explanation.missing
    ((register, text),) = reasons(explanation, contents, LogKind.TPM)
    assert register == 4
    assert "name it with --loader or --addon" in text


def test_a_section_with_other_content_is_named():
    contents = contents_of(b"console=tty0")
    other = contents_of(b"console=tty1")
    (prediction,) = predict(other, cases(other.layout, None, [None]), Boot(secret=False))
    explanation = explain(log_of(prediction.events), contents, cases(contents.layout, None, [None]))
    told = dict(reasons(explanation, contents, LogKind.TPM))
    assert told[11] == ".cmdline has other content than in the image, or another one was selected"
    assert 9 in told


def test_a_log_of_thousands_of_options_is_not_searched_for_all_of_them():
    contents = contents_of()
    boots = cases(contents.layout, None, [None])
    by = predict(contents, boots)[0].events[0].by
    texts = [f"option{number}" for number in range(3000)]
    many = [
        Event(pcr=12, type="EV_IPL", what=f"x: {t}", source="", by=by, digests=digests(encode(t), ("sha384",)))
        for t in texts
    ]
    explanation = explain(log_of(many), contents, boots)
    assert sum(item.verdict is RegisterVerdict.UNEXPECTED for item in explanation.events) > 2990
