from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

from fuki_build.errors import FormatError
from fuki_build.formats import authenticated_variable as auth
from fuki_build.formats.authenticated_variable import AuthenticatedPayload


def seeds() -> Iterator[bytes]:
    yield auth.encode(AuthenticatedPayload(datetime(2026, 11, 25, tzinfo=UTC), b"\x30\x82\1\0", b"payload"))
    yield auth.encode(AuthenticatedPayload(None, b"\x30\x82\1\0", b""))


def run(data: bytes) -> None:
    with suppress(FormatError):
        assert auth.encode(auth.decode(data)) == data
        assert auth.is_authenticated(data)
