"""How much work on bytes something is: those that are read from files, and those that are hashed."""

import hashlib
import os
from typing import Any

import pytest


class Counts:
    """Bytes since the last `reset`."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._read: list[int] = []
        self._hashed: list[int] = []

    @property
    def read(self) -> int:
        return sum(self._read)

    @property
    def hashed(self) -> int:
        return sum(self._hashed)

    def note_read(self, size: int) -> None:
        # Threads append at a time.
        self._read.append(size)

    def note_hashed(self, size: int) -> None:
        self._hashed.append(size)


class _CountedHash:
    def __init__(self, state: Any, counts: Counts) -> None:  # noqa: ANN401 - hashlib's have no public type
        self._state = state
        self._counts = counts

    def update(self, data: bytes | memoryview) -> None:
        self._counts.note_hashed(len(data))
        self._state.update(data)

    def copy(self) -> "_CountedHash":
        return _CountedHash(self._state.copy(), self._counts)

    def digest(self) -> bytes:
        return bytes(self._state.digest())

    def hexdigest(self) -> str:
        return self.digest().hex()


def count_bytes(patch: pytest.MonkeyPatch) -> Counts:
    """Count what this process reads by `os`, as fuki does, and hashes by `hashlib.new`."""
    counts = Counts()
    real_new = hashlib.new

    def counted_reads(name: str) -> Any:  # noqa: ANN401 - either function of `os`
        real = getattr(os, name)

        def read(*arguments: Any) -> bytes:  # noqa: ANN401
            data = real(*arguments)
            counts.note_read(len(data))
            return bytes(data)

        return read

    def counted_new(algorithm: str, data: bytes = b"", **options: Any) -> _CountedHash:  # noqa: ANN401
        counts.note_hashed(len(data))
        return _CountedHash(real_new(algorithm, data, **options), counts)

    for name in ("read", "pread"):
        patch.setattr(os, name, counted_reads(name))
    patch.setattr(hashlib, "new", counted_new)
    return counts
