"""Event logs of measured boot: TCG's in both forms, and that of confidential guests (CCEL).

Sources: TCG, "PC Client Platform Firmware Profile" 1.06, 10; UEFI 2.10, 38.4 for confidential guests. A log is a
sequence of records without framing: nothing after a damaged record can be located, but everything before it is intact.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from struct import Struct

import msgspec

from fuki_build.errors import FormatError
from fuki_build.formats.hashes import SIZES
from fuki_build.formats.reader import unpack

MAX_SIZE = 16 * 1024 * 1024
"""Largest log that is decoded, in bytes; real ones have some 100 KiB."""
_MAX_EVENTS = 65536

_HEADER = Struct("<II")  # register, type
_LEGACY = Struct("<II20sI")  # register, type, SHA-1, size of the data
_COUNT = Struct("<I")
_ALGORITHM = Struct("<H")
_SPEC = Struct("<16sIBBBBI")  # signature, platform class, minor, major, errata, word size, number of algorithms
_SPEC_ALGORITHM = Struct("<HH")  # id, size of a digest
_SPEC_SIGNATURE = b"Spec ID Event03\0"
_LOCALITY_SIGNATURE = b"StartupLocality\0"

ALGORITHMS: Mapping[int, str] = {
    0x0004: "sha1",
    0x000B: "sha256",
    0x000C: "sha384",
    0x000D: "sha512",
    0x0012: "sm3",
    0x0027: "sha3_256",
    0x0028: "sha3_384",
    0x0029: "sha3_512",
}
"""TPM_ALG_ID of hashes, by hashlib's names where it has them (TCG, "Algorithm Registry")."""
EV_NO_ACTION = 0x00000003
_EV_HCRTM = 0x80000010
_HCRTM_LOCALITY = 4
_MAX_ALGORITHMS = 16

TYPES: Mapping[int, str] = {
    0x00000000: "EV_PREBOOT_CERT",
    0x00000001: "EV_POST_CODE",
    0x00000002: "EV_UNUSED",
    EV_NO_ACTION: "EV_NO_ACTION",
    0x00000004: "EV_SEPARATOR",
    0x00000005: "EV_ACTION",
    0x00000006: "EV_EVENT_TAG",
    0x00000007: "EV_S_CRTM_CONTENTS",
    0x00000008: "EV_S_CRTM_VERSION",
    0x00000009: "EV_CPU_MICROCODE",
    0x0000000A: "EV_PLATFORM_CONFIG_FLAGS",
    0x0000000B: "EV_TABLE_OF_DEVICES",
    0x0000000C: "EV_COMPACT_HASH",
    0x0000000D: "EV_IPL",
    0x0000000E: "EV_IPL_PARTITION_DATA",
    0x0000000F: "EV_NONHOST_CODE",
    0x00000010: "EV_NONHOST_CONFIG",
    0x00000011: "EV_NONHOST_INFO",
    0x00000012: "EV_OMIT_BOOT_DEVICE_EVENTS",
    0x00000013: "EV_POST_CODE2",
    0x80000001: "EV_EFI_VARIABLE_DRIVER_CONFIG",
    0x80000002: "EV_EFI_VARIABLE_BOOT",
    0x80000003: "EV_EFI_BOOT_SERVICES_APPLICATION",
    0x80000004: "EV_EFI_BOOT_SERVICES_DRIVER",
    0x80000005: "EV_EFI_RUNTIME_SERVICES_DRIVER",
    0x80000006: "EV_EFI_GPT_EVENT",
    0x80000007: "EV_EFI_ACTION",
    0x80000008: "EV_EFI_PLATFORM_FIRMWARE_BLOB",
    0x80000009: "EV_EFI_HANDOFF_TABLES",
    0x8000000A: "EV_EFI_PLATFORM_FIRMWARE_BLOB2",
    0x8000000B: "EV_EFI_HANDOFF_TABLES2",
    0x8000000C: "EV_EFI_VARIABLE_BOOT2",
    0x8000000D: "EV_EFI_GPT_EVENT2",
    _EV_HCRTM: "EV_EFI_HCRTM_EVENT",
    0x800000E0: "EV_EFI_VARIABLE_AUTHORITY",
    0x800000E1: "EV_EFI_SPDM_FIRMWARE_BLOB",
    0x800000E2: "EV_EFI_SPDM_FIRMWARE_CONFIG",
    0x800000E3: "EV_EFI_SPDM_DEVICE_POLICY",
    0x800000E4: "EV_EFI_SPDM_DEVICE_AUTHORITY",
}
"""Event types by number (10.4.1)."""


