"""What a policy over event logs says of Secure Boot: its state, the contents of its variables, and who may vouch.

As in Keylime's example policy, a machine may trust less than the policy names, and revoke more: PK, KEK, db, dbt and
dbr have nothing that is not named, dbx has everything that is.
"""

from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

from msgspec import Struct

from fuki_build.errors import FormatError
from fuki_build.formats.tcg import event_data
from fuki_build.formats.tcg.event_data import MeasuredVariable
from fuki_build.formats.tcg.event_log import LoggedEvent
from fuki_build.formats.uefi import efi_signature_list
from fuki_build.measure.pcr7 import AUTHORITY, OPTIONAL, VENDORS, SecureBootState

Entry = tuple[UUID, bytes]
"""Type and data of a signature; who enrolled it is no matter of trust."""
_CONFIGURATION = "EV_EFI_VARIABLE_DRIVER_CONFIG"
_OWNER = 16
_KNOWN = {**VENDORS, **OPTIONAL}
_STATES = {b"\1": SecureBootState.ON, b"\0": SecureBootState.OFF, b"": SecureBootState.ABSENT}


class SecureBootRule(Struct, frozen=True, kw_only=True):
    """`state` is what Secure Boot must be, off also where firmware lacks it; None where the policy does not say.

    `lists` has the entries of variables by name, only of those that the policy names; `authorities` certificates in
    DER, or digests, that may vouch for programs, beside those of db.
    """

    state: SecureBootState | None = None
    lists: Mapping[str, frozenset[Entry]] = {}
    authorities: frozenset[bytes] = frozenset()

    def judge(self, event: LoggedEvent, register: int) -> tuple[str, str]:
        """Why an event is accepted, else an objection; both empty for what is not about Secure Boot.

        The digest is known to be that of the data. `register` is the number of register 7 in the log.
        """
        if event.register != register or event.type_name not in (_CONFIGURATION, AUTHORITY):
            return "", ""
        try:
            variable = event_data.variable(event.data)
        except FormatError as error:
            return "", f"it is damaged: {error.message}"

        if event.type_name == AUTHORITY:
            return self._authority(variable)
        if _KNOWN.get(variable.name) != variable.vendor:
            return "", f"{variable.name} is no variable of Secure Boot"
        return self._state(variable) if variable.name == "SecureBoot" else self._list(variable)

    def _state(self, variable: MeasuredVariable) -> tuple[str, str]:
        state = _STATES.get(variable.value)
        if self.state is None or state is None:
            return "", f"secure-boot.state is not in the policy, and the machine's is {variable.value.hex() or 'empty'}"
        if (state is SecureBootState.ON) is (self.state is SecureBootState.ON):
            return f'secure-boot.state = "{self.state}"', ""
        return "", f'secure-boot.state is "{self.state}", and the machine\'s is {state}'

    def _list(self, variable: MeasuredVariable) -> tuple[str, str]:
        name = variable.name
        key = f"secure-boot.{name.lower()}"
        try:
            present = entries(variable.value)
        except FormatError as error:
            return "", f"{name} is damaged: {error.message}"

        named = self.lists.get(name)
        if named is None:
            is_harmless = not present and (name != "dbx" or self.state is SecureBootState.OFF)
            # Without Secure Boot nobody reads the lists; with it, an empty list of what is trusted trusts nothing.
            return (f"{name} is empty", "") if is_harmless else ("", f"{key} is not in the policy")

        if name == "dbx":
            lacking = len(named - present)
            return ("", f"it lacks {lacking} of the {len(named)} entries of {key}") if lacking else (key, "")
        foreign = present - named
        if foreign:
            return "", f"{len(foreign)} of its {len(present)} entries are not in {key}"
        return f"{key}: it has nothing else", ""

    def _authority(self, variable: MeasuredVariable) -> tuple[str, str]:
        """A signature with its owner out of db, or a certificate alone, as shim measures its own."""
        candidates = {variable.value, variable.value[_OWNER:]}
        if candidates & {data for _, data in self.lists.get("db", ())}:
            return "secure-boot.db: it is in there", ""
        if candidates & self.authorities:
            return "secure-boot.authorities: it is in there", ""
        return "", f"what vouches there ({variable.name}) is not in secure-boot.db or secure-boot.authorities"

    def missing(self, accepted: Sequence[LoggedEvent], register: int) -> Iterator[str]:
        """What the policy names and no accepted event tells."""
        names = {
            event_data.variable(event.data).name
            for event in accepted
            if event.type_name == _CONFIGURATION
            and event_data.digest_is_of_data(event)
            and self.judge(event, register)[0]
        }

        required = [*(("SecureBoot",) if self.state is not None else ()), *self.lists]
        for name in required:
            if name not in names:
                key = "state" if name == "SecureBoot" else name.lower()
                yield f"no accepted event is of {name}, which secure-boot.{key} is about"


def entries(value: bytes) -> frozenset[Entry]:
    """The entries of signature lists. Raises `FormatError`."""
    lists = efi_signature_list.decode(value)
    return frozenset((signatures.type, signature.data) for signatures in lists for signature in signatures.signatures)
