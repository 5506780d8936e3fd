"""Registers after an update, predicted from logs of what firmware, boot loaders and an old image measured."""

from collections.abc import Sequence
from hashlib import sha384
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fuki_build.errors import FukiError
from fuki_build.formats.tcg.event_log import EventLog, LoggedEvent, LogKind
from fuki_build.image.assemble import assemble
from fuki_build.image.digest_plan import measured_in
from fuki_build.measure.boot import Boot
from fuki_build.measure.events import Event, Measurer
from fuki_build.measure.explain import registers
from fuki_build.measure.predict import cases, predict
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.release.machine_update import MachineUpdate, update_with_old, update_without_old
from tests.measure.test_explain import log_of
from tests.support.images import Content, layout_of

BANK = "sha384"
PLAIN = Boot(secret=False, console="")
SECTION_NAMES = (".osrel", ".cmdline", ".initrd", ".uname", ".sbat", ".splash")

sections = st.dictionaries(st.sampled_from(SECTION_NAMES), st.binary(min_size=1, max_size=8), max_size=6)
loaders = st.lists(st.binary(min_size=1, max_size=4), max_size=3)
kinds = st.sampled_from(LogKind)


def contents_of(parts: Sequence[Content]) -> SectionDigests:
    layout = layout_of([(".linux", b"kernel", None), *parts])
    return SectionDigests(layout, assemble(layout, digests=measured_in((BANK,))), (BANK,))


def image(content: dict[str, bytes]) -> SectionDigests:
    """An image whose command line has a console, so that what stubs append does not matter."""
    content = {**content, ".cmdline": b"console=tty0 " + content.get(".cmdline", b"").hex().encode()}
    return contents_of([(name, data, None) for name, data in content.items()])


def events_of(contents: SectionDigests, boot: Boot = PLAIN) -> tuple[Event, ...]:
    (prediction,) = predict(contents, cases(contents.layout, None, [None]), boot)
    return prediction.events


def program(content: bytes) -> Event:
    return Event(
        pcr=4,
        type="EV_EFI_BOOT_SERVICES_APPLICATION",
        what="a boot loader",
        source="a boot loader",
        by=Measurer.LOADER,
        digests={BANK: sha384(content).digest()},
    )


def logged(contents: SectionDigests, before: Sequence[bytes], kind: LogKind) -> EventLog:
    """The log of a boot through other programs, which start between the firmware's announcement and the image."""
    announcement, separator, *own = events_of(contents)
    log = log_of([announcement, separator, *map(program, before), *own], kind)
    return replace(log, events=tuple(map(as_linux, log.events)))


def as_linux(event: LoggedEvent) -> LoggedEvent:
    """The event with a tag of Linux, if it has any: only by that a log tells that the kernel measured it."""
    if event.type_name != "EV_EVENT_TAG":
        return event
    return replace(event, data=pack("<II", 0x8F3B22EC, 0))


def values(update: MachineUpdate) -> dict[int, bytes | None]:
    return {register: update.log.value(register, BANK) for register in update.log.registers}


@given(sections, sections, loaders, kinds)
def test_registers_are_those_of_a_log_of_the_new_image(old, new, before, kind):
    old_image, new_image = image(old), image(new)
    log = logged(old_image, before, kind)
    after = registers(logged(new_image, before, kind), BANK)

    for update in (
        update_with_old(log, old_image, new_image, None, PLAIN),
        update_without_old(log, new_image, None, None, PLAIN),
    ):
        told = values(update)
        # The newest stub measures SMBIOS structures, of which these logs have none.
        assert {register for register in told if told[register] is None} == {1}
        assert {register: value for register, value in told.items() if register != 1} == after


@given(sections, loaders, kinds)
def test_the_same_image_changes_nothing(content, before, kind):
    contents = image(content)
    update = update_with_old(logged(contents, before, kind), contents, contents, None, PLAIN)
    changes = [register for register in update.log.registers if update.log.changes(register)]
    assert changes == [1]


def test_a_secret_and_a_console_that_the_old_image_does_not_show_stay_unknown():
    old, new = image({".initrd": b"old"}), contents_of([(".cmdline", b"quiet", None), (".initrd", b"new", None)])
    update = update_without_old(logged(old, (), LogKind.TPM), new, None, None, Boot())
    assert "secret" in update.log.unknown(9)
    assert "console=" in update.log.unknown(9)


def test_the_log_of_another_image_is_refused():
    old, new = image({".initrd": b"old"}), image({".initrd": b"new"})
    log = logged(image({".initrd": b"other"}), (), LogKind.TPM)
    with pytest.raises(FukiError, match="is not of a boot of"):
        update_with_old(log, old, new, None, PLAIN)


def test_a_log_without_a_stub_is_refused():
    announcement, separator, *_ = events_of(image({}))
    with pytest.raises(FukiError, match="does not show that a UKI was started"):
        update_without_old(log_of([announcement, separator]), image({}), None, None, PLAIN)


def test_options_of_unknown_origin_are_refused():
    log = log_of(events_of(image({}), Boot(secret=False, console="", options="passed", smbios="from=host")))
    new = image({".initrd": b"new"})
    update = update_without_old(log, new, None, None, PLAIN)
    assert (update.boot.options, update.boot.smbios) == ("passed", "from=host")
    with pytest.raises(FukiError, match="not known where the options 'passed' come from"):
        update_without_old(log, new, None, None, Boot(secret=False, console="", options="other", smbios="from=host"))
