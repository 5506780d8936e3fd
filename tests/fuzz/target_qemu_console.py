from collections.abc import Iterator

from fuki_qemu import console


def seeds() -> Iterator[bytes]:
    yield b"\x1b[2J\x1b[01;01H\x1b[0m\x1b[35mBdsDxe: loading\r\n"
    yield b"\x1b]0;title\x07\x1bP$q\x1b\\\x1b[6n\x9b1m\xc2\x9b1m\x05"
    yield "ä€😀\b".encode()


def run(data: bytes) -> None:
    whole = console.TerminalFilter().feed(data)
    pieces = console.TerminalFilter()
    middle = len(data) // 2
    assert pieces.feed(data[:middle]) + pieces.feed(data[middle:]) == whole
    assert set(console.plain(data)).isdisjoint(map(chr, (*range(9), *range(11, 32), *range(127, 160))))
