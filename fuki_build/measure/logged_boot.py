"""What an event log tells of the way in which a machine boots: Secure Boot with its variables, and whether by shim."""

from msgspec.structs import replace

from fuki_build.errors import FormatError
from fuki_build.formats.tcg import event_data
from fuki_build.formats.tcg.event_log import EventLog
from fuki_build.measure.boot import Boot
from fuki_build.measure.events import Measurer
from fuki_build.measure.extender import extender
from fuki_build.measure.pcr7 import OPTIONAL, VENDORS, SecureBootPolicy, SecureBootState

_STATES = {b"\1": SecureBootState.ON, b"\0": SecureBootState.OFF, b"": SecureBootState.ABSENT}


def logged_policy(log: EventLog) -> SecureBootPolicy | None:
    """Secure Boot's state and variables as firmware measured them; None where the log does not prove the state.

    Only data that has the digest which was measured counts (TCG, "PC Client Platform Firmware Profile" 1.06, 10.4.2).
    """
    known = {**VENDORS, **OPTIONAL}
    values: dict[str, bytes] = {}

    for event in log.events:
        if event.type_name == "EV_EFI_VARIABLE_DRIVER_CONFIG" and event_data.digest_is_of_data(event):
            try:
                variable = event_data.variable(event.data)
            except FormatError:
                continue
            if known.get(variable.name) == variable.vendor:
                values.setdefault(variable.name, variable.value)

    state = _STATES.get(values.pop("SecureBoot", b"\xff"))
    return None if state is None else SecureBootPolicy(state, values)


def with_logged(boot: Boot, log: EventLog) -> Boot:
    """A boot with what the log tells of Secure Boot and of shim, where that was not given.

    The variables are taken where they decide on register 7: shim verifies what it loads by its own lists instead.
    """
    logged = logged_policy(log)
    secure = logged is not None and logged.state is SecureBootState.ON
    shim = boot.shim or any(extender(event, log) is Measurer.SHIM for event in log.events if event.extends)

    policy = boot.policy or (logged if secure and not shim else None)
    return replace(boot, shim=shim, secure_boot=boot.secure_boot or secure, policy=policy)
