"""ID block and ID authentication: the measurement and policy that an SNP guest must have, signed by its owner.

Source: AMD, "SEV Secure Nested Paging Firmware ABI Specification" (56860), 8.18 SNP_LAUNCH_FINISH and chapter 10.
"""

from struct import Struct
from typing import Any

import msgspec

from fuki_build.errors import FormatError

DEFAULT_POLICY = 0x30000
"""SMT allowed, and the bit that must be set."""
_VERSION = 1
ECDSA_P384_SHA384 = 1
CURVE_P384 = 2

_BLOCK = Struct("<48s16s16sIIQ")
_KEY = Struct("<I72s72s880x")
_SIGNATURE = Struct("<72s72s368x")
_AUTH = Struct("<II56x512s1028s60x512s1028s892x")
_COMPONENT = 72
BLOCK_SIZE, AUTH_SIZE, KEY_SIZE, SIGNATURE_SIZE = _BLOCK.size, _AUTH.size, _KEY.size, _SIGNATURE.size


class IdBlock(msgspec.Struct, frozen=True, kw_only=True):
    """Expectations of a guest: the launch is refused where digest or policy differ; the rest is only reported."""

    launch_digest: bytes
    policy: int = DEFAULT_POLICY
    family_id: bytes = bytes(16)
    image_id: bytes = bytes(16)
    svn: int = 0
    version: int = 1


class IdAuth(msgspec.Struct, frozen=True):
    """Signatures and keys in the firmware's form; without an author key both of its fields are zero."""

    block_signature: bytes
    id_key: bytes
    key_signature: bytes = bytes(SIGNATURE_SIZE)
    author_key: bytes = bytes(KEY_SIZE)

    @property
    def has_author(self) -> bool:
        return any(self.author_key)


def encode_block(block: IdBlock) -> bytes:
    """The block in the firmware's form. Raises `FormatError` for a field that does not fit."""
    for name, size in (("launch_digest", 48), ("family_id", 16), ("image_id", 16)):
        if len(getattr(block, name)) != size:
            actual = len(getattr(block, name))
            raise FormatError(f"the {name.replace('_', ' ')} of an ID block has {size} bytes, not {actual}")

    if not (0 <= block.svn < 1 << 32 and 0 <= block.policy < 1 << 64):
        raise FormatError("the svn of an ID block has 32 bits, the policy 64")

    return _BLOCK.pack(
        block.launch_digest, block.family_id, block.image_id, block.version, block.svn, block.policy
    )  # fmt: skip


def decode_block(data: bytes) -> IdBlock:
    if len(data) != BLOCK_SIZE:
        raise FormatError(f"an ID block has {BLOCK_SIZE} bytes, not {len(data)}")
    digest, family, image, version, svn, policy = _BLOCK.unpack(data)

    if version != _VERSION:
        raise FormatError(f"the ID block has version {version}, and {_VERSION} is the only one")
    return IdBlock(launch_digest=digest, policy=policy, family_id=family, image_id=image, svn=svn, version=version)


def encode_auth(auth: IdAuth) -> bytes:
    return _AUTH.pack(
        ECDSA_P384_SHA384,
        ECDSA_P384_SHA384 if auth.has_author else 0,
        auth.block_signature,
        auth.id_key,
        auth.key_signature,
        auth.author_key,
    )


def decode_auth(data: bytes) -> IdAuth:
    """Raises `FormatError`, also for algorithms other than ECDSA P-384 with SHA-384, and for reserved bytes in use."""
    if len(data) != AUTH_SIZE:
        raise FormatError(f"an ID authentication has {AUTH_SIZE} bytes, not {len(data)}")
    id_algorithm, author_algorithm, *parts = _unpack(_AUTH, data, "the ID authentication")
    auth = IdAuth(*parts)

    if not auth.has_author and (any(auth.key_signature) or author_algorithm):
        raise FormatError("the ID authentication has a signature of an author's key, and no such key")
    if id_algorithm != ECDSA_P384_SHA384 or (auth.has_author and author_algorithm != ECDSA_P384_SHA384):
        raise FormatError("the ID authentication names an algorithm other than ECDSA P-384 with SHA-384")

    return auth


def encode_key(x: int, y: int) -> bytes:
    """A P-384 public key, as the firmware hashes and keeps it."""
    return _KEY.pack(CURVE_P384, x.to_bytes(_COMPONENT, "little"), y.to_bytes(_COMPONENT, "little"))


def decode_key(data: bytes) -> tuple[int, int]:
    """The point of a public key. Raises `FormatError` for another curve."""
    if len(data) != KEY_SIZE:
        raise FormatError(f"a public key has {KEY_SIZE} bytes, not {len(data)}")
    curve, x, y = _unpack(_KEY, data, "the public key")
    if curve != CURVE_P384:
        raise FormatError(f"the public key is on curve {curve}, not on P-384 ({CURVE_P384})")
    return int.from_bytes(x, "little"), int.from_bytes(y, "little")


def encode_signature(r: int, s: int) -> bytes:
    return _SIGNATURE.pack(r.to_bytes(_COMPONENT, "little"), s.to_bytes(_COMPONENT, "little"))


def decode_signature(data: bytes) -> tuple[int, int]:
    if len(data) != SIGNATURE_SIZE:
        raise FormatError(f"a signature has {SIGNATURE_SIZE} bytes, not {len(data)}")
    r, s = _unpack(_SIGNATURE, data, "the signature")
    return int.from_bytes(r, "little"), int.from_bytes(s, "little")


def _unpack(struct: Struct, data: bytes, description: str) -> tuple[Any, ...]:
    """The fields of a structure. Raises `FormatError` unless reserved bytes are zero (MBZ in the specification)."""
    fields = struct.unpack(data)
    if struct.pack(*fields) != data:
        raise FormatError(f"{description} has reserved bytes that are not zero")
    return fields
