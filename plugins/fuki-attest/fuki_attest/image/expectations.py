"""What the user expects of a guest besides its measurement: ids, keys, host data, policy."""

import base64
import binascii
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from fuki_build import read_small_file
from fuki_build.errors import FormatError, RecipeError, located
from fuki_build.formats.asn1 import x509 as keys
from fuki_build.formats.confidential import id_block
from fuki_build.formats.confidential.id_block import IdBlock
from fuki_build.formats.documents import decode_json
from fuki_build.formats.hashes import new_hash
from msgspec import Struct

_MAX_SIZE = 4 * 1024 * 1024


class IdExpectations(Struct, frozen=True):
    """The ID blocks that a build wrote, and the digests of the keys that signed them."""

    blocks: tuple[IdBlock, ...]
    id_key_digest: bytes
    author_key_digest: bytes


class ImageExpectations(Struct, frozen=True, kw_only=True):
    """`policies` are those of the recipe's launches; none where it says nothing of them."""

    policies: frozenset[int] = frozenset()
    ids: IdExpectations | None = None
    host_data: bytes | None = None
    id_key_digest: bytes | None = None
    author_key_digest: bytes | None = None


class _Block(Struct, frozen=True, rename="kebab"):
    id_block: str


class _Document(Struct, frozen=True, rename="kebab"):
    id_key_digest: str
    blocks: list[_Block]
    author_key_digest: str | None = None


def read_id_blocks(path: Path) -> IdExpectations:
    """What the output format `id-block` wrote. Raises `FukiError`."""
    data = read_small_file(path, _MAX_SIZE)
    with located(str(path)):
        document = decode_json(data, _Document)
        try:
            blocks = tuple(
                id_block.decode_block(base64.b64decode(one.id_block, validate=True)) for one in document.blocks
            )
            author = bytes.fromhex(document.author_key_digest or "") or bytes(48)
            return IdExpectations(blocks, bytes.fromhex(document.id_key_digest), author)
        except (binascii.Error, ValueError) as error:
            raise FormatError("this is no document of ID blocks") from error


def read_key_digest(path: Path) -> bytes:
    """The digest of a P-384 public key as an SNP report has it. Raises `FukiError`."""
    data = read_small_file(path, _MAX_SIZE)
    with located(str(path)):
        key = load_der_public_key(keys.read_public_key(data))
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
            raise FormatError("keys of ID blocks are on the curve P-384")
    numbers = key.public_numbers()
    return new_hash("sha384", id_block.encode_key(numbers.x, numbers.y)).digest()


def read_host_data(text: str) -> bytes:
    """32 bytes in hex. Raises `RecipeError`."""
    try:
        data = bytes.fromhex(text)
    except ValueError as error:
        raise RecipeError(f"{text!r} is not hexadecimal", where="--host-data") from error
    if len(data) not in (32, 48):
        raise RecipeError(f"host data has 32 bytes, MRCONFIGID 48, not {len(data)}", where="--host-data")
    return data
