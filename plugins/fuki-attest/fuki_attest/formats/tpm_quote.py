"""Quotes of TPM 2.0: which registers had which digest, with a challenger's nonce, signed by an attestation key.

Source: TCG, "TPM 2.0 Library", part 2: 10.12.8 TPMS_ATTEST, 10.12.1 TPMS_QUOTE_INFO, 10.9 TPML_PCR_SELECTION,
11.3.4 TPMT_SIGNATURE, 12.2.4 TPMT_PUBLIC. Everything is big-endian.
"""

import hashlib
from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fuki_build.errors import FormatError
from fuki_build.formats.reader import unpack
from fuki_build.formats.tcg.event_log import ALGORITHMS

MAGIC = b"\xffTCG"
MAX_SIZE = 4096
_QUOTE = 0x8018
_HEAD = Struct(">4sH")
_CLOCK = Struct(">QIIBQ")  # clock, resets, restarts, safe, firmware version
_COUNT = Struct(">I")
_SIZE = Struct(">H")
_SELECTION = Struct(">HB")
_ALGORITHMS = Struct(">HH")
_MAX_SELECTIONS, _MAX_SELECT = 16, 4

SIGNATURES: Mapping[int, str] = {0x0014: "rsassa", 0x0016: "rsapss", 0x0018: "ecdsa"}
"""TPM_ALG_ID of signature schemes that are known here."""
_RSA, _ECC, _NULL = 0x0001, 0x0023, 0x0010
_CURVES: Mapping[int, ec.EllipticCurve] = {3: ec.SECP256R1(), 4: ec.SECP384R1(), 5: ec.SECP521R1()}
_DEFAULT_EXPONENT = 65537
_REGISTERS = 24
_MAX_BITS = 8192


class TpmQuote(msgspec.Struct, frozen=True, kw_only=True):
    """A TPMS_ATTEST of a quote. `selection` are the registers by bank, in the order of their digest."""

    signer: bytes
    nonce: bytes
    clock: int
    resets: int
    restarts: int
    safe: bool
    firmware_version: int
    selection: tuple[tuple[str, tuple[int, ...]], ...]
    digest: bytes
    signed: bytes


class TpmSignature(msgspec.Struct, frozen=True):
    """A signature: its scheme, the hash by hashlib's name, and the signature itself, ECDSA's as r and s."""

    scheme: str
    algorithm: str
    value: bytes | tuple[int, int]


class _Cursor:
    """Reads on from where it stopped."""

    def __init__(self, data: bytes, description: str) -> None:
        self.data, self.description, self.at = data, description, 0

    def take(self, layout: Struct) -> tuple[Any, ...]:
        fields = unpack(layout, self.data, self.at, self.description)
        self.at += layout.size
        return fields

    def sized(self) -> bytes:
        """The content of a TPM2B."""
        (size,) = self.take(_SIZE)
        return self.bytes(size)

    def bytes(self, size: int) -> bytes:
        content = self.data[self.at : self.at + size]
        if len(content) != size:
            raise FormatError(f"{self.description} is cut short ({size} bytes expected at {self.at:#x})")
        self.at += size
        return content

    def end(self) -> None:
        if self.at != len(self.data):
            raise FormatError(f"something follows {self.description}, which ends at {self.at:#x}")


def decode(data: bytes) -> TpmQuote:
    """A TPMS_ATTEST, or a TPM2B_ATTEST. Raises `FormatError`, also for an attestation of another kind."""
    if len(data) > MAX_SIZE:
        raise FormatError(f"a TPM quote of {len(data)} bytes is beyond belief (limit {MAX_SIZE})")
    if not data.startswith(MAGIC) and data[2:6] == MAGIC and int.from_bytes(data[:2], "big") == len(data) - 2:
        data = data[2:]

    cursor = _Cursor(data, "the TPM quote")
    magic, kind = cursor.take(_HEAD)
    if magic != MAGIC or kind != _QUOTE:
        raise FormatError("this is no quote of a TPM")

    signer, nonce = cursor.sized(), cursor.sized()
    clock, resets, restarts, safe, firmware = cursor.take(_CLOCK)
    if safe > 1:
        raise FormatError(f"whether the clock of the TPM quote is safe is {safe}, neither yes nor no")
    selection = _selection(cursor)
    digest = cursor.sized()
    cursor.end()

    return TpmQuote(
        signer=signer,
        nonce=nonce,
        clock=clock,
        resets=resets,
        restarts=restarts,
        safe=bool(safe),
        firmware_version=firmware,
        selection=selection,
        digest=digest,
        signed=data,
    )


def _selection(cursor: _Cursor) -> tuple[tuple[str, tuple[int, ...]], ...]:
    (count,) = cursor.take(_COUNT)
    if count > _MAX_SELECTIONS:
        raise FormatError(f"the TPM quote is over {count} banks")

    banks = []
    for _ in range(count):
        algorithm, size = cursor.take(_SELECTION)
        if size > _MAX_SELECT:
            raise FormatError(f"the TPM quote selects registers with {size} bytes, more than {_MAX_SELECT}")
        mask = int.from_bytes(cursor.bytes(size), "little")
        banks.append((_bank(algorithm), tuple(number for number in range(8 * size) if mask >> number & 1)))
    return tuple(banks)


