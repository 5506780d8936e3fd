"""cpio archives in the newc format, as systemd-stub generates them for the initrd (cpio.c, 262.1).

Format: Documentation/driver-api/early-userspace/buffer-format.rst.
"""

_DIRECTORY = 0o040000
_FILE = 0o100000
_ALIGNMENT = 4
_TRAILER = "TRAILER!!!"


def pack_literal(directory: str, name: str, content: bytes, directory_mode: int, mode: int) -> bytes:
    """The archive of one file in one top-level directory, byte for byte as the stub writes it."""
    archive = _entry(1, _DIRECTORY | directory_mode, directory, b"")
    archive += _entry(2, _FILE | mode, f"{directory}/{name}", content)
    # The stub writes the size of the trailer's name in upper case, unlike all other numbers.
    return archive + _head((0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0), _TRAILER).replace(b"0000000b", b"0000000B")


def _entry(inode: int, mode: int, name: str, content: bytes) -> bytes:
    return _head((inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0), name) + _padded(content)


def _head(fields: tuple[int, ...], name: str) -> bytes:
    """Fields are inode, mode, uid, gid, links, time, size, and four device numbers."""
    text = name.encode("ascii") + b"\0"
    head = b"070701" + b"".join(b"%08x" % field for field in (*fields, len(text), 0))
    return _padded(head + text)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGNMENT)
