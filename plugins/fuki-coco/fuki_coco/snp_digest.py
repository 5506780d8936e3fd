"""The launch digest of SEV-SNP: a chain of SHA-384 over the pages in the order in which they are added.

Source: AMD, "SEV Secure Nested Paging Firmware ABI Specification" (56860), 8.17 SNP_LAUNCH_UPDATE, table PAGE_INFO.
"""

from collections.abc import Iterable, Iterator
from enum import IntEnum
from hashlib import sha384
from struct import Struct
from typing import NamedTuple

SIZE = 48
START = bytes(SIZE)
_NOTHING = bytes(SIZE)
_PAGE_INFO = Struct("<48s48sHBB3BxQ")
_pack = _PAGE_INFO.pack


class SnpPageType(IntEnum):
    """Page types; content is measured for the first two only."""

    NORMAL = 1
    VMSA = 2
    ZERO = 3
    UNMEASURED = 4
    SECRETS = 5
    CPUID = 6


class Page(NamedTuple):
    """A page as it is added: `content` is its SHA-384, or zeros if its bytes are not measured."""

    part: str
    kind: SnpPageType
    address: int
    content: bytes = _NOTHING


def page_of(part: str, kind: SnpPageType, address: int, data: bytes) -> Page:
    return Page(part, kind, address, sha384(data).digest())


def extend(digest: bytes, pages: Iterable[Page]) -> bytes:
    """The launch digest after these pages."""
    for _, kind, address, content in pages:
        digest = sha384(_pack(digest, content, _PAGE_INFO.size, kind, 0, 0, 0, 0, address)).digest()
    return digest


def trail(digest: bytes, pages: Iterable[Page]) -> list[bytes]:
    """The launch digest before the first of these pages, and after each."""
    digests = [digest]
    digests += (digest := extend(digest, [page]) for page in pages)
    return digests


def repeated(digest: bytes, page: Page) -> Iterator[bytes]:
    """The launch digests after this page once, twice and so on, without end."""
    _, kind, address, content = page
    behind = _pack(START, content, _PAGE_INFO.size, kind, 0, 0, 0, 0, address)[SIZE:]
    while True:
        digest = sha384(digest + behind).digest()
        yield digest


def ended(page: Page) -> str:
    """In words, that a launch ended before this page."""
    return f"it ended before {page.part} at {page.address:#x} was measured"
