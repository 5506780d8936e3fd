"""`.pcrsig`: signed policies over PCR 11, as systemd's tools read them (systemd-measure(1), systemd-cryptenroll(1)).

JSON: lists of entries by bank. The signed message is that of TPM2_PolicyAuthorize: the policy digest, then the SHA-256
of the policy reference if there is one (TCG, "TPM 2.0 Library", part 3, 23.16; systemd-measure 262.1).
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from fuki_build.errors import FormatError, raised_as
from fuki_build.formats.documents import decode_json

SECTION = ".pcrsig"
"""The section of a UKI that holds them (UAPI.5)."""
MAX_SIZE = 16 * 1024 * 1024
_BANKS = ("sha1", "sha256", "sha384", "sha512")
_PADDING = b" \t\r\n\0"

Hex = Annotated[str, Meta(pattern="^(?:[0-9a-fA-F]{2})+$")]


class PolicySignature(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One entry, in hex: `pkfp` is the SHA-256 of the key's RSAPublicKey in DER, `pol` the policy digest.

    `sig` is the signature in base64; until it exists, `tbs` has the data to be signed, in hex.
    """

    pcrs: tuple[int, ...]
    pkfp: Hex
    ref: str | None = None
    pol: Hex
    tbs: Hex | None = None
    sig: str | None = None

    @property
    def message(self) -> bytes:
        """The message that the signature covers."""
        return message(bytes.fromhex(self.pol), self.ref)


Signatures = dict[str, tuple[PolicySignature, ...]]
"""Entries by bank."""


def message(policy: bytes, reference: str | None) -> bytes:
    """The message that is signed for a policy digest, with or without a policy reference."""
    return policy if reference is None else policy + hashlib.sha256(reference.encode()).digest()


def group(entries: Iterable[tuple[str, PolicySignature]]) -> Signatures:
    """Entries by bank, the banks in their usual order, each entry once."""
    banks: dict[str, dict[PolicySignature, None]] = {bank: {} for bank in _BANKS}
    for bank, entry in entries:
        banks[bank][entry] = None
    return {bank: tuple(unique) for bank, unique in banks.items() if unique}


def encode(signatures: Signatures, size: int | None = None) -> bytes:
    """The section's content, padded with spaces to `size` bytes. Raises `FormatError` where it does not fit.

    Separators are those of ukify, so that the same policies are the same bytes.
    """
    data = json.dumps(msgspec.to_builtins(signatures)).encode()
    if size is not None and len(data) > size:
        raise FormatError(f"the policies have {len(data)} bytes, there is room for {size}")
    return data.ljust(size or 0, b" ")


def decode(data: bytes) -> Signatures:
    """Decode a section; padding may follow. Raises `FormatError`."""
    if len(data) > MAX_SIZE:
        raise FormatError(f"signed policies of {len(data)} bytes are beyond belief (limit {MAX_SIZE})")
    with raised_as(FormatError, of=FormatError, about="this is not a .pcrsig"):
        signatures = decode_json(data.rstrip(_PADDING), Signatures)

    unknown = sorted(set(signatures) - set(_BANKS))
    if unknown:
        raise FormatError(f"the .pcrsig has a bank {unknown[0]!r}")
    return signatures


def missing(signatures: Signatures) -> Sequence[tuple[str, PolicySignature]]:
    """The entries that lack a signature, with their banks."""
    return [(bank, entry) for bank, entries in signatures.items() for entry in entries if entry.sig is None]
