"""PKCS #11 URIs (RFC 7512): an object, its token, and the module that gives access to it.

A URI may hold a PIN (`pin-value`). Such a URI is refused, and errors repeat nothing of a URI but the names of
attributes.
"""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from msgspec import Struct

from fuki_build.errors import FormatError

_SCHEME = "pkcs11:"
_PIN = "pin-value"
_MAX_ULONG = 2**64 - 1
_MAX_BYTE = 255
# Beside letters, digits and "-._~"; pk11-path-res-avail and pk11-query-res-avail (RFC 7512, 2.3).
_PATH_SAFE = ":[]@!$'()*+,=&"
_QUERY_SAFE = ":[]@!$'()*+,=/?|"
_NAME = re.compile(r"[A-Za-z0-9_-]+")


def _values(safe: str) -> re.Pattern[str]:
    return re.compile(rf"(?:[A-Za-z0-9\-._~{re.escape(safe)}]|%[0-9A-Fa-f]{{2}})*")


class ObjectType(StrEnum):
    """CKA_CLASS, by RFC 7512's words."""

    PUBLIC = "public"
    PRIVATE = "private"
    CERTIFICATE = "cert"
    SECRET_KEY = "secret-key"  # noqa: S105 - a kind of object
    DATA = "data"


class Pkcs11Uri(Struct, frozen=True, kw_only=True):
    """The decoded attributes of a URI; None stands for those that it leaves open.

    `vendor` and `vendor_query` are the attributes of path and query that RFC 7512 does not define, as names and decoded
    values. They may be repeated.
    """

    token: str | None = None
    manufacturer: str | None = None
    serial: str | None = None
    model: str | None = None
    library_manufacturer: str | None = None
    library_description: str | None = None
    library_version: tuple[int, int] | None = None
    slot_id: int | None = None
    slot_description: str | None = None
    slot_manufacturer: str | None = None
    object: str | None = None
    type: ObjectType | None = None
    id: bytes | None = None
    module_path: str | None = None
    module_name: str | None = None
    pin_source: str | None = None
    vendor: tuple[tuple[str, bytes], ...] = ()
    vendor_query: tuple[tuple[str, bytes], ...] = ()


def _version(data: bytes) -> tuple[int, int]:
    """A CK_VERSION; a missing minor number counts as 0."""
    match = re.fullmatch(rb"0*(\d{1,3})(?:\.0*(\d{1,3}))?", data)
    numbers = tuple(int(number or 0) for number in match.groups()) if match else ()
    if len(numbers) != 2 or max(numbers) > _MAX_BYTE:
        raise ValueError
    return numbers[0], numbers[1]


def _ulong(data: bytes) -> int:
    match = re.fullmatch(rb"0*(\d{1,20})", data)
    if not match or int(match[1]) > _MAX_ULONG:
        raise ValueError
    return int(match[1])


def _text(data: bytes) -> str:
    return data.decode()


_Table = Mapping[str, tuple[Callable[[bytes], Any], str]]
_UTF8 = "UTF-8 text"
PATH: _Table = {
    "token": (_text, _UTF8),
    "manufacturer": (_text, _UTF8),
    "serial": (_text, _UTF8),
    "model": (_text, _UTF8),
    "library-manufacturer": (_text, _UTF8),
    "library-description": (_text, _UTF8),
    "library-version": (_version, "a version like 2.40"),
    "slot-id": (_ulong, "a number"),
    "slot-description": (_text, _UTF8),
    "slot-manufacturer": (_text, _UTF8),
    "object": (_text, _UTF8),
    "type": (lambda data: ObjectType(data.decode()), f"one of {', '.join(ObjectType)}"),
    "id": (bytes, "bytes"),
}
"""The path's attributes: how a value is decoded, and a description of valid values."""
QUERY: _Table = {"module-path": (_text, _UTF8), "module-name": (_text, _UTF8), "pin-source": (_text, _UTF8)}
"""The query's attributes, without `pin-value`."""


def decode(text: str) -> Pkcs11Uri:
    """Parse a URI by RFC 7512's grammar. Raises `FormatError`, also for a URI that holds a PIN."""
    if text[: len(_SCHEME)].lower() != _SCHEME:
        raise FormatError(f"a PKCS #11 URI starts with '{_SCHEME}'", hint="for instance pkcs11:token=signing;object=db")

    path, _, query = text[len(_SCHEME) :].partition("?")
    fields, vendor = _component("path", path.split(";") if path else [], PATH, _values(_PATH_SAFE))
    more, vendor_query = _component("query", query.split("&") if query else [], QUERY, _values(_QUERY_SAFE))
    return Pkcs11Uri(**fields, **more, vendor=vendor, vendor_query=vendor_query)


def _component(
    kind: str, attributes: list[str], table: _Table, allowed: re.Pattern[str]
) -> tuple[dict[str, Any], tuple[tuple[str, bytes], ...]]:
    """The known attributes of a path or query by field name, and the others."""
    fields: dict[str, Any] = {}
    vendor = []
    for number, attribute in enumerate(attributes, 1):
        name, equals, value = attribute.partition("=")

        place = f"attribute {number} of the PKCS #11 URI's {kind}"

        if not (equals and _NAME.fullmatch(name)):
            raise FormatError(f"{place} is not of the form name=value")
        if name.lower() == _PIN:
            raise FormatError(f"the PKCS #11 URI holds a PIN ('{_PIN}')", hint="name its source instead: pin-source=…")
        if not allowed.fullmatch(value):
            raise FormatError(f"{place} has a character that must be percent-encoded", hint="a space is %20, a / %2F")

        data = unquote_to_bytes(value)
        if name not in table:
            vendor.append((name, data))
            continue

        field = name.replace("-", "_")
        if field in fields:
            raise FormatError(f"the PKCS #11 URI has '{name}' twice")

        convert, expected = table[name]
        try:
            fields[field] = convert(data)
        except ValueError:
            raise FormatError(f"'{name}' in the PKCS #11 URI is not {expected}") from None

    return fields, tuple(vendor)


def encode(uri: Pkcs11Uri) -> str:
    """The URI text, with attributes in the order of `PATH` and `QUERY`."""
    path = [f"{name}={_value(field, _PATH_SAFE)}" for name, field in _given(uri, PATH)]
    path += [f"{name}={quote(data, safe=_PATH_SAFE)}" for name, data in uri.vendor]
    query = [f"{name}={_value(field, _QUERY_SAFE)}" for name, field in _given(uri, QUERY)]
    query += [f"{name}={quote(data, safe=_QUERY_SAFE)}" for name, data in uri.vendor_query]
    return _SCHEME + ";".join(path) + ("?" + "&".join(query) if query else "")


def _given(uri: Pkcs11Uri, table: _Table) -> list[tuple[str, Any]]:
    fields = [(name, getattr(uri, name.replace("-", "_"))) for name in table]
    return [(name, field) for name, field in fields if field is not None]


def _value(field: str | int | bytes | tuple[int, int], safe: str) -> str:
    match field:
        case bytes():  # an id; RFC 7512 recommends encoding every byte
            return "".join(f"%{byte:02X}" for byte in field)
        case major, minor:
            return f"{major}.{minor}"
        case _:
            return quote(str(field), safe=safe)
