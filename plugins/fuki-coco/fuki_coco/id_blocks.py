"""ID blocks, signed and verified: the owner's statement of the measurement that an SNP guest must have."""

import base64
import hashlib
from collections.abc import Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)
from fuki_build.errors import FormatError, MismatchError, SigningError
from fuki_build.formats.confidential import id_block
from fuki_build.formats.confidential.id_block import IdAuth, IdBlock
from fuki_build.hooks import Document, LaunchRecord, SigningKey, View

_ALGORITHM = "sha384"


def sign(block: IdBlock, id_key: SigningKey, author_key: SigningKey | None = None) -> IdAuth:
    """The block signed by the id key, which the author key signs. Raises `SigningError` for keys other than P-384."""
    public = firmware_key(id_key.public_key)
    if author_key is None:
        return IdAuth(_signature(id_block.encode_block(block), id_key), public)
    return IdAuth(
        block_signature=_signature(id_block.encode_block(block), id_key),
        id_key=public,
        key_signature=_signature(public, author_key),
        author_key=firmware_key(author_key.public_key),
    )


def firmware_key(public_key: bytes) -> bytes:
    """A public key, given as SubjectPublicKeyInfo in DER, in the form whose digest the firmware reports."""
    public = serialization.load_der_public_key(public_key)
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP384R1):
        raise SigningError(
            "SEV-SNP takes ECDSA keys on the curve P-384 only",
            hint="make one: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out id.key",
        )

    numbers = public.public_numbers()
    return id_block.encode_key(numbers.x, numbers.y)


def _signature(data: bytes, key: SigningKey) -> bytes:
    signature = key.sign(hashlib.new(_ALGORITHM, data).digest(), _ALGORITHM)
    return id_block.encode_signature(*decode_dss_signature(signature))


def key_digest(public: bytes) -> bytes:
    """The digest of a key that the attestation report contains."""
    return hashlib.sha384(public).digest()


def verify(block: bytes, auth: bytes) -> tuple[IdBlock, IdAuth]:
    """Both decoded, after their signatures were verified.

    Raises `FormatError` for data that is not an ID block, `MismatchError` for a wrong signature.
    """
    decoded = id_block.decode_auth(auth)
    _check(decoded.id_key, decoded.block_signature, block, "the ID block is not signed by the id key")
    if decoded.has_author:
        _check(decoded.author_key, decoded.key_signature, decoded.id_key, "the id key is not signed by the author's")
    return id_block.decode_block(block), decoded


def _check(public: bytes, signature: bytes, data: bytes, problem: str) -> None:
    try:
        key = ec.EllipticCurvePublicNumbers(*id_block.decode_key(public), ec.SECP384R1()).public_key()
    except ValueError as error:
        raise FormatError("a public key is no point of the curve P-384") from error

    digest = hashlib.new(_ALGORITHM, data).digest()
    try:
        der = encode_dss_signature(*id_block.decode_signature(signature))
        key.verify(der, digest, ec.ECDSA(Prehashed(hashes.SHA384())))
    except InvalidSignature:
        raise MismatchError(problem) from None


def qemu_arguments(block: IdBlock, auth: IdAuth) -> Sequence[str]:
    """QEMU's options for launching a guest with this block (qom `sev-snp-guest`, QEMU 9.1 and later)."""
    properties = [
        "sev-snp-guest",
        "id=sev0",
        f"policy={block.policy:#x}",
        f"id-block={base64.b64encode(id_block.encode_block(block)).decode()}",
        f"id-auth={base64.b64encode(id_block.encode_auth(auth)).decode()}",
    ]
    if auth.has_author:
        properties.append("author-key-enabled=on")
    return ["-machine", "confidential-guest-support=sev0", "-object", ",".join(properties)]


class IdBlockView(View, frozen=True, kw_only=True):
    """An ID block for a digest (`measurement`, in hex) and what that depends on; `id_block`, `id_auth` are base64."""

    firmware: str
    profile: int | None
    vmm: str | None
    cpu_model: str | None
    vcpus: int | None
    boot: str | None
    variant: str | None
    measurement: str
    policy: int
    id_block: str
    id_auth: str


class IdBlocksDocument(Document, frozen=True, kw_only=True):
    """What the output format `id-block` writes; digests of the keys are SHA-384 in hex, as in the report."""

    id_key_digest: str
    author_key_digest: str | None
    blocks: tuple[IdBlockView, ...]


def document(
    records: Sequence[LaunchRecord], id_key: SigningKey, author_key: SigningKey | None, svn: int
) -> IdBlocksDocument:
    """A block for every SEV-SNP digest, with its table's policy."""
    blocks = []
    for record in records:
        policy = id_block.DEFAULT_POLICY if record.policy is None else record.policy
        for digest in record.prediction.digests:
            if digest.technology != "sev-snp":
                continue

            block = IdBlock(launch_digest=bytes.fromhex(digest.digest), policy=policy, svn=svn)
            auth = sign(block, id_key, author_key)

            blocks.append(
                IdBlockView(
                    firmware=record.firmware,
                    profile=record.profile,
                    vmm=digest.vmm,
                    cpu_model=digest.cpu_model,
                    vcpus=digest.vcpus,
                    boot=digest.boot,
                    variant=digest.variant,
                    measurement=digest.digest,
                    policy=policy,
                    id_block=base64.b64encode(id_block.encode_block(block)).decode(),
                    id_auth=base64.b64encode(id_block.encode_auth(auth)).decode(),
                )
            )
    return IdBlocksDocument(
        id_key_digest=key_digest(firmware_key(id_key.public_key)).hex(),
        author_key_digest=key_digest(firmware_key(author_key.public_key)).hex() if author_key is not None else None,
        blocks=tuple(blocks),
    )
