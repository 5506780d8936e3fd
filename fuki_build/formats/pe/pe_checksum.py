"""The CheckSum of PE images: 16-bit words added with end-around carry, then the file's size (Microsoft's ImageHlp).

EFI firmware does not look at it. Where it is 0, it was never computed.
"""

_MODULUS = 0xFFFF


class Checksum:
    """Sums a file that is fed from its start."""

    def __init__(self) -> None:
        self._sum = 0
        self._size = 0

    def feed(self, piece: bytes | memoryview) -> None:
        # End-around carry makes the sum one modulo 0xffff, whatever the size of the words that are added.
        self._add(self._size, int.from_bytes(piece, "little"))
        self._size += len(piece)

    def replace(self, offset: int, old: bytes, new: bytes) -> None:
        """Count `new` where `old` was fed."""
        self._add(offset, int.from_bytes(new, "little") - int.from_bytes(old, "little"))

    def _add(self, offset: int, value: int) -> None:
        self._sum = (self._sum + (value << 8 * (offset % 2))) % _MODULUS

    @property
    def value(self) -> int:
        """The checksum; the field itself must count as zeros."""
        return (self._sum or (_MODULUS if self._size else 0)) + self._size
