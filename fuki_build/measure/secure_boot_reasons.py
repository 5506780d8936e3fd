"""Why PCR 7 differs, in sentences: which variable has other contents, in what, and who vouched for what started."""

from collections.abc import Sequence

from fuki_build.errors import FormatError
from fuki_build.formats.tcg import event_data
from fuki_build.formats.tcg.event_data import MeasuredVariable
from fuki_build.formats.tcg.event_log import LoggedEvent
from fuki_build.formats.uefi.efi_signature_list import SignatureType
from fuki_build.measure.pcr7 import AUTHORITY, OPTIONAL, VENDORS, SecureBootPolicy, SecureBootState
from fuki_build.measure.secure_boot_rule import Entry, entries

_STATES = {b"\1": SecureBootState.ON, b"\0": SecureBootState.OFF, b"": SecureBootState.ABSENT}
_KNOWN = {**VENDORS, **OPTIONAL}
_OWNER = 16
_NAMED = 3
"""Certificates that are named one by one; of more, the number is told."""


def variable_words(event: LoggedEvent, policy: SecureBootPolicy) -> str:
    """In what an event of PCR 7 differs from the configuration that was expected.

    The data of an event whose digest is another one's says nothing, and is called that.
    """
    if event_data.digest_is_of_data(event) is False:
        return f"{event_data.describe(event)} was measured with another digest than its data has"
    try:
        measured = event_data.variable(event.data)
        if event.type_name == AUTHORITY:
            return _authority(measured, policy)
        if measured.name == "SecureBoot":
            return _state(measured, policy)
        if _KNOWN.get(measured.name) == measured.vendor:
            return _list(measured, policy)
    except FormatError:
        return f"{event_data.describe(event)} is not expected"
    return f"the variable {measured.name} was measured, which is none of Secure Boot's"


def _state(measured: MeasuredVariable, policy: SecureBootPolicy) -> str:
    state = _STATES.get(measured.value)
    return f"Secure Boot is {state or measured.value.hex()}, and expected is {policy.state}"


def _list(measured: MeasuredVariable, policy: SecureBootPolicy) -> str:
    name, value = measured.name, policy.variables.get(measured.name, b"")
    present, expected = entries(measured.value), entries(value)
    if present == expected:
        return f"{name} has the entries that are expected, in another order or of other owners"

    parts = [f"has {_told(present - expected)} more than expected"] if present - expected else []
    parts += [f"lacks {_told(expected - present)}"] if expected - present else []
    text = f"{name} {' and '.join(parts)}"
    return f"{text}: revocations were added" if name == "dbx" and not expected - present else text


def _told(signatures: frozenset[Entry]) -> str:
    """Certificates by name, and how many digests there are."""
    certificates = sorted(_subject(data) for kind, data in signatures if kind == SignatureType.X509.guid)
    others = len(signatures) - len(certificates)

    parts: list[str] = []
    if certificates:
        named = certificates if len(certificates) <= _NAMED else [f"{len(certificates)} certificates"]
        parts += named
    if others:
        parts.append(f"{others} {'entry' if others == 1 else 'entries'}{' of digests' if certificates else ''}")
    return ", ".join(parts)


def _subject(certificate: bytes) -> str:
    from fuki_build.formats.asn1 import x509  # noqa: PLC0415 - cryptography is slow to load

    try:
        return x509.subject(certificate)
    except FormatError:
        return "a damaged certificate"


def _authority(measured: MeasuredVariable, policy: SecureBootPolicy) -> str:
    if measured.name == "SbatLevel":
        level = measured.value.decode("ascii", "backslashreplace").partition("\n")[0]
        return f"shim measured its SBAT level ({level}): a shim started, which is not expected"
    if _KNOWN.get(measured.name) != measured.vendor:
        return f"shim vouched for a program by {measured.name} ({_vouching(measured.value)}), which is not expected"

    expected = [_vouching(authority) for authority in dict.fromkeys(policy.authorities.values()) if authority]
    instead = f"expected is {' and '.join(expected)}" if expected else "nothing is expected to be vouched for"
    return f"what vouched for a program is {_vouching(measured.value)} of {measured.name}, and {instead}"


def _vouching(value: bytes) -> str:
    """A certificate, with its owner as firmware measures it or without as shim does; else a digest."""
    from fuki_build.formats.asn1 import x509  # noqa: PLC0415 - cryptography is slow to load

    for data in (value[_OWNER:], value):
        try:
            return x509.subject(data)
        except FormatError:
            continue
    return f"the digest {value[_OWNER:].hex()}"


def is_replaced(name: str, unexpected: Sequence[LoggedEvent]) -> bool:
    """Whether a variable that was expected with other contents is among what was measured."""
    return any(_name(event) == name for event in unexpected)


def _name(event: LoggedEvent) -> str:
    try:
        measured = event_data.variable(event.data)
    except FormatError:
        return ""
    return AUTHORITY if event.type_name == AUTHORITY else measured.name
