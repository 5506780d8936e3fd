"""TDX quotes and reports as a platform of Intel's would make them, and what Intel publishes of it."""

import hashlib
import json
from datetime import datetime
from struct import pack
from typing import Any

from attest_amd import MEASUREMENT
from attest_certificates import END, START, Authority, certificate, integer, pair, pem, value
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

_SGX = "1.2.840.113741.1.13.1"


class Intel:
    """Root, PCK authority, a platform's PCK, a quoting enclave's key, and what Intel publishes of all that."""

    fmspc = bytes.fromhex("50806f000000")
    svns = (5, 5, 2, 2, 3, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0)
    pce_svn = 11
    tee_svns = bytes((3, 0, 5)) + bytes(13)
    signer = bytes.fromhex("dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5")

    def __init__(self) -> None:
        self.root = Authority("Test SGX Root CA", ec.generate_private_key(ec.SECP256R1()))
        self.authority = Authority("Intel SGX PCK Platform CA", ec.generate_private_key(ec.SECP256R1()), self.root)
        self.pck = ec.generate_private_key(ec.SECP256R1())
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.publisher = ec.generate_private_key(ec.SECP256R1())
        self.leaf = certificate(
            "Intel SGX PCK Certificate", self.pck, self.authority, extensions=[(_SGX, self.extension())], ca=False
        )
        self.publishing = certificate("Intel SGX TCB Signing", self.publisher, self.root, ca=False)

    def extension(self) -> bytes:
        """The extension of a PCK certificate (PCK Certificate and CRL Profile, 1.3.5)."""
        cpu_svn = bytes(self.svns)
        components = [pair(f"{_SGX}.2.{number}", integer(svn)) for number, svn in enumerate(self.svns, 1)]
        components += [pair(f"{_SGX}.2.17", integer(self.pce_svn)), pair(f"{_SGX}.2.18", value(4, cpu_svn))]
        return value(
            0x30,
            b"".join(
                (
                    pair(f"{_SGX}.1", value(4, bytes(16))),
                    pair(f"{_SGX}.2", value(0x30, b"".join(components))),
                    pair(f"{_SGX}.3", value(4, bytes(2))),
                    pair(f"{_SGX}.4", value(4, self.fmspc)),
                    pair(f"{_SGX}.5", value(0x0A, b"\0")),
                )
            ),
        )

    def quote(self, version: int = 4, *, is_td_15: bool = True, **fields: Any) -> bytes:
        """A signed quote (Quoting Library API, A.3 and A.4); `body` fields as `td_body` takes them.

        Version 5 says of which version its body is: that of TD 1.5, or the one that version 4 has.
        """
        header = pack("<HHIHH", version, 2, 0x81, 0, 0) + bytes.fromhex("939a7233f79c4ca9940a0db3957f0607") + bytes(20)
        body = td_body(self.tee_svns, **fields)
        if version == 5 and is_td_15:
            body += self.tee_svns + bytes(48)
        if version == 5:
            header += pack("<HI", 3 if is_td_15 else 2, len(body))

        numbers = self.key.public_key().public_numbers()
        key = numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
        authentication = bytes(range(32))
        enclave = self.enclave(hashlib.sha256(key + authentication).digest())
        chain = pem(self.leaf, self.authority.certificate, self.root.certificate)
        inner = (
            enclave
            + raw_signature(self.pck, enclave)
            + pack("<H", len(authentication))
            + authentication
            + pack("<HI", 5, len(chain))
            + chain
        )
        signature = raw_signature(self.key, header + body) + key + pack("<HI", 6, len(inner)) + inner
        return header + body + pack("<I", len(signature)) + signature

    def enclave(self, digest: bytes) -> bytes:
        """The quoting enclave's report (384 bytes)."""
        return b"".join(
            (
                bytes(self.svns),
                bytes(4 + 28),
                b"\x11" + bytes(15),
                bytes(range(32)),
                bytes(32),
                self.signer,
                bytes(96),
                pack("<HH", 2, 4),
                bytes(60),
                digest.ljust(64, b"\0"),
            )
        )

    def tcb_info(self, status: str = "UpToDate", until: datetime = END) -> bytes:
        """TCB info of the platform, which has exactly its level."""
        level = {
            "sgxtcbcomponents": [{"svn": svn} for svn in self.svns],
            "pcesvn": self.pce_svn,
            "tdxtcbcomponents": [{"svn": svn} for svn in self.tee_svns],
        }
        content = {
            "id": "TDX",
            "version": 3,
            "issueDate": _iso(START),
            "nextUpdate": _iso(until),
            "fmspc": self.fmspc.hex(),
            "pceId": "0000",
            "tcbType": 0,
            "tcbEvaluationDataNumber": 15,
            "tdxModule": {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8},
            "tcbLevels": [{"tcb": level, "tcbDate": _iso(START), "tcbStatus": status}],
        }
        return self._published("tcbInfo", content)

    def identity(self, until: datetime = END) -> bytes:
        """The identity of the quoting enclave."""
        content = {
            "id": "TD_QE",
            "version": 2,
            "issueDate": _iso(START),
            "nextUpdate": _iso(until),
            "tcbEvaluationDataNumber": 15,
            "miscselect": "00000000",
            "miscselectMask": "FFFFFFFF",
            "attributes": "11" + "00" * 15,
            "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
            "mrsigner": self.signer.hex(),
            "isvprodid": 2,
            "tcbLevels": [{"tcb": {"isvsvn": 4}, "tcbDate": _iso(START), "tcbStatus": "UpToDate"}],
        }
        return self._published("enclaveIdentity", content)

    def _published(self, name: str, content: dict[str, Any]) -> bytes:
        text = json.dumps(content, separators=(",", ":"))
        signature = raw_signature(self.publisher, text.encode()).hex()
        return f'{{"{name}":{text},"signature":"{signature}"}}'.encode()

    def collateral(self, status: str = "UpToDate", until: datetime = END) -> dict[str, bytes]:
        """All files that a verifier needs, by name."""
        return {
            "tcb-info.json": self.tcb_info(status, until),
            "qe-identity.json": self.identity(until),
            "pck.crl": self.authority.revoked(),
            "root.crl": self.root.revoked(),
            "signing.pem": pem(self.publishing),
        }


def td_body(tee_svns: bytes, **fields: Any) -> bytes:
    """The body of a quote, version 1.0 (584 bytes)."""
    given = {
        "attributes": 0x10000000,
        "xfam": 0xE7,
        "mr_td": MEASUREMENT,
        "mr_config_id": bytes(48),
        "rtmrs": tuple(bytes([number]) * 48 for number in range(4)),
        "report_data": b"challenge",
        **fields,
    }
    return b"".join(
        (
            tee_svns,
            bytes(48 + 48 + 8),
            pack("<QQ", given["attributes"], given["xfam"]),
            given["mr_td"],
            given["mr_config_id"],
            bytes(96),
            *given["rtmrs"],
            given["report_data"].ljust(64, b"\0"),
        )
    )


def td_report() -> bytes:
    """A TDREPORT_STRUCT with the hashes of its parts (TDX Module ABI)."""
    tcb = pack("<Q", 0x1FF) + bytes(231)
    info = pack("<QQ", 0, 0xE7) + MEASUREMENT + bytes(448)
    digests = hashlib.sha384(tcb).digest() + hashlib.sha384(info).digest()
    head = b"\x81\0\0\0" + bytes(12) + bytes(16) + digests + b"data".ljust(64, b"\0") + bytes(64)
    return head + tcb + bytes(17) + info


def raw_signature(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """ECDSA P-256 with SHA-256, as r and s."""
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