class LogKind(StrEnum):
    """Which registers the numbers of a log refer to."""

    TPM = "tpm"
    CC = "cc"
    """Measurement registers of a confidential guest: 0 is MRTD, 1 to 4 are RTMR0 to RTMR3."""


class LoggedEvent(msgspec.Struct, frozen=True):
    """One record; digests by bank, under hashlib's names or `0x…` for an unknown algorithm."""

    register: int
    type: int
    digests: Mapping[str, bytes]
    data: bytes

    @property
    def type_name(self) -> str:
        return TYPES.get(self.type, f"{self.type:#010x}")

    @property
    def extends(self) -> bool:
        """Whether the register was extended: an EV_NO_ACTION is informative only."""
        return self.type != EV_NO_ACTION


class EventLog(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A decoded log. `banks` are those of its events; `crypto_agile` tells the form of its records.

    Where the log is damaged or cut short, `flaw` says how; `end` is the offset after the last intact event.
    """

    kind: LogKind
    banks: tuple[str, ...]
    events: tuple[LoggedEvent, ...]
    crypto_agile: bool
    end: int
    flaw: str = ""

    @cached_property
    def numbers(self) -> frozenset[int]:
        """The registers that its events refer to."""
        return frozenset(event.register for event in self.events)

    @property
    def locality(self) -> int:
        """The last byte of PCR 0 before its first event: the locality in which the TPM was started, or 4.

        After an H-CRTM event it is 4, whatever the locality, and whether or not there is a StartupLocality event
        (10.4.5.3; TCG, "TPM 2.0 Library", part 1, 34.3: the H-CRTM sequence ends before the TPM is started).
        """
        events = [event for event in self.events if event.register == 0]

        if any(event.type == _EV_HCRTM for event in events):
            return _HCRTM_LOCALITY

        for event in events:
            if not event.extends and event.data.startswith(_LOCALITY_SIGNATURE) and len(event.data) > 16:
                return event.data[16]
        return 0


def decode(data: bytes, kind: LogKind | None = None) -> EventLog:
    """Decode a log; `kind` is guessed where it is not given.

    Raises `FormatError` if the data is not a log; of a damaged or truncated one, the events before the damage are
    returned.
    """
    if len(data) > MAX_SIZE:
        raise FormatError(f"an event log of {len(data)} bytes is beyond belief (limit {MAX_SIZE})")

    register, kind_number, _digest, size = unpack(_LEGACY, data, 0, "the first event")
    if kind_number not in TYPES:
        raise FormatError("not an event log (its first event has an unknown type)")

    # A crypto-agile log starts with an event in the legacy form that declares the digests of the others.
    content = _content(data, _LEGACY.size, size, 0)
    crypto_agile = kind_number == EV_NO_ACTION and content.startswith(_SPEC_SIGNATURE)

    if crypto_agile:
        sizes = _decode_spec(content)
        first = LoggedEvent(register, kind_number, {}, content)
        start = _LEGACY.size + size
        events, end, flaw = _whole(_agile_events(data, start, sizes), start)
        events.insert(0, first)
        banks = tuple(_name(algorithm) for algorithm in sizes)
    else:
        events, end, flaw = _whole(_legacy_events(data), 0)
        banks = ("sha1",)

    return EventLog(
        kind=kind or _guess(banks, events),
        banks=banks,
        events=tuple(events),
        crypto_agile=crypto_agile,
        end=end,
        flaw=flaw,
    )


def _whole(records: Iterator[tuple[LoggedEvent, int]], start: int) -> tuple[list[LoggedEvent], int, str]:
    """The intact events, the offset after them, and what is wrong with the rest."""
    events: list[LoggedEvent] = []
    end = start
    try:
        for event, end in records:  # noqa: B007 - the last `end` is returned
            events.append(event)
    except FormatError as error:
        return events, end, error.message
    return events, end, ""


def _guess(banks: tuple[str, ...], events: Sequence[LoggedEvent]) -> LogKind:
    """Confidential guests have one bank and at most five registers; a PC's log always has events of PCR 7."""
    highest = max((event.register for event in events), default=0)
    return LogKind.CC if banks == ("sha384",) and highest <= 4 else LogKind.TPM


def _decode_spec(content: bytes) -> dict[int, int]:
    """The digest sizes that the log's first event declares, by algorithm."""
    *_, count = unpack(_SPEC, content, 0, "the Spec ID event")
    if not 1 <= count <= _MAX_ALGORITHMS:
        raise FormatError(f"the Spec ID event declares {count} algorithms")

    sizes = {}
    for index in range(count):
        algorithm, size = unpack(
            _SPEC_ALGORITHM, content, _SPEC.size + index * _SPEC_ALGORITHM.size, "an algorithm of the Spec ID event"
        )

        if not 1 <= size <= 64:
            raise FormatError(f"the Spec ID event declares digests of {size} bytes")

        name = _name(algorithm)
        if size != SIZES.get(name, size):
            raise FormatError(f"the Spec ID event declares digests of {size} bytes for {name}, which has {SIZES[name]}")
        sizes[algorithm] = size

    return sizes


def _agile_events(data: bytes, at: int, sizes: Mapping[int, int]) -> Iterator[tuple[LoggedEvent, int]]:
    """The events from `at` on, each with the offset after it."""
    for index in range(1, _MAX_EVENTS):
        if _ends(data, at):
            return

        register, kind = unpack(_HEADER, data, at, f"event {index}")
        digests, at = _decode_digests(data, at + _HEADER.size, sizes, index)
        (size,) = unpack(_COUNT, data, at, f"the size of event {index}")

        content = _content(data, at + _COUNT.size, size, index)
        at += _COUNT.size + size
        yield LoggedEvent(register, kind, digests, content), at

    raise FormatError(f"an event log of more than {_MAX_EVENTS} events is beyond belief")


def _decode_digests(data: bytes, at: int, sizes: Mapping[int, int], index: int) -> tuple[dict[str, bytes], int]:
    (count,) = unpack(_COUNT, data, at, f"the digests of event {index}")
    at += _COUNT.size
    if count > len(sizes):
        raise FormatError(f"event {index} has {count} digests, the log has {len(sizes)} banks")

    digests = {}
    for _ in range(count):
        (algorithm,) = unpack(_ALGORITHM, data, at, f"a digest of event {index}")
        if algorithm not in sizes:
            raise FormatError(f"event {index} has a digest of the undeclared algorithm {algorithm:#06x}")

        at += _ALGORITHM.size
        digests[_name(algorithm)] = _content(data, at, sizes[algorithm], index)
        at += sizes[algorithm]

    return digests, at


def _legacy_events(data: bytes) -> Iterator[tuple[LoggedEvent, int]]:
    at = 0
    for index in range(_MAX_EVENTS):
        if _ends(data, at):
            return

        register, kind, digest, size = unpack(_LEGACY, data, at, f"event {index}")
        content = _content(data, at + _LEGACY.size, size, index)
        at += _LEGACY.size + size
        yield LoggedEvent(register, kind, {"sha1": digest}, content), at

    raise FormatError(f"an event log of more than {_MAX_EVENTS} events is beyond belief")


def _ends(data: bytes, at: int) -> bool:
    """Whether `at` is the end, or the unused rest of the memory that firmware reserved for the log: ones, or zeros."""
    return at >= len(data) or data[at : at + 8] == b"\xff" * 8 or (data[at] == 0 and not any(data[at:]))


def _content(data: bytes, at: int, size: int, index: int) -> bytes:
    if size > len(data) - at:
        raise FormatError(f"event {index} is cut short ({size} bytes expected at {at:#x}, data ends at {len(data):#x})")
    return data[at : at + size]


def _name(algorithm: int) -> str:
    return ALGORITHMS.get(algorithm, f"{algorithm:#06x}")
