"""What Intel publishes to hold a TDX quote against: TCB info and the quoting enclave's identity, each signed.

Source: Intel, "Provisioning Certification Service", API version 4. The signature is over the very bytes of the object.
"""

import msgspec
from fuki_build.errors import FormatError
from fuki_build.formats.documents import decode_json

MAX_SIZE = 1024 * 1024


class SignedCollateral(msgspec.Struct, frozen=True, kw_only=True):
    """`content` are the signed bytes, `issued` and `next_update` as they stand there (ISO 8601)."""

    kind: str
    identity: str
    issued: str
    next_update: str
    content: bytes
    signature: bytes


class _TcbInfo(msgspec.Struct, frozen=True, rename={"content": "tcbInfo"}):
    content: msgspec.Raw
    signature: str


class _Identity(msgspec.Struct, frozen=True, rename={"content": "enclaveIdentity"}):
    content: msgspec.Raw
    signature: str


class _Head(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    issue_date: str
    next_update: str


TCB_INFO, ENCLAVE_IDENTITY = "TCB info", "QE identity"


def decode(data: bytes) -> SignedCollateral:
    """TCB info or an enclave's identity, as Intel's service answers. Raises `FormatError`."""
    if len(data) > MAX_SIZE:
        raise FormatError(f"collateral of {len(data)} bytes is beyond belief (limit {MAX_SIZE})")
    kind = TCB_INFO if b'"tcbInfo"' in data else ENCLAVE_IDENTITY
    answer = decode_json(data, _TcbInfo) if kind == TCB_INFO else decode_json(data, _Identity)
    content = bytes(answer.content)
    head = decode_json(content, _Head)

    try:
        signature = bytes.fromhex(answer.signature)
    except ValueError as error:
        raise FormatError(f"the signature of the {kind} is not hexadecimal") from error
    return SignedCollateral(
        kind=kind,
        identity=head.id,
        issued=head.issue_date,
        next_update=head.next_update,
        content=content,
        signature=signature,
    )
