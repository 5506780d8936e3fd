"""What is told of a register that has not what an image predicts: one sentence for each event."""

from collections.abc import Sequence
from hashlib import sha384

import pytest

from fuki_build.formats.tcg import event_log
from fuki_build.formats.tcg.event_log import LogKind
from fuki_build.image.assemble import assemble
from fuki_build.image.digest_plan import measured_in
from fuki_build.measure.boot import Boot
from fuki_build.measure.cmdline import encode
from fuki_build.measure.events import Event, Measurer
from fuki_build.measure.explain import explain
from fuki_build.measure.predict import cases, predict
from fuki_build.measure.reasons import reasons
from fuki_build.measure.section_digests import SectionDigests
from tests.formats.test_event_log import record, spec_event
from tests.measure.test_explain import NUMBERS, contents_of, log_of
from tests.measure.test_extender import file_path, loaded, tag
from tests.support.images import layout_of

BOOT = Boot(secret=False)
FROM_DISK = loaded(file_path("\\EFI\\other.efi"))


def events_of(contents: SectionDigests, boot: Boot = BOOT) -> tuple[Event, ...]:
    (prediction,) = predict(contents, cases(contents.layout, None, [None]), boot)
    return prediction.events


def told(
    events: Sequence[Event], *more: tuple[int, str, bytes, bytes], kind: LogKind = LogKind.TPM
) -> list[tuple[int, str]]:
    """The reasons for a log of events and of others: register, type, measured data and what is logged of it."""
    contents = contents_of(b"console=tty0")
    data = b"".join(
        record(pcr, NUMBERS[name], {"sha384": sha384(measured).digest()}, text) for pcr, name, measured, text in more
    )
    log = log_of(events, kind)
    whole = event_log.decode(spec_event({"sha384": 48}) + data, kind)
    joined = event_log.EventLog(
        kind=kind, banks=log.banks, events=(*log.events, *whole.events[1:]), crypto_agile=True, end=0
    )
    explanation = explain(joined, contents, cases(contents.layout, None, [None]))
    return list(reasons(explanation, contents, kind))


OWN = contents_of(b"console=tty0")


@pytest.mark.parametrize(
    ("pcr", "name", "text", "words"),
    [
        (
            12,
            "EV_IPL",
            encode("added"),
            "options were added: added (name them with --options, --smbios-options or --addon)",
        ),
        (
            12,
            "EV_EVENT_TAG",
            tag(0x49DFFE0F),
            "systemd-stub: initrd addon:  was measured: name the addon or credential",
        ),
        (11, "EV_IPL", b".dtb", ".dtb was measured, which the image does not have or the stub does not select"),
        (9, "EV_EVENT_TAG", tag(0x8F3B22EC), "the kernel got another initrd: credentials, extensions or an addon"),
        (9, "EV_EVENT_TAG", tag(0x8F3B22ED), "Linux: load options:  was measured by something unknown"),
        (9, "EV_EVENT_TAG", tag(0x12345678), "tag 0x12345678:  was measured by something unknown"),
        (
            4,
            "EV_EFI_BOOT_SERVICES_APPLICATION",
            FROM_DISK,
            r"\EFI\other.efi was started, which is not known: name it with",
        ),
    ],
)
def test_an_event_more_is_told_by_its_register(pcr: int, name: str, text: bytes, words: str):
    ((register, reason),) = told(events_of(OWN), (pcr, name, b"something else", text))
    assert register == pcr
    assert reason.startswith(words)


def test_in_the_log_of_a_guest_it_is_told_as_it_is():
    ((register, reason),) = told(events_of(OWN), (3, "EV_IPL", b"something else", b".dtb"), kind=LogKind.CC)
    assert (register, reason) == (3, ".dtb is not expected")


def test_the_image_itself_is_recognised_among_programs():
    image = next(event for event in events_of(OWN) if event.source == "the image")
    assert told((*events_of(OWN), image)) == [(4, "the image itself was started once more")]


def test_another_build_of_the_image_is_told_once_of_each_register():
    """Its start takes the place of the image's, and its sections that of the image's own."""
    other = contents_of(b"console=tty1")
    reasons_of = told(events_of(other))
    (program,) = [text for register, text in reasons_of if register == 4]
    assert program.endswith("was started, and it is not this image: another program, or another build of the image")
    assert [text for register, text in reasons_of if register == 11] == [
        ".cmdline has other content than in the image, or another one was selected"
    ]
    assert len(reasons_of) == 3


def test_what_was_not_measured_is_told():
    events = events_of(OWN)
    without = [event for event in events if event.what not in ("content of .initrd", "name of .initrd")]
    assert told(without) == [
        (11, "name of .initrd was not measured"),
        (11, "content of .initrd was not measured"),
    ]
    assert told(events[:-2])[-1] == (9, "the initrd, as the stub joins it was not measured")


def test_a_kernel_that_firmware_loaded_is_told(part):
    kernel = part("kernel-x64").read_bytes()
    layout = layout_of([(".linux", kernel, None), (".cmdline", b"console=tty0", None)])
    contents = SectionDigests(layout, assemble(layout, digests=measured_in(("sha384",))), ("sha384",))
    event = Event(
        pcr=4,
        type="EV_EFI_BOOT_SERVICES_APPLICATION",
        what="the kernel",
        source="",
        by=Measurer.FIRMWARE,
        digests=contents.kernel_digests(layout.find(".linux")[0]) or {},
    )
    explanation = explain(log_of((*events_of(contents), event)), contents, cases(layout, None, [None]))
    ((register, reason),) = reasons(explanation, contents, LogKind.TPM)
    assert (register, reason.partition(":")[0]) == (4, "firmware loaded the kernel in .linux")
