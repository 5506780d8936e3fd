"""Evidence as hardware would make it, signed with keys of our own: what a fresh machine tests with.

The layouts are written down here once more, from AMD's and Intel's documents, and not taken from the plugin.
"""

import base64
import hashlib
import json
from datetime import UTC, datetime
from struct import pack

from attest_amd import CHIP, MEASUREMENT, Amd
from attest_certificates import END, START, Authority, certificate, der, pem
from attest_intel import Intel, raw_signature, td_report
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

__all__ = [
    "CHIP",
    "END",
    "MEASUREMENT",
    "NOW",
    "START",
    "Amd",
    "Authority",
    "Intel",
    "certificate",
    "claims_of",
    "der",
    "hcl_report",
    "pem",
    "raw_signature",
    "rsassa",
    "spki",
    "td_report",
    "tpm_quote",
]

NOW = datetime(2025, 6, 1, tzinfo=UTC)


def hcl_report(report: bytes, claims: bytes, kind: int = 2) -> bytes:
    """What a paravisor hands out around a hardware report of 1184 bytes, or of 1024 for TDX (kind 4)."""
    data = pack("<IIIII", 20 + len(claims), 1, kind, 1, len(claims)) + claims
    whole = pack("<4sIIII12x", b"HCLA", 2, 32 + 1184 + len(data), 2, 0) + report.ljust(1184, b"\0") + data
    return whole.ljust(2600, b"\0")


def claims_of(key: rsa.RSAPublicKey) -> bytes:
    """The claims of a paravisor about the key that signs quotes."""
    numbers = key.public_numbers()
    text = {"kid": "HCLAkPub", "key_ops": ["sign"], "kty": "RSA", "e": "AQAB", "n": _base64url(numbers.n)}
    return json.dumps({"keys": [text], "vm-configuration": {"secure-boot": True}, "user-data": "00" * 64}).encode()


def tpm_quote(registers: dict[int, bytes], nonce: bytes = b"challenge") -> bytes:
    """A TPMS_ATTEST over SHA-256 registers (TPM 2.0 Library, part 2, 10.12.8)."""
    mask = sum(1 << number for number in registers).to_bytes(3, "little")
    digest = hashlib.sha256(b"".join(registers[number] for number in sorted(registers))).digest()
    return b"".join(
        (
            b"\xffTCG\x80\x18",
            pack(">H", 34) + b"\0\x0b" + bytes(32),
            pack(">H", len(nonce)) + nonce,
            pack(">QIIBQ", 1000, 3, 0, 1, 0x2020031200120003),
            pack(">IHB", 1, 0x000B, 3) + mask,
            pack(">H", 32) + digest,
        )
    )


def rsassa(key: rsa.RSAPrivateKey, data: bytes) -> bytes:
    return key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def spki(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _base64url(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8, "big")).decode().rstrip("=")
