"""EFI_TIME: points in time as firmware keeps them (UEFI 2.10, section 8.3)."""

from datetime import UTC, datetime
from struct import Struct

from fuki_build.errors import FormatError
from fuki_build.formats.reader import unpack

_TIME = Struct("<H5BxIhBx")  # year, month, day, hour, minute, second, nanosecond, time zone, daylight
SIZE = _TIME.size


def encode(time: datetime | None) -> bytes:
    """A time in whole seconds of UTC, without zone, as authenticated variables have it; None is 16 zero bytes."""
    if time is None:
        return bytes(SIZE)
    utc = time.astimezone(UTC)
    return _TIME.pack(utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, 0, 0, 0)


def decode(data: bytes, offset: int, what: str) -> datetime | None:
    """The time at `offset`, in UTC; None for zeros. Raises `FormatError` naming `what`, also for a time zone."""
    year, month, day, hour, minute, second, nanosecond, zone, daylight = unpack(_TIME, data, offset, what)
    if data[offset : offset + SIZE] == bytes(SIZE):
        return None
    if zone or daylight:
        raise FormatError(f"{what} is not in UTC")
    try:
        return datetime(year, month, day, hour, minute, second, nanosecond // 1000, UTC)
    except ValueError:
        raise FormatError(f"{what} is no point in time") from None
