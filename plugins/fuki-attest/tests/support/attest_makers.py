"""Evidence as hardware would make it, signed with keys of our own: what a fresh machine tests with.

The layouts are written down here once more, from AMD's and Intel's documents, and not taken from the plugin.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from struct import pack
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ObjectIdentifier

START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2044, 1, 1, tzinfo=UTC)
NOW = datetime(2025, 6, 1, tzinfo=UTC)
CHIP = bytes(range(64))
MEASUREMENT = bytes(range(48))
_AMD = "1.3.6.1.4.1.3704.1"
_SGX = "1.2.840.113741.1.13.1"
_Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def certificate(
    name: str,
    key: _Private,
    issuer: "Authority | None" = None,
    *,
    extensions: Sequence[tuple[str, bytes]] = (),
    ca: bool = True,
    start: datetime = START,
    end: datetime = END,
) -> x509.Certificate:
    """A certificate for a key, by an authority or by itself."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key((issuer.key if issuer else key).public_key()),
            critical=False,
        )
        .add_extension(
            x509.KeyUsage(
                digital_signature=not ca,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=ca,
                crl_sign=ca,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    for oid, value in extensions:
        builder = builder.add_extension(x509.UnrecognizedExtension(ObjectIdentifier(oid), value), critical=False)

    signer = issuer.key if issuer else key
    if isinstance(signer, rsa.RSAPrivateKey):
        scheme = padding.PSS(padding.MGF1(hashes.SHA384()), 48)
        return builder.sign(signer, hashes.SHA384(), rsa_padding=scheme)
    return builder.sign(signer, hashes.SHA256())


class Authority:
    """A key that signs certificates, with its own."""

    def __init__(self, name: str, key: _Private, issuer: "Authority | None" = None) -> None:
        self.key = key
        self.certificate = certificate(name, key, issuer)

    def revoked(self, *serials: int, until: datetime = END) -> bytes:
        """The list of certificates that it revoked, in DER."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(START)
            .next_update(until)
            .add_extension(x509.CRLNumber(1), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        for serial in serials:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(START).build()
            builder = builder.add_revoked_certificate(entry)
        if isinstance(self.key, rsa.RSAPrivateKey):
            scheme = padding.PSS(padding.MGF1(hashes.SHA384()), 48)
            return builder.sign(self.key, hashes.SHA384(), rsa_padding=scheme).public_bytes(Encoding.DER)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.DER)


def der(one: x509.Certificate) -> bytes:
    return one.public_bytes(Encoding.DER)


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


def value(tag: int, content: bytes) -> bytes:
    """A DER value (X.690)."""
    size = len(content)
    head = bytes([size]) if size < 128 else bytes([0x81, size]) if size < 256 else bytes([0x82]) + pack(">H", size)
    return bytes([tag]) + head + content


def integer(number: int) -> bytes:
    return value(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))


class Amd:
    """ARK, ASK, and the key of one chip, as AMD's key service certifies it."""

    def __init__(self, tcb: tuple[int, int, int, int] = (3, 0, 8, 115), product: str = "Milan-B0") -> None:
        self.ark = Authority("ARK-Test", rsa.generate_private_key(65537, 2048))
        self.ask = Authority("SEV-Test", rsa.generate_private_key(65537, 2048), self.ark)
        self.key = ec.generate_private_key(ec.SECP384R1())
        self.tcb = tcb
        self.vcek = certificate("SEV-VCEK", self.key, self.ask, extensions=self.extensions(product), ca=False)

    def extensions(self, product: str) -> list[tuple[str, bytes]]:
        """Boot loader, TEE, SNP and microcode, the product, and the chip's id as bare bytes (57230, table 8)."""
        numbers = dict(zip((1, 2, 3, 8), self.tcb, strict=True))
        versions = [(f"{_AMD}.3.{number}", integer(version)) for number, version in numbers.items()]
        return [(f"{_AMD}.2", value(0x16, product.encode())), *versions, (f"{_AMD}.4", CHIP)]

    def report(self, **fields: Any) -> bytes:
        """A signed report with some fields set."""
        body = snp_body(self.tcb, **fields)
        r, s = decode_dss_signature(self.key.sign(body, ec.ECDSA(hashes.SHA384())))
        return body + r.to_bytes(72, "little") + s.to_bytes(72, "little") + bytes(368)


def snp_body(tcb: tuple[int, int, int, int], **fields: Any) -> bytes:
    """The signed part of a report (56860, 7.3, table 23), field by field."""
    given = {
        "version": 3,
        "guest_svn": 4,
        "policy": 0x30000,
        "family_id": bytes([1]) + bytes(15),
        "image_id": bytes([2]) + bytes(15),
        "vmpl": 0,
        "flags": 0,
        "report_data": b"challenge",
        "measurement": MEASUREMENT,
        "host_data": bytes(32),
        "id_key": bytes(48),
        "author_key": bytes(48),
        "cpuid": b"\x19\x01\x01",
        "chip_id": CHIP,
        "mitigations": (0, 0),
        **fields,
    }
    versions = bytes((tcb[0], tcb[1], 0, 0, 0, 0, tcb[2], tcb[3]))
    cpuid = given["cpuid"] if given["version"] >= 3 else bytes(3)
    mitigations = given["mitigations"] if given["version"] >= 5 else (0, 0)
    return b"".join(
        (
            pack("<IIQ", given["version"], given["guest_svn"], given["policy"]),
            given["family_id"],
            given["image_id"],
            pack("<II", given["vmpl"], 1),
            versions,
            pack("<QII", 1, given["flags"], 0),
            given["report_data"].ljust(64, b"\0"),
            given["measurement"],
            given["host_data"],
            given["id_key"],
            given["author_key"],
            bytes(range(32)),
            b"\xff" * 32,
            versions,
            cpuid,
            bytes(21),
            given["chip_id"],
            versions,
            bytes((29, 55, 1, 0, 29, 55, 1, 0)),
            versions,
            pack("<QQ", *mitigations),
            bytes(152),
        )
    )


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
        components = [_pair(f"{_SGX}.2.{number}", integer(svn)) for number, svn in enumerate(self.svns, 1)]
        components += [_pair(f"{_SGX}.2.17", integer(self.pce_svn)), _pair(f"{_SGX}.2.18", value(4, cpu_svn))]
        return value(
            0x30,
            b"".join(
                (
                    _pair(f"{_SGX}.1", value(4, bytes(16))),
                    _pair(f"{_SGX}.2", value(0x30, b"".join(components))),
                    _pair(f"{_SGX}.3", value(4, bytes(2))),
                    _pair(f"{_SGX}.4", value(4, self.fmspc)),
                    _pair(f"{_SGX}.5", value(0x0A, b"\0")),
                )
            ),
        )

    def quote(self, version: int = 4, **fields: Any) -> bytes:
        """A signed quote (Quoting Library API, A.3 and A.4); `body` fields as `td_body` takes them."""
        header = pack("<HHIHH", version, 2, 0x81, 0, 0) + bytes.fromhex("939a7233f79c4ca9940a0db3957f0607") + bytes(20)
        body = td_body(self.tee_svns, **fields)
        if version == 5:
            body += self.tee_svns + bytes(48)
            header += pack("<HI", 3, len(body))

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


def _pair(oid: str, content: bytes) -> bytes:
    first, second, *rest = map(int, oid.split("."))
    encoded = bytes([first * 40 + second]) + b"".join(_base128(number) for number in rest)
    return value(0x30, value(6, encoded) + content)


def _base128(number: int) -> bytes:
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(number & 0x7F | 0x80)
    return bytes(reversed(digits))


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
