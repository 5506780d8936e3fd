"""Register values as people and tools write them: tpm2_pcrread, sysfs, `11=…`."""

import re
from collections.abc import Mapping

from fuki_build.errors import FormatError
from fuki_build.formats.hashes import SIZES

_BANKS = {40: "sha1", 64: "sha256", 96: "sha384", 128: "sha512"}
"""Banks by the number of hexadecimal digits of a value, where no name is given."""
_NAME = r"(sha\d+(?:_\d+)?|sm3(?:_256)?)"
_VALUE = re.compile(rf"\s*(?:{_NAME}:)?\s*(?:pcr[ -]?)?(\d{{1,2}})\s*[:=]\s*(?:0x)?([0-9a-f]+)\s*", re.IGNORECASE)
_HEADING = re.compile(rf"\s*{_NAME}\s*:\s*", re.IGNORECASE)
_LAST_REGISTER = 23

Values = Mapping[tuple[str, int], bytes]
"""Values by bank and register."""


def decode_value(text: str, bank: str | None = None) -> tuple[tuple[str, int], bytes]:
    """Bank and register, and the value, of `11=HEX` or `sha256:11=HEX`; without a name, the length determines the bank.

    `bank` is the name in a preceding heading. Raises `FormatError`.
    """
    match = _VALUE.fullmatch(text)
    if match is None:
        raise FormatError(f"{text!r} is no register's value", hint="write PCR=HEX")

    # A name on the line counts before one in a heading, and either must agree with the value's length.
    bank_of_length, register = _BANKS.get(len(match[3])), int(match[2])
    named = _name(match[1]) if match[1] else bank
    if named is not None and SIZES.get(named, 0) * 2 != len(match[3]):
        raise FormatError(f"a value of {len(match[3])} hexadecimal digits does not fit {named}")

    bank = named or bank_of_length
    if bank is None:
        raise FormatError(f"a value of {len(match[3])} hexadecimal digits fits no bank")
    if register > _LAST_REGISTER:
        raise FormatError(f"there is no register {register}")

    return (bank, register), bytes.fromhex(match[3])


def _name(text: str) -> str:
    """A bank by hashlib's name: tpm2_pcrread says sm3_256."""
    return text.lower().replace("sm3_256", "sm3")


def decode(text: str) -> Values:
    """The values of a list, one per line, as tpm2_pcrread prints it. Raises `FormatError` for anything else."""
    values = {}
    bank = None

    for line in text.splitlines():
        if heading := _HEADING.fullmatch(line):
            bank = _name(heading[1])
        elif line.strip():
            key, value = decode_value(line, bank)
            values[key] = value

    if not values:
        raise FormatError("there are no registers in it")
    return values
