from collections.abc import Iterator
from contextlib import suppress

from fuki_build.errors import FormatError
from fuki_build.formats import pkcs11_uri


def seeds() -> Iterator[bytes]:
    yield b"pkcs11:token=My%20token;library-version=3.1;id=%01%Ba?module-path=/usr/lib/a.so&pin-source=file:/etc/pin"
    yield b"pkcs11:slot-id=7;slot-manufacturer=a;type=private;object=db;vendor=1?module-name=softhsm2&x-y=|z"
    yield b"pkcs11:model=a?pin-value=1234"


def run(data: bytes) -> None:
    with suppress(FormatError):
        uri = pkcs11_uri.decode(data.decode("latin-1"))
        assert pkcs11_uri.decode(pkcs11_uri.encode(uri)) == uri
