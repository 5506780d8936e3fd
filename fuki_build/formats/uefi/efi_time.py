"""EFI_TIME: points in time as firmware stores them (UEFI 2.10, section 8.3)."""

from datetime import UTC, datetime
from struct import Struct
from typing import NamedTuple

from fuki_build.formats.reader import unpack

_TIME = Struct("<H5BxIhBx")  # year, month, day, hour, minute, second, nanosecond, time zone, daylight
SIZE = _TIME.size


class EfiTime(NamedTuple):
    """Whole seconds in UTC, as in authenticated variables.

    Times are compared field by field, as firmware does, and need not be valid: sbsigntool 0.9.4 counts months from 0.
    """

    year: int
    month: int
    day: int
    hour: int
    minute: int
    second: int


NONE = EfiTime(year=0, month=0, day=0, hour=0, minute=0, second=0)
"""No time."""


def of(time: datetime) -> EfiTime:
    """An aware datetime, to the second."""
    return EfiTime(*time.astimezone(UTC).timetuple()[:6])


def encode(time: EfiTime) -> bytes:
    """16 bytes; fractions of the second, time zone and daylight are zero."""
    return _TIME.pack(*time, 0, 0, 0)


def decode(data: bytes, offset: int, description: str) -> EfiTime:
    """The second at `offset`; fractions and time zone are ignored. Raises `FormatError` with the `description`."""
    return EfiTime(*unpack(_TIME, data, offset, description)[:6])
