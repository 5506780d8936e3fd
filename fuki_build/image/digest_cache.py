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

from msgspec import Struct

from fuki_build.formats import digest_entry
from fuki_build.formats.hashes import SIZES, Hash, new_hash
from fuki_build.image.assemble import Progress, assemble
from fuki_build.image.assembly import Assembly
from fuki_build.image.blob import Blob, FilePart, open_regular
from fuki_build.image.cache_directory import evict, private_directory, read_entry, touch_entry, write_entry
from fuki_build.image.digest import Request
from fuki_build.image.digest_plan import NO_DIGESTS, DigestNeeds, DigestPlan
from fuki_build.image.file_state import file_state, settle
from fuki_build.image.layout import Layout
from fuki_build.image.reading import read_pieces

MOST_ENTRIES = 4096
"""Files in the cache: 16 MB for usual images."""
_MOST_MORE = 4 * 1024 * 1024
"""Bytes behind those of a request that are held in memory to be hashed, if need be."""

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
        self._used: dict[str, bytes] = {}
        self._hashed_again: dict[Request, Hash] = {}
        self._is_settled: bool | None = None
        if self._kept:
            touch_entry(self._path)

    def knows(self, request: Request) -> bool:
        return self.find(request, "") is not None

    def find(self, request: Request, more: str) -> bytes | None:
        """The digest of what is requested, followed by what `more` describes."""
        name = _name(request, more)
        digest = self._used.get(name) or self._kept.get(name)
        if digest is None or len(digest) != SIZES.get(request.algorithm):
            return None
        self._used[name] = digest
        return digest

    def add(self, request: Request, more: str, digest: bytes) -> None:
        self._used[_name(request, more)] = digest

    def compute(self, requests: list[Request], progress: Progress | None) -> dict[Request, Hash]:
        """The hashes in one pass over the file."""
        self._settle()
        hashes = dict(assemble(self._layout, progress=progress, digests=NO_DIGESTS, also=requests).results)
        for request, state in hashes.items():
            self.add(request, "", state.digest())
        return hashes

    def hash_again(self, request: Request) -> Hash:
        """A hash that can go on, of which only the digest was known."""
        if request in self._hashed_again:
            return self._hashed_again[request].copy()

        self._settle()
        state = request.before.copy() if request.before else new_hash(request.algorithm)
        for start, end in request.ranges:
            for piece in read_pieces(Blob((self._part,)).slice(start, end - start)):
                state.update(piece)
        state.update(request.suffix)
        self._hashed_again[request] = state
        return state.copy()

    def keep(self) -> None:
        """Write what is new, if the file was in the same state from before it was read, and will leave it visibly."""
        if self._used.items() <= self._kept.items() or not self._is_settled:
            return
        with suppress(OSError):
            if self._state_now() != self._state:
                return
            # Others, of this command or another, may stay as long as there is room.
            for digests in ({**self._read(), **self._used}, self._used):
                data = digest_entry.encode(self._state, digests)
                if len(data) <= digest_entry.MAX_SIZE:
                    write_entry(self._path, data)
                    evict(self._path.parent, MOST_ENTRIES)
                    return

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
    """What is known of a layout's file; None of content that is not one whole file, or whose state has no name."""
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


def _name(request: Request, more: str) -> str:
    before = request.before.hexdigest() if request.before else ""
    text = f"{request.algorithm} {request.ranges} {before} {request.suffix.hex()} {more}"
    return hashlib.sha256(text.encode()).hexdigest()


class _More(Struct, frozen=True):
    """What follows the bytes of a request, piece by piece: numbers of zeros, and other bytes.

    `description` tells one from another; two of the same bytes in other pieces count as different.
    """

    pieces: tuple[int | bytes, ...] = ()
    description: str = ""

    def and_then(self, data: bytes) -> "_More":
        if not data:
            return self
        # Sections that are larger in memory are followed by up to 256 MiB of zeros.
        piece, word = (len(data), str(len(data))) if not data.strip(b"\0") else (data, hashlib.sha256(data).hexdigest())
        return _More((*self.pieces, piece), f"{self.description},{word}")

    @property
    def size(self) -> int:
        return sum(len(piece) for piece in self.pieces if isinstance(piece, bytes))

    def feed(self, state: Hash) -> None:
        for piece in self.pieces:
            state.update(bytes(piece) if isinstance(piece, int) else piece)


_NO_MORE = _More()


class _KeptHash:
    """A hash, with the methods of hashlib's, whose bytes are read only if nothing else tells its digest.

    What follows them is remembered, up to some size; after that, `more` is None, and the hash is a `state` like others.
    """

    def __init__(self, record: _Record, request: Request, state: Hash | None, more: _More | None = _NO_MORE) -> None:
        self._record = record
        self._request = request
        self._state = state
        self._more = more

    def update(self, data: bytes | memoryview, /) -> None:
        if self._more is not None:
            more = self._more.and_then(bytes(data))
            if more.size <= _MOST_MORE:
                self._more = more
            else:
                self._computed()
                self._more = None
        if self._state is not None:
            self._state.update(data)

    def copy(self) -> "_KeptHash":
        state = None if self._state is None else self._state.copy()
        return _KeptHash(self._record, self._request, state, self._more)

    def digest(self) -> bytes:
        if self._more is None:
            return self._computed().digest()
        digest = self._record.find(self._request, self._more.description)
        if digest is None:
            digest = self._computed().digest()
            self._record.add(self._request, self._more.description, digest)
        return digest

    def hexdigest(self) -> str:
        return self.digest().hex()

    def _computed(self) -> Hash:
        if self._state is None:
            self._state = self._record.hash_again(self._request)
            if self._more is not None:
                self._more.feed(self._state)
        return self._state
