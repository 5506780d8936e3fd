from collections.abc import Iterator
from contextlib import suppress

from fuki_build.errors import FormatError
from fuki_build.formats.confidential import id_block
from fuki_build.formats.confidential.id_block import IdAuth, IdBlock


def seeds() -> Iterator[bytes]:
    key = id_block.encode_key(1, 2)
    yield id_block.encode_auth(IdAuth(id_block.encode_signature(3, 4), key))
    yield id_block.encode_auth(IdAuth(id_block.encode_signature(3, 4), key, id_block.encode_signature(5, 6), key))
    yield id_block.encode_block(IdBlock(launch_digest=bytes(48)))


def run(data: bytes) -> None:
    with suppress(FormatError):
        assert id_block.encode_block(id_block.decode_block(data)) == data
    with suppress(FormatError):
        auth = id_block.decode_auth(data)
        assert id_block.encode_auth(auth) == data
        id_block.decode_key(auth.id_key)
        id_block.decode_signature(auth.block_signature)
