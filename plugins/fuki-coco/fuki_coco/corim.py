"""CoRIM: reference values as CBOR, unsigned or as COSE_Sign1.

Source: draft-ietf-rats-corim-10; RFC 9052 for COSE.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cbor2
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cwt import COSE
from cwt.cose_key_interface import COSEKeyInterface
from fuki_build.errors import FormatError, SigningError
from fuki_build.hooks import LaunchDigest, LaunchRecord, SigningKey

_UNSIGNED, _COMID = 501, 506
_CONTENT_TYPE = "application/rim+cbor"
_ALGORITHM, _CONTENT, _KEY_ID, _META = 1, 3, 4, 8  # COSE header parameters, the last one CoRIM's
_HASHES = {"sha256": 1, "sha384": 7}  # IANA, "Named Information Hash Algorithm"
_RTMRS = ("0", "1", "2", "3")
_CLASSES = {
    "sev": ("AMD", "SEV"),
    "sev-es": ("AMD", "SEV-ES"),
    "sev-snp": ("AMD", "SEV-SNP"),
    "tdx": ("Intel", "TDX"),
}
_DIGESTS, _NAME, _REGISTERS = 2, 11, 14  # keys of measurement-values-map
_EC2, _SIGN = 2, 1
_CURVES: Mapping[str, tuple[int, str]] = {
    "secp256r1": (-7, "sha256"),
    "secp384r1": (-35, "sha384"),
    "secp521r1": (-36, "sha512"),
}


def encode(name: str, version: str, records: Sequence[LaunchRecord]) -> bytes:
    """An unsigned CoRIM with one CoMID: a reference value for each predicted digest, in order."""
    identity: dict[int, Any] = {0: f"{name}/launch"}
    comid = {1: identity, 4: {0: [_triple(record, digest) for record, digest in _digests(records)]}}
    corim = {0: f"{name}/{version or '0'}/launch", 1: [cbor2.CBORTag(_COMID, cbor2.dumps(comid, canonical=True))]}
    return cbor2.dumps(cbor2.CBORTag(_UNSIGNED, corim), canonical=True)


def _digests(records: Sequence[LaunchRecord]) -> Iterator[tuple[LaunchRecord, LaunchDigest]]:
    return ((record, digest) for record in records for digest in record.prediction.digests)


def _triple(record: LaunchRecord, digest: LaunchDigest) -> list[Any]:
    vendor, model = _CLASSES.get(digest.technology, ("", digest.technology))

    if digest.algorithm not in _HASHES:
        hint = f"there are: {', '.join(_HASHES)}"
        raise FormatError(f"a CoRIM has no digests of the algorithm {digest.algorithm!r}", hint=hint)
    value = [[_HASHES[digest.algorithm], bytes.fromhex(digest.digest)]]

    number = digest.register.removeprefix("RTMR")
    values: dict[int, Any] = {_NAME: _describe(record, digest)}
    if digest.register.startswith("RTMR") and number in _RTMRS:
        values[_REGISTERS] = {int(number): value}
    else:
        values[_DIGESTS] = value

    return [{0: {1: vendor, 2: model}}, [{0: digest.register, 1: values}]]


def _describe(record: LaunchRecord, digest: LaunchDigest) -> str:
    """A text that lets a reader distinguish the values of one register."""
    facts = [record.firmware, digest.vmm, digest.cpu_model, digest.vcpus and f"vCPUs: {digest.vcpus}"]
    facts += [digest.boot and f"boot {digest.boot}", digest.variant]
    return ", ".join(str(fact) for fact in facts if fact)


class _Key(COSEKeyInterface):
    """A signing backend's key with the COSE library's interface."""

    def __init__(self, key: SigningKey, algorithm: int, digest: str, size: int) -> None:
        super().__init__({1: _EC2, 3: algorithm, 4: [_SIGN]})
        self._signing_key = key
        self._digest = digest
        self._size = size

    def sign(self, msg: bytes) -> bytes:
        der = self._signing_key.sign(hashlib.new(self._digest, msg).digest(), self._digest)
        r, s = decode_dss_signature(der)
        return r.to_bytes(self._size, "big") + s.to_bytes(self._size, "big")


def sign(corim: bytes, key: SigningKey, signer: str) -> bytes:
    """A CoRIM as COSE_Sign1, with `signer` as the signer's name. Raises `SigningError` for an unsuitable key."""
    public = serialization.load_der_public_key(key.public_key)
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name not in _CURVES:
        raise SigningError("a CoRIM is signed with an ECDSA key on the curve P-256, P-384 or P-521")

    algorithm, digest = _CURVES[public.curve.name]
    protected = {
        _ALGORITHM: algorithm,
        _CONTENT: _CONTENT_TYPE,
        _KEY_ID: hashlib.sha256(key.public_key).digest(),
        _META: cbor2.dumps({0: {0: signer}}, canonical=True),
    }

    size = (public.curve.key_size + 7) // 8
    signed: bytes = COSE.new().encode_and_sign(corim, _Key(key, algorithm, digest, size), protected, {})
    return signed
