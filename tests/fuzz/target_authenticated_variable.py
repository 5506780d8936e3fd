from collections.abc import Iterator
from contextlib import suppress

from fuki_build.errors import FormatError
from fuki_build.formats.uefi import authenticated_variable as auth
from fuki_build.formats.uefi.authenticated_variable import AuthenticatedPayload
from fuki_build.formats.uefi.efi_time import NONE, EfiTime


def seeds() -> Iterator[bytes]:
    yield auth.encode(
        AuthenticatedPayload(
            EfiTime(year=2026, month=11, day=25, hour=18, minute=40, second=9), b"\x30\x82\1\0", b"payload"
        )
    )
    yield auth.encode(AuthenticatedPayload(NONE, b"\x30\x82\1\0", b""))


def run(data: bytes) -> None:
    with suppress(FormatError):
        assert auth.encode(auth.decode(data)) == data
        assert auth.is_authenticated(data)
