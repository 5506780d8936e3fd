"""SEV-SNP reports as a chip of AMD's would sign them. Sources: AMD 56860 and 57230."""

from struct import pack
from typing import Any

from attest_certificates import Authority, certificate, integer, value
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

CHIP = bytes(range(64))
MEASUREMENT = bytes(range(48))
_AMD = "1.3.6.1.4.1.3704.1"


class Amd:
    """ARK, ASK, and the key of one chip, as AMD's key service certifies it.

    `tcb` is boot loader, TEE, SNP and microcode. `fmc` is the version that chips from Turin on have besides.
    """

    def __init__(
        self,
        tcb: tuple[int, int, int, int] = (3, 0, 8, 115),
        product: str = "Milan-B0",
        *,
        fmc: int | None = None,
        chip_id: bytes = CHIP,
    ) -> None:
        self.fmc, self.chip_id = fmc, chip_id
        self.ark = Authority("ARK-Test", rsa.generate_private_key(65537, 2048))
        self.ask = Authority("SEV-Test", rsa.generate_private_key(65537, 2048), self.ark)
        self.key = ec.generate_private_key(ec.SECP384R1())
        self.tcb = tcb
        self.vcek = certificate("SEV-VCEK", self.key, self.ask, extensions=self.extensions(product), ca=False)

    def extensions(self, product: str) -> list[tuple[str, bytes]]:
        """Boot loader, TEE, SNP and microcode, the product, and the chip's id as bare bytes (57230, table 8)."""
        numbers = dict(zip((1, 2, 3, 8), self.tcb, strict=True))
        if self.fmc is not None:
            numbers[9] = self.fmc
        versions = [(f"{_AMD}.3.{number}", integer(version)) for number, version in numbers.items()]
        return [(f"{_AMD}.2", value(0x16, product.encode())), *versions, (f"{_AMD}.4", self.chip_id)]

    def vlek(self, product: str = "Milan-B0") -> tuple[x509.Certificate, x509.Certificate]:
        """A certificate of the same key as a provider's own, and that of the authority (ASVK) which signed it.

        It names the provider (CSP_ID), and no chip.
        """
        asvk = Authority("SEV-VLEK-Test", rsa.generate_private_key(65537, 2048), self.ark)
        own = [extension for extension in self.extensions(product) if extension[0] != f"{_AMD}.4"]
        own.append((f"{_AMD}.5", value(0x16, b"Acme Cloud")))
        return certificate("SEV-VLEK", self.key, asvk, extensions=own, ca=False), asvk.certificate

    def report(self, **fields: Any) -> bytes:
        """A signed report with some fields set."""
        body = snp_body(self.versions, **{"chip_id": self.chip_id.ljust(64, b"\0"), **fields})
        r, s = decode_dss_signature(self.key.sign(body, ec.ECDSA(hashes.SHA384())))
        return body + r.to_bytes(72, "little") + s.to_bytes(72, "little") + bytes(368)

    @property
    def versions(self) -> bytes:
        """TCB_VERSION, whose order is another one with an FMC (56860, 2.2)."""
        boot_loader, tee, snp, microcode = self.tcb
        if self.fmc is not None:
            return bytes((self.fmc, boot_loader, tee, snp, 0, 0, 0, microcode))
        return bytes((boot_loader, tee, 0, 0, 0, 0, snp, microcode))


def snp_body(versions: bytes, **fields: Any) -> bytes:
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
