"""MRTD, the launch measurement of Intel TDX: one SHA-384 over everything that is added to a TD, and how.

Source: Intel, "TDX Module ABI Specification", TDH.MEM.PAGE.ADD and TDH.MR.EXTEND.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from functools import partial
from struct import Struct
from typing import NamedTuple

from fuki_coco.memory import PAGE, pages

SIZE = 48
_CHUNK = 256
_ADD = Struct("<16sQ104x")
_EXTEND = Struct("<16sQ104x256s")


class Order(StrEnum):
    """How a hypervisor adds pages: each with its content at once, or all pages of a section before their content."""

    SINGLE_PASS = "single-pass"  # noqa: S105 - no password
    TWO_PASS = "two-pass"  # noqa: S105 - no password


class TdxMemory(NamedTuple):
    """Memory that is added page by page; `content` is extended into MRTD, None if nothing is."""

    part: str
    address: int
    size: int
    content: bytes | None


def mrtd(sections: Sequence[TdxMemory], order: Order) -> bytes:
    """MRTD of a TD that is built from these sections, in order."""
    stream = hashlib.sha384()
    for _, _, block in _blocks(sections, order):
        stream.update(block)
    return stream.digest()


def cut(sections: Sequence[TdxMemory], order: Order, digest: bytes) -> tuple[str, int] | None:
    """The part and address of the last page, where a TD that got no more has this digest; None if none does."""
    stream = hashlib.sha384()
    for part, address, block in _blocks(sections, order):
        stream.update(block)
        if stream.copy().digest() == digest:
            return part, address
    return None


def _blocks(sections: Sequence[TdxMemory], order: Order) -> Iterator[tuple[str, int, bytes]]:
    """What goes into the hash for each page: that it is added, its content, or both."""
    for section in sections:
        addresses = range(section.address, section.address + section.size, PAGE)

        if section.content is None or order is Order.TWO_PASS:
            for address in addresses:
                yield section.part, address, _add(address)

        if section.content is None:
            continue

        for address, page in zip(addresses, pages(section.content), strict=True):
            added = _add(address) if order is Order.SINGLE_PASS else b""
            yield section.part, address, added + _extends(address, page)


_add: Callable[[int], bytes] = partial(_ADD.pack, b"MEM.PAGE.ADD")


def _extends(address: int, page: bytes) -> bytes:
    return b"".join(_EXTEND.pack(b"MR.EXTEND", address + at, page[at : at + _CHUNK]) for at in range(0, PAGE, _CHUNK))
