"""Messages of the Remote Execution API as protobuf's own library encodes them."""

import hashlib
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from fuki_build.formats.remote_execution import (
    RemoteBlobs,
    RemoteCommand,
    RemoteDigest,
    RemoteFile,
    add_action,
    add_input_root,
)

# Names and numbers of the fields that are used, by remote_execution.proto; `*` stands for a list, `.` for a message.
FIELDS = {
    "Digest": {"hash": (1, "string"), "size_bytes": (2, "int64")},
    "Property": {"name": (1, "string"), "value": (2, "string")},
    "Platform": {"properties": (1, "*.Property")},
    "Command": {
        "arguments": (1, "*string"),
        "environment_variables": (2, "*.Property"),
        "platform": (5, ".Platform"),
        "output_paths": (7, "*string"),
    },
    "Action": {
        "command_digest": (1, ".Digest"),
        "input_root_digest": (2, ".Digest"),
        "salt": (9, "bytes"),
        "platform": (10, ".Platform"),
    },
    "FileNode": {"name": (1, "string"), "digest": (2, ".Digest"), "is_executable": (4, "bool")},
    "DirectoryNode": {"name": (1, "string"), "digest": (2, ".Digest")},
    "Directory": {"files": (1, "*.FileNode"), "directories": (2, "*.DirectoryNode")},
}
DIGEST = RemoteDigest("ab" * 32, 300)


def message_classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="reapi.proto", package="reapi", syntax="proto3")
    for message, fields in FIELDS.items():
        described = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            field = described.field.add(name=name, number=number)
            field.label = field.LABEL_REPEATED if kind.startswith("*") else field.LABEL_OPTIONAL
            one = kind.removeprefix("*")
            if one.startswith("."):
                field.type, field.type_name = field.TYPE_MESSAGE, f".reapi{one}"
            else:
                field.type = getattr(field, f"TYPE_{one.upper()}")

    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"reapi.{name}")) for name in FIELDS}


MESSAGES = message_classes()


def encoded(kind, **fields: object) -> bytes:
    return MESSAGES[kind](**fields).SerializeToString(deterministic=True)


def digest_of(content: bytes) -> dict[str, Any]:
    return {"hash": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}


def properties(pairs: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in sorted(pairs.items())]


@pytest.mark.parametrize("size", [0, 1, 127, 128, 300, 16383, 16384, (1 << 63) - 1])
def test_a_digest_is_encoded_as_protobuf_does(size):
    assert RemoteDigest("ab", size).encode() == encoded("Digest", hash="ab", size_bytes=size)
    assert str(RemoteDigest("ab", size)) == f"ab/{size}"


WORDS = st.text(st.characters(codec="utf-8"), max_size=200)
PAIRS = st.dictionaries(WORDS, WORDS, max_size=3)


@given(st.lists(WORDS.filter(bool), max_size=3), PAIRS, st.lists(WORDS.filter(bool), max_size=4), PAIRS)
def test_a_command_is_encoded_as_protobuf_does(arguments, environment, outputs, platform):
    """Outputs in order, each once; the list of the proto has no empty ones."""
    command = RemoteCommand(arguments=arguments, environment=environment, outputs=outputs, platform=platform)
    assert command.encode() == encoded(
        "Command",
        arguments=arguments,
        environment_variables=properties(environment),
        output_paths=sorted(set(outputs)),
        **({"platform": {"properties": properties(platform)}} if platform else {}),
    )


@pytest.mark.parametrize("platform", [{}, {"OSFamily": "linux", "ISA": "x86-64"}])
def test_an_action_is_encoded_as_protobuf_does_and_kept_under_its_digest(platform):
    blobs = RemoteBlobs()
    digest = add_action(blobs, DIGEST, RemoteDigest("cd" * 32, 0), platform, "salt")
    content = encoded(
        "Action",
        command_digest={"hash": "ab" * 32, "size_bytes": 300},
        input_root_digest={"hash": "cd" * 32, "size_bytes": 0},
        salt=b"salt",
        **({"platform": {"properties": properties(platform)}} if platform else {}),
    )
    assert blobs.contents == {digest.hash: content}
    assert {"hash": digest.hash, "size_bytes": digest.size} == digest_of(content)


def test_directories_are_encoded_as_protobuf_does_in_order_and_kept_under_their_digests():
    blobs = RemoteBlobs()
    root = add_input_root(
        blobs,
        {
            "z/run": RemoteFile(DIGEST, executable=True),
            "b": RemoteFile(DIGEST, executable=False),
            "z/deep/file": RemoteFile(DIGEST, executable=False),
            "a": RemoteFile(DIGEST, executable=True),
            "d/file": RemoteFile(DIGEST, executable=False),
        },
    )

    digest = {"hash": DIGEST.hash, "size_bytes": DIGEST.size}
    file = {"name": "file", "digest": digest}
    only_file = encoded("Directory", files=[file])
    z = encoded(
        "Directory",
        files=[{"name": "run", "digest": digest, "is_executable": True}],
        directories=[{"name": "deep", "digest": digest_of(only_file)}],
    )
    top = encoded(
        "Directory",
        files=[{"name": "a", "digest": digest, "is_executable": True}, {"name": "b", "digest": digest}],
        directories=[{"name": "d", "digest": digest_of(only_file)}, {"name": "z", "digest": digest_of(z)}],
    )
    assert {"hash": root.hash, "size_bytes": root.size} == digest_of(top)
    assert set(blobs.contents.values()) == {only_file, z, top}


def test_an_empty_input_root_is_the_empty_message():
    blobs = RemoteBlobs()
    assert add_input_root(blobs, {}) == RemoteDigest(hashlib.sha256(b"").hexdigest(), 0)