def _bank(algorithm: int) -> str:
    return ALGORITHMS.get(algorithm, f"{algorithm:#06x}")


def digest_of(quote: TpmQuote, values: Mapping[tuple[str, int], bytes], algorithm: str) -> bytes | None:
    """The digest that these values would have in the quote; None where one of its registers is not among them."""
    digest = hashlib.new(algorithm)
    for bank, registers in quote.selection:
        for register in registers:
            if (bank, register) not in values:
                return None
            digest.update(values[bank, register])
    return digest.digest()


def decode_signature(data: bytes) -> TpmSignature:
    """A TPMT_SIGNATURE. Raises `FormatError` for another scheme than those of `SIGNATURES`."""
    cursor = _Cursor(data, "the signature of a TPM quote")
    scheme, algorithm = cursor.take(_ALGORITHMS)
    if scheme not in SIGNATURES or algorithm not in ALGORITHMS:
        raise FormatError(f"this is no signature of a TPM (scheme {scheme:#06x}, hash {algorithm:#06x})")

    name = SIGNATURES[scheme]
    first = cursor.sized()
    value: bytes | tuple[int, int] = first
    if name == "ecdsa":
        value = (int.from_bytes(first, "big"), int.from_bytes(cursor.sized(), "big"))
    cursor.end()
    return TpmSignature(name, ALGORITHMS[algorithm], value)


def decode_public(data: bytes) -> bytes:
    """The key of a TPMT_PUBLIC or TPM2B_PUBLIC, as a SubjectPublicKeyInfo in DER. Raises `FormatError`."""
    if len(data) >= 2 and int.from_bytes(data[:2], "big") == len(data) - 2:
        data = data[2:]
    cursor = _Cursor(data, "the public area of a TPM's key")
    kind, _, _ = cursor.take(Struct(">HHI"))
    cursor.sized()  # the policy
    if kind not in (_RSA, _ECC):
        raise FormatError(f"this is no public area of an RSA or elliptic curve key of a TPM (type {kind:#06x})")

    _symmetric(cursor)
    _scheme(cursor)
    try:
        key = _rsa(cursor) if kind == _RSA else _curve(cursor)
    except ValueError as error:
        raise FormatError(f"the TPM's key is none: {error}") from error
    cursor.end()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _symmetric(cursor: _Cursor) -> None:
    (algorithm,) = cursor.take(_SIZE)
    if algorithm != _NULL:
        cursor.take(Struct(">HH"))  # bits of the key, mode


def _scheme(cursor: _Cursor) -> None:
    (scheme,) = cursor.take(_SIZE)
    if scheme != _NULL:
        cursor.take(_SIZE)  # its hash


def _rsa(cursor: _Cursor) -> rsa.RSAPublicKey:
    bits, exponent = cursor.take(Struct(">HI"))
    modulus = cursor.sized()
    if len(modulus) * 8 != bits or bits > _MAX_BITS:
        raise FormatError(f"the TPM's key has {len(modulus)} bytes, and says that it has {bits} bits")
    return rsa.RSAPublicNumbers(exponent or _DEFAULT_EXPONENT, int.from_bytes(modulus, "big")).public_key()


def _curve(cursor: _Cursor) -> ec.EllipticCurvePublicKey:
    (curve,) = cursor.take(_SIZE)
    (derivation,) = cursor.take(_SIZE)
    if derivation != _NULL:
        cursor.take(_SIZE)
    if curve not in _CURVES:
        raise FormatError(f"the TPM's key is on curve {curve:#06x}, which is not known")
    x, y = (int.from_bytes(cursor.sized(), "big") for _ in range(2))
    return ec.EllipticCurvePublicNumbers(x, y, _CURVES[curve]).public_key()


def decode_bincode(data: bytes) -> tuple[bytes, bytes, Sequence[bytes]]:
    """Signature, message and SHA-256 registers of a quote as Rust's bincode writes that of Azure's tools.

    Raises `FormatError`. Source: the crate az-cvm-vtpm, `vtpm::Quote`.
    """
    at, parts = 0, []
    for _ in range(2):
        (size,) = unpack(Struct("<Q"), data, at, "a quote of Azure's tools")
        at += 8
        if size > MAX_SIZE or at + size > len(data):
            raise FormatError("a quote of Azure's tools is cut short")
        parts.append(data[at : at + size])
        at += size

    (count,) = unpack(Struct("<Q"), data, at, "the registers of a quote of Azure's tools")
    registers = data[at + 8 :]
    if count != _REGISTERS or len(registers) != count * 32:
        raise FormatError(f"a quote of Azure's tools has {_REGISTERS} registers of 32 bytes")
    return parts[0], parts[1], [registers[number * 32 : number * 32 + 32] for number in range(count)]
