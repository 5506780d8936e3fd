"""PCR 7: Secure Boot's state, its variables, and the authorities that verify the programs that start.

Sources: TCG, "PC Client Platform Firmware Profile" 1.06, 3.3.4.8; edk2's Tcg2Dxe.c (MeasureAllSecureVariables) and
DxeImageVerificationLib's Measurement.c; logs of edk2 2026.08.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct

from fuki_build.formats.tcg.event_data import MeasuredVariable, encode_variable
from fuki_build.formats.uefi.authenticated_variable import GLOBAL_VENDOR, IMAGE_SECURITY_VENDOR
from fuki_build.measure.events import CONSTANT, Event, Measurer
from fuki_build.measure.registers import digests

PCR = 7
AUTHORITY = "EV_EFI_VARIABLE_AUTHORITY"
VENDORS = {
    "SecureBoot": GLOBAL_VENDOR,
    "PK": GLOBAL_VENDOR,
    "KEK": GLOBAL_VENDOR,
    "db": IMAGE_SECURITY_VENDOR,
    "dbx": IMAGE_SECURITY_VENDOR,
}
"""The variables that are measured, in order; missing ones count as empty."""
OPTIONAL = {"dbt": IMAGE_SECURITY_VENDOR, "dbr": IMAGE_SECURITY_VENDOR}
"""Variables that are measured after the others, if they exist."""


class SecureBootState(StrEnum):
    """The state in the variable SecureBoot."""

    ON = "on"
    OFF = "off"
    ABSENT = "absent"
    """The firmware was built without Secure Boot."""


_VALUES = {SecureBootState.ON: b"\1", SecureBootState.OFF: b"\0", SecureBootState.ABSENT: b""}


class SecureBootPolicy(Struct, frozen=True):
    """A machine's Secure Boot configuration: `variables` are PK, KEK, db and dbx as they are stored, by name.

    `authorities` are the EFI_SIGNATURE_DATA of db that authorize the image and the programs beside it, by program, in
    that order; empty where db authorizes nothing.
    """

    state: SecureBootState
    variables: Mapping[str, bytes]
    authorities: Mapping[str, bytes] = {}


class PolicyCandidate(Struct, frozen=True):
    """A configuration that a machine may have had, in words; `by_shim` is what a shim measures behind it."""

    words: str
    policy: SecureBootPolicy
    by_shim: Sequence[MeasuredVariable] = ()


def variable_events(policy: SecureBootPolicy, banks: Sequence[str]) -> Iterator[Event]:
    """The variables, followed by the separator."""
    values = {**policy.variables, "SecureBoot": _VALUES[policy.state]}
    vendors = {**VENDORS, **{name: vendor for name, vendor in OPTIONAL.items() if name in values}}

    for name, vendor in vendors.items():
        value = values.get(name, b"")
        known = digests(encode_variable(MeasuredVariable(vendor, name, value)), banks)
        description = f"{name}, {len(value)} bytes" if name != "SecureBoot" else f"SecureBoot is {policy.state}"
        yield Event(
            pcr=PCR,
            type="EV_EFI_VARIABLE_DRIVER_CONFIG",
            what=description,
            source=f"variable {name}",
            by=Measurer.FIRMWARE,
            digests=known,
        )

    description = "the firmware's variables end"
    yield Event(
        pcr=PCR,
        type="EV_SEPARATOR",
        what=description,
        source=CONSTANT,
        by=Measurer.FIRMWARE,
        digests=digests(bytes(4), banks),
    )


def shim_events(candidate: PolicyCandidate, banks: Sequence[str]) -> Iterator[Event]:
    """What shim measures: its level of SBAT, and what it verified a program with."""
    for variable in candidate.by_shim:
        yield Event(
            pcr=PCR,
            type=AUTHORITY,
            what=f"{variable.name}, {len(variable.value)} bytes, by shim",
            source="shim",
            by=Measurer.SHIM,
            digests=digests(encode_variable(variable), banks),
        )


def authority_events(policy: SecureBootPolicy, banks: Sequence[str]) -> Mapping[str, Event]:
    """The authority of each program, by program; each is measured once, since firmware remembers the measured ones."""
    events: dict[str, Event] = {}
    measured: set[bytes] = set()

    for program, authority in policy.authorities.items() if policy.state is SecureBootState.ON else ():
        description = f"what vouches for {program} in db"

        # Firmware would not start this program, so nothing after it can be predicted either.
        if not authority:
            reason = "nothing in db vouches for it: firmware refuses to start it"
            events[program] = Event(
                pcr=PCR,
                type=AUTHORITY,
                what=description,
                source="variable db",
                by=Measurer.FIRMWARE,
                digests={},
                unknown=reason,
            )
        elif authority not in measured:
            measured.add(authority)
            known = digests(encode_variable(MeasuredVariable(IMAGE_SECURITY_VENDOR, "db", authority)), banks)
            events[program] = Event(
                pcr=PCR,
                type=AUTHORITY,
                what=description,
                source="variable db",
                by=Measurer.FIRMWARE,
                digests=known,
            )

    return events
