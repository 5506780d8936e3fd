"""Messages of the Remote Execution API, version 2: digests, directories, commands and actions; encoding, pure.

Source: build/bazel/remote/execution/v2/remote_execution.proto. All are encoded in the order of their fields, with lists
in the order that the API asks for, so that what is the same has the same digest.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from msgspec import Struct

_VARINT, _BYTES = 0, 2


class RemoteDigest(Struct, frozen=True):
    """The SHA-256, in hex, and the size in bytes of a blob."""

    hash: str
    size: int

    def encode(self) -> bytes:
        return _text(1, self.hash) + _number(2, self.size)

    def __str__(self) -> str:
        return f"{self.hash}/{self.size}"


class RemoteFile(Struct, frozen=True):
    """A file of an input root."""

    digest: RemoteDigest
    executable: bool


class RemoteCommand(Struct, frozen=True, kw_only=True):
    """What an action runs, in its input root: `outputs` are files or directories, relative to that."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    outputs: Sequence[str]
    platform: Mapping[str, str]

    def encode(self) -> bytes:
        variables = (_text(1, name) + _text(2, value) for name, value in sorted(self.environment.items()))
        return b"".join(
            (
                *(_text(1, word) for word in self.arguments),
                *(_bytes(2, variable) for variable in variables),
                _platform(5, self.platform),
                *(_text(7, path) for path in sorted(set(self.outputs))),
            )
        )


class RemoteBlobs:
    """Messages by their digests."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}

    def add(self, content: bytes) -> RemoteDigest:
        digest = RemoteDigest(hashlib.sha256(content).hexdigest(), len(content))
        self.contents[digest.hash] = content
        return digest


def add_action(
    blobs: RemoteBlobs, command: RemoteDigest, root: RemoteDigest, platform: Mapping[str, str], salt: str
) -> RemoteDigest:
    """An action of a command and an input root; what has another `salt` never shares a result with it."""
    content = _bytes(1, command.encode()) + _bytes(2, root.encode()) + _text(9, salt)
    return blobs.add(content + _platform(10, platform))


def add_input_root(blobs: RemoteBlobs, files: Mapping[str, RemoteFile]) -> RemoteDigest:
    """The directory that holds `files`, whose paths are relative to it, and all directories below."""
    return _add_directory(blobs, [(PurePosixPath(path).parts, file) for path, file in files.items()])


def _add_directory(blobs: RemoteBlobs, files: Iterable[tuple[tuple[str, ...], RemoteFile]]) -> RemoteDigest:
    own: dict[str, RemoteFile] = {}
    below: dict[str, list[tuple[tuple[str, ...], RemoteFile]]] = {}
    for (name, *rest), file in files:
        if rest:
            below.setdefault(name, []).append((tuple(rest), file))
        else:
            own[name] = file

    content = b""
    for name, file in sorted(own.items()):
        executable = _number(4, 1) if file.executable else b""
        content += _bytes(1, _text(1, name) + _bytes(2, file.digest.encode()) + executable)
    for name, inner in sorted(below.items()):
        content += _bytes(2, _text(1, name) + _bytes(2, _add_directory(blobs, inner).encode()))
    return blobs.add(content)


def _platform(field: int, properties: Mapping[str, str]) -> bytes:
    pairs = (_text(1, name) + _text(2, value) for name, value in sorted(properties.items()))
    return _bytes(field, b"".join(_bytes(1, pair) for pair in pairs)) if properties else b""


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode()) if value else b""


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(value)) + value


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value) if value else b""


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
