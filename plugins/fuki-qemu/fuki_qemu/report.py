"""What a probe tells of its guest, decoded. probe/report.h describes the frame."""

import zlib
from collections.abc import Mapping
from struct import Struct

import msgspec
from fuki_build.errors import FormatError
from fuki_build.formats.reader import unpack

MAGIC = b"FUKIPRB1"
MAX_SIZE = 64 * 1024 * 1024
"""Largest report that is looked at, in bytes; real ones have some 20 KiB."""
_RECORD = Struct("<HI")  # size of the name, size of the content; without a name, the CRC-32
_MAX_RECORDS = 4096
_DIGEST_SIZES = {"sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64}


class GuestReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a guest said: `program` is which probe; what it could not read is None or missing.

    `registers` are by bank and number, `variables` the boot loader's and stub's by name. The command line is what the
    kernel was given.
    """

    program: str
    log: bytes | None
    registers: Mapping[str, Mapping[int, bytes]]
    smbios: bytes | None
    command_line: str | None
    variables: Mapping[str, bytes]


def decode(data: bytes) -> GuestReport | None:
    """The report in what came out of a guest; None while it is not complete. Raises `FormatError` for a damaged one."""
    start = data.find(MAGIC)
    if start < 0:
        return None
    if len(data) > MAX_SIZE:
        raise FormatError(f"a guest's report of {len(data)} bytes is beyond belief (limit {MAX_SIZE})")

    records: dict[str, bytes] = {}
    at = start + len(MAGIC)
    for _ in range(_MAX_RECORDS):
        if at + _RECORD.size > len(data):
            return None
        name_size, size = unpack(_RECORD, data, at, "a record")

        if not name_size:
            if size != zlib.crc32(data[start : at + 2]):
                raise FormatError("the guest's report was damaged on its way")
            return _report(records)

        at += _RECORD.size
        name = data[at : at + name_size].decode("ascii", "backslashreplace")
        records[name] = data[at + name_size : at + name_size + size]
        at += name_size + size
    raise FormatError(f"a report of more than {_MAX_RECORDS} records is beyond belief")


def _report(records: Mapping[str, bytes]) -> GuestReport:
    registers: dict[str, dict[int, bytes]] = {}
    variables = {}

    for name, content in records.items():
        kind, *rest = name.split("/")
        if kind == "variable":
            variables["/".join(rest)] = content
        elif kind == "pcr" and len(rest) == 2 and rest[1].isascii() and rest[1].isdecimal():
            bank, number = rest
            if len(content) != _DIGEST_SIZES.get(bank):
                raise FormatError(f"the guest's report has {len(content)} bytes for register {number} of {bank}")
            registers.setdefault(bank, {})[int(number)] = content

    return GuestReport(
        program=records.get("program", b"").decode("ascii", "backslashreplace"),
        log=records.get("log"),
        registers=registers,
        smbios=records.get("smbios"),
        command_line=_command_line(records),
        variables=variables,
    )


def _command_line(records: Mapping[str, bytes]) -> str | None:
    if "options" in records:
        return records["options"].decode("utf-16-le", "replace").partition("\0")[0]
    if "cmdline" in records:
        return records["cmdline"].decode("utf-8", "backslashreplace").removesuffix("\n")
    return None


def variable_text(value: bytes) -> str:
    """A variable of the boot loader's that holds text."""
    return value.decode("utf-16-le", "replace").partition("\0")[0]
