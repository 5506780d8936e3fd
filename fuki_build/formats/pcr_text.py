"""Register values as people and tools write them: tpm2_pcrread, sysfs, `11=…`."""

import re
from collections.abc import Mapping

from fuki_build.errors import FormatError

_BANKS = {40: "sha1", 64: "sha256", 96: "sha384", 128: "sha512"}
"""Banks by the number of hexadecimal digits of a value."""
_VALUE = re.compile(r"\s*(?:(sha\d+):)?\s*(?:pcr[ -]?)?(\d{1,2})\s*[:=]\s*(?:0x)?([0-9a-f]+)\s*", re.IGNORECASE)
_HEADING = re.compile(r"\s*(?:sha\d+|sm3_\d+|sha3_\d+)\s*:\s*", re.IGNORECASE)
_LAST_REGISTER = 23

Values = Mapping[tuple[str, int], bytes]
"""Values by bank and register."""


def decode_value(text: str) -> tuple[tuple[str, int], bytes]:
    """Bank and register, and the value, of `11=HEX` or `sha256:11=HEX`; the length tells the bank.

    Raises `FormatError`.
    """
    found = _VALUE.fullmatch(text)
    if found is None:
        raise FormatError(f"{text!r} is no register's value", hint="write PCR=HEX")
    bank, register = _BANKS.get(len(found[3])), int(found[2])
    if bank is None or found[1] not in {None, bank}:
        fits = "no bank" if bank is None else f"{bank}, not {found[1]}"
        raise FormatError(f"a value of {len(found[3])} hexadecimal digits fits {fits}")
    if register > _LAST_REGISTER:
        raise FormatError(f"there is no register {register}")
    return (bank, register), bytes.fromhex(found[3])


def decode(text: str) -> Values:
    """The values of a list, one a line, as tpm2_pcrread prints it. Raises `FormatError` for anything else."""
    lines = [line for line in text.splitlines() if line.strip() and not _HEADING.fullmatch(line)]
    values = dict(decode_value(line) for line in lines)
    if not values:
        raise FormatError("there are no registers in it")
    return values
