"""Real logs as tpm2_eventlog reads them: the same events, the same registers."""

import re
from pathlib import Path

import pytest

from fuki_build.formats.tcg import event_log
from fuki_build.measure.explain import registers

LOGS = Path(__file__).parents[1] / "data" / "event-logs"


@pytest.mark.parametrize("name", ["direct-262", "disk-262", "disk-257", "secure-boot-on", "secure-boot-off"])
def test_events_and_registers_are_those_of_tpm2_eventlog(name, tool):
    path = LOGS / f"{name}.log"
    text = tool("tpm2_eventlog", path)
    log = event_log.decode(path.read_bytes())
    theirs = re.findall(r"PCRIndex: (\d+)\n  EventType: (\w+)", text)
    assert [(str(event.register), event.type_name) for event in log.events] == theirs

    _, _, values = text.partition("\npcrs:\n")
    bank, checked = "", 0
    for line in values.splitlines():
        if heading := re.fullmatch(r"  (sha\d+):", line):
            bank = heading[1]
        elif match := re.fullmatch(r"    (\d+) *: 0x([0-9a-f]+)", line):
            assert registers(log, bank)[int(match[1])].hex() == match[2]
            checked += 1

    assert checked >= 4 * 10
