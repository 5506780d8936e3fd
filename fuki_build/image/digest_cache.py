"""Digests of finished images, kept in the user's cache directory by the state of the file: only where a verb asks.

A command that trusts them does not read the image again, but its headers and small sections. Whoever gives a verdict
calls `assemble`, which knows nothing of this and reads all bytes.
"""

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from fuki_build.formats import digest_entry
from fuki_build.formats.hashes import SIZES, Hash, new_hash
from fuki_build.formats.reader import PIECE
from fuki_build.image.assemble import Assembly, Progress, assemble
from fuki_build.image.blob import FilePart, open_regular
from fuki_build.image.cache_directory import evict, private_directory, read_entry, touch_entry, write_entry
from fuki_build.image.digest import Request
from fuki_build.image.digest_plan import NO_DIGESTS, DigestNeeds, DigestPlan
from fuki_build.image.file_state import file_state, settle
from fuki_build.image.layout import Layout
from fuki_build.image.reading import read_pieces

MOST_ENTRIES = 4096
"""Files in the cache: 16 MB for usual images."""

_records: ContextVar[list["_Record"] | None] = ContextVar("fuki_digest_records", default=None)


@contextmanager
def keeping_digests(is_asked: bool) -> Iterator[None]:
    """Let `digest_image` take digests from the cache while the `with` lasts, and keep new ones at its end."""
    records: list[_Record] = []
    token = _records.set(records if is_asked else None)
    try:
        yield
    finally:
        _records.reset(token)
    for record in records:
        record.keep()


def digest_image(layout: Layout, needs: DigestNeeds, progress: Progress | None = None) -> Assembly:
    """The digests of a finished image: those that are kept, and the others of one pass over the file.

    Raises `FukiError` as `assemble` does.
    """
    records = _records.get()
    record = None if records is None else _open_record(layout)
    if records is None or record is None:
        return assemble(layout, progress=progress, digests=needs)
    records.append(record)

    plan = DigestPlan.of(layout, needs)
    missing = [request for request in plan.requests if not record.knows(request)]
    hashes = record.compute(missing, progress) if missing else {}
    return Assembly(plan, {request: _KeptHash(record, request, hashes.get(request)) for request in plan.requests})


class _Record:
    """The digests that are known of one file in one state, of which some may be new."""

    def __init__(self, layout: Layout, part: FilePart, state: str, directory: Path) -> None:
        self._layout = layout
        self._part = part
        self._state = state
        self._path = directory / state
        self._kept = self._read()
        self._new: dict[str, bytes] = {}
        self._is_settled: bool | None = None
        if self._kept:
            touch_entry(self._path)

    def knows(self, request: Request) -> bool:
        return self.find(request, 0) is not None

    def find(self, request: Request, zeros: int) -> bytes | None:
        """The digest of what is requested, followed by so many zeros."""
        name = _name(request, zeros)
        digest = self._new.get(name) or self._kept.get(name)
        return digest if digest is None or len(digest) == SIZES.get(request.algorithm) else None

    def add(self, request: Request, zeros: int, digest: bytes) -> None:
        self._new[_name(request, zeros)] = digest

    def compute(self, requests: list[Request], progress: Progress | None) -> dict[Request, Hash]:
        """The hashes in one pass over the file."""
        self._settle()
        hashes = dict(assemble(self._layout, progress=progress, digests=NO_DIGESTS, also=requests).results)
        for request, state in hashes.items():
            self.add(request, 0, state.digest())
        return hashes

    def hash_again(self, request: Request) -> Hash:
        """A hash that can go on, of which only the digest was known."""
        self._settle()
        state = request.before.copy() if request.before else new_hash(request.algorithm)
        for start, end in request.ranges:
            for piece in read_pieces(self._layout.file.slice(start, end - start)) if self._layout.file else ():
                state.update(piece)
        state.update(request.suffix)
        return state

    def keep(self) -> None:
        """Write what is new, if the file was in the same state from before it was read, and will leave it visibly."""
        if not self._new or not self._is_settled:
            return
        with suppress(OSError):
            if self._state_now() != self._state:
                return
            # Another command may have kept digests of other kinds meanwhile.
            data = digest_entry.encode(self._state, {**self._read(), **self._new})
            if len(data) <= digest_entry.MAX_SIZE:
                write_entry(self._path, data)
                evict(self._path.parent, MOST_ENTRIES)

    def _settle(self) -> None:
        """Before the file is read for the first time, find out whether its later changes will be seen."""
        if self._is_settled is None:
            descriptor, _ = open_regular(self._part.path)
            try:
                self._is_settled = settle(descriptor, time.time_ns())
            finally:
                os.close(descriptor)

    def _state_now(self) -> str | None:
        descriptor = os.open(self._part.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return file_state(descriptor)
        finally:
            os.close(descriptor)

    def _read(self) -> dict[str, bytes]:
        try:
            return digest_entry.decode(self._state, read_entry(self._path, digest_entry.MAX_SIZE))
        except OSError:
            return {}


def _open_record(layout: Layout) -> _Record | None:
    """What is known of the file of a layout; None of one that is not read from a file, or whose state has no name."""
    directory = private_directory("digests")
    match layout.file.parts if layout.file else ():
        case (FilePart() as part,) if directory is not None:
            descriptor, status = open_regular(part.path)
        case _:
            return None
    try:
        part.check_unchanged(status)
        state = file_state(descriptor)
    finally:
        os.close(descriptor)
    return None if state is None else _Record(layout, part, state, directory)


def _name(request: Request, zeros: int) -> str:
    before = request.before.hexdigest() if request.before else ""
    text = f"{request.algorithm} {request.ranges} {before} {request.suffix.hex()} {zeros}"
    return hashlib.sha256(text.encode()).hexdigest()


class _KeptHash:
    """A hash, with the methods of hashlib's, whose bytes are read only if nothing else tells its digest.

    Zeros that follow, as behind sections that are larger in memory, are counted; anything else needs the `state`.
    """

    def __init__(self, record: _Record, request: Request, state: Hash | None, zeros: int | None = 0) -> None:
        self._record = record
        self._request = request
        self._state = state
        self._zeros = zeros

    def update(self, data: bytes | memoryview, /) -> None:
        zeros = self._zeros if bytes(data).count(0) == len(data) else None
        if zeros is None or self._state is not None:
            self._computed().update(data)
        self._zeros = None if zeros is None else zeros + len(data)

    def copy(self) -> "_KeptHash":
        state = None if self._state is None else self._state.copy()
        return _KeptHash(self._record, self._request, state, self._zeros)

    def digest(self) -> bytes:
        if self._zeros is None:
            return self._computed().digest()
        digest = self._record.find(self._request, self._zeros)
        if digest is None:
            digest = self._computed().digest()
            self._record.add(self._request, self._zeros, digest)
        return digest

    def hexdigest(self) -> str:
        return self.digest().hex()

    def _computed(self) -> Hash:
        if self._state is None:
            self._state = self._record.hash_again(self._request)
            for start in range(0, self._zeros or 0, PIECE):
                self._state.update(bytes(min(PIECE, (self._zeros or 0) - start)))
        return self._state
