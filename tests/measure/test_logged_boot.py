"""What recorded logs tell of Secure Boot and of shim."""

import pytest
from msgspec.structs import replace

from fuki_build.formats.tcg import event_log, pcr_text
from fuki_build.formats.tcg.event_data import MeasuredVariable, encode_variable
from fuki_build.formats.tcg.event_log import EventLog, LoggedEvent
from fuki_build.formats.uefi.authenticated_variable import GLOBAL_VENDOR, IMAGE_SECURITY_VENDOR
from fuki_build.measure.boot import Boot
from fuki_build.measure.explain import registers, start_of
from fuki_build.measure.logged_boot import logged_policy, with_logged
from fuki_build.measure.pcr7 import SecureBootPolicy, SecureBootState
from fuki_build.measure.registers import digests
from tests.formats.test_event_log import LOGS
from tests.measure.test_extender import SHIM, authority

CONFIGURATION, AUTHORITY = 0x80000001, 0x800000E0


def recorded(name: str) -> EventLog:
    return event_log.decode((LOGS / f"{name}.log").read_bytes())


def variable(name: str, value: bytes, vendor=GLOBAL_VENDOR) -> LoggedEvent:
    data = encode_variable(MeasuredVariable(vendor, name, value))
    return LoggedEvent(7, CONFIGURATION, digests(data, ("sha256",)), data)


def with_more(log: EventLog, *events: LoggedEvent) -> EventLog:
    return replace(log, events=(*log.events, *events))


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("secure-boot-on", SecureBootState.ON),
        ("secure-boot-off", SecureBootState.OFF),
        ("disk-262", SecureBootState.ABSENT),
    ],
)
def test_state_and_variables_are_those_of_the_machine(name: str, state: SecureBootState):
    policy = logged_policy(recorded(name))
    lists = {one: (LOGS / f"{one}.esl").read_bytes() for one in ("PK", "KEK", "db", "dbx")}
    expected = lists if state is SecureBootState.ON else dict.fromkeys(lists, b"")
    assert policy == SecureBootPolicy(state, expected)


def test_the_log_of_a_machine_with_secure_boot_tells_how_it_boots():
    log = recorded("secure-boot-on")
    assert with_logged(Boot(), log) == Boot(secure_boot=True, policy=logged_policy(log))
    given = SecureBootPolicy(SecureBootState.OFF, {})
    assert with_logged(Boot(policy=given), log).policy == given
    for name in ("secure-boot-off", "disk-262"):
        assert with_logged(Boot(), recorded(name)) == Boot()
    assert with_logged(Boot(secure_boot=True, shim=True), recorded("disk-262")) == Boot(secure_boot=True, shim=True)


def test_shim_verifies_by_its_own_lists():
    data = authority(SHIM, "Shim")
    log = with_more(recorded("secure-boot-on"), LoggedEvent(7, AUTHORITY, digests(data, ("sha256",)), data))
    assert with_logged(Boot(), log) == Boot(secure_boot=True, shim=True)


def test_only_what_its_digest_proves_counts_and_only_of_secure_boots_vendors():
    log = recorded("secure-boot-on")
    own = [event for event in log.events if event.type == CONFIGURATION]
    without = replace(log, events=tuple(event for event in log.events if event not in own))
    assert logged_policy(without) is None

    false = replace(own[0], digests=digests(b"another", ("sha256",)))
    assert logged_policy(with_more(without, false, *own[1:])) is None
    foreign = variable("SecureBoot", b"\1", IMAGE_SECURITY_VENDOR)
    assert logged_policy(with_more(without, foreign)) is None
    damaged = LoggedEvent(7, CONFIGURATION, digests(b"odd", ("sha256",)), b"odd")
    assert logged_policy(with_more(without, damaged, own[0])) == SecureBootPolicy(SecureBootState.ON, {})
    assert logged_policy(with_more(without, variable("SecureBoot", b"\2"))) is None

    # Firmware measures each variable once, before it runs anything: what comes later is another program's.
    later = [variable("SecureBoot", b"\0"), variable("db", b"", IMAGE_SECURITY_VENDOR)]
    assert logged_policy(with_more(log, *later)) == logged_policy(log)
    more = [variable("dbt", b"x", IMAGE_SECURITY_VENDOR), variable("dbz", b"x", IMAGE_SECURITY_VENDOR)]
    policy = logged_policy(with_more(log, *more))
    assert policy is not None
    assert set(policy.variables) == {"PK", "KEK", "db", "dbx", "dbt"}


@pytest.mark.parametrize("name", ["disk-262", "disk-257", "direct-262", "secure-boot-on", "secure-boot-off"])
@pytest.mark.parametrize("bank", ["sha1", "sha256", "sha384", "sha512"])
def test_a_log_replays_to_the_registers_of_its_machine(name: str, bank: str):
    values = pcr_text.decode((LOGS / f"{name}.pcrs").read_text())
    replayed = registers(recorded(name), bank)
    recorded_pcrs = [pcr for pcr in replayed if (bank, pcr) in values]
    assert len(recorded_pcrs) >= 5
    assert [values[bank, pcr] for pcr in recorded_pcrs] == [replayed[pcr] for pcr in recorded_pcrs]


def test_only_register_0_of_a_tpm_starts_with_its_locality():
    log = recorded("disk-262")
    assert start_of(log, 1, 32) == bytes(32)
    h_crtm = replace(log, events=(LoggedEvent(0, 0x80000010, digests(b"HCRTM", ("sha256",)), b"HCRTM"), *log.events))
    assert start_of(h_crtm, 0, 32) == bytes(31) + b"\4"
    assert start_of(replace(h_crtm, kind=event_log.LogKind.CC), 0, 48) == bytes(48)
    assert registers(log, "sm3") == {}
