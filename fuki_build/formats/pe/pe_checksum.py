"""The CheckSum of PE images: 16-bit words added with end-around carry, then the file's size (Microsoft's ImageHlp).

EFI firmware ignores it. A value of 0 means that it was never computed.
"""

_MODULUS = 0xFFFF


class Checksum:
    """Sums a file that is fed from its start, piece by piece."""

    def __init__(self) -> None:
        self._sum = 0
        self._size = 0

    def feed(self, piece: bytes | memoryview) -> None:
        # End-around carry makes the sum one modulo 0xffff, so pieces of any size can be added.
        self._add(self._size, int.from_bytes(piece, "little"))
        self._size += len(piece)

    def replace(self, offset: int, old: bytes, new: bytes) -> None:
        """Replace `old`, which was fed at `offset`, by `new`."""
        self._add(offset, int.from_bytes(new, "little") - int.from_bytes(old, "little"))

    def _add(self, offset: int, value: int) -> None:
        self._sum = (self._sum + (value << 8 * (offset % 2))) % _MODULUS

    @property
    def value(self) -> int:
        """The checksum, provided that the field itself was fed as zeros."""
        return (self._sum or (_MODULUS if self._size else 0)) + self._size
