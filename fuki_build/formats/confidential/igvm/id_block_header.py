"""ID blocks of SEV-SNP in an IGVM file's own form: shorter signatures, and keys with a gap behind the curve.

Sources: microsoft/igvm, igvm_defs (IGVM_VHS_SNP_ID_BLOCK); backends/igvm.c in QEMU, which puts them back.
"""

from fuki_build.errors import FormatError
from fuki_build.formats.confidential import id_block
from fuki_build.formats.confidential.id_block import ECDSA_P384_SHA384, IdAuth, IdBlock
from fuki_build.formats.confidential.igvm.headers import SnpIdBlock

_NUMBERS = 2 * 72  # r and s, or x and y
_CURVE = 4
_GAP = bytes(4)


def encode(mask: int, block: IdBlock, auth: IdAuth) -> SnpIdBlock:
    """The header. The block's policy is not in it: the loader takes the file's own."""
    return SnpIdBlock(
        mask=mask,
        author_key_enabled=int(auth.has_author),
        launch_digest=block.launch_digest,
        family_id=block.family_id,
        image_id=block.image_id,
        version=block.version,
        svn=block.svn,
        id_algorithm=ECDSA_P384_SHA384,
        author_algorithm=ECDSA_P384_SHA384 if auth.has_author else 0,
        id_signature=auth.block_signature[:_NUMBERS],
        id_key=_short_key(auth.id_key),
        author_signature=auth.key_signature[:_NUMBERS],
        author_key=_short_key(auth.author_key),
    )


def decode(header: SnpIdBlock, policy: int) -> tuple[IdBlock, IdAuth]:
    """Block and authentication as the firmware takes them. Raises `FormatError` for another algorithm."""
    if header.id_algorithm != ECDSA_P384_SHA384:
        raise FormatError(f"the ID block of the IGVM file is signed with algorithm {header.id_algorithm}, not with 1")
    block = IdBlock(
        launch_digest=header.launch_digest,
        policy=policy,
        family_id=header.family_id,
        image_id=header.image_id,
        svn=header.svn,
        version=header.version,
    )
    return block, IdAuth(
        _long_signature(header.id_signature),
        _long_key(header.id_key),
        _long_signature(header.author_signature),
        _long_key(header.author_key),
    )


def _short_key(key: bytes) -> bytes:
    return key[:_CURVE] + _GAP + key[_CURVE : _CURVE + _NUMBERS]


def _long_key(key: bytes) -> bytes:
    return (key[:_CURVE] + key[_CURVE + len(_GAP) :]).ljust(id_block.KEY_SIZE, b"\0")


def _long_signature(signature: bytes) -> bytes:
    return signature.ljust(id_block.SIGNATURE_SIZE, b"\0")
