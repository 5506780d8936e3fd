"""The directory in which the pages of the documentation verify evidence."""

import hashlib
from pathlib import Path

import attest_makers as makers
import parts
from cryptography.hazmat.primitives.asymmetric import rsa
from fuki_build.testing.launch import peer_digest


def lay_out_evidence(directory: Path) -> None:
    """A report and a quote of guests that started with firmware in `parts`, and all that they are verified with."""
    directory.mkdir(parents=True, exist_ok=True)
    firmware = parts.get("ovmf-amdsev")
    measurement = bytes.fromhex(peer_digest("sev-snp", firmware, "qemu", 4, "EPYC-Milan", 1))
    amd, intel = makers.Amd(), makers.Intel()
    files = {
        "OVMF.amdsev.fd": firmware.read_bytes(),
        "report.bin": amd.report(measurement=measurement),
        "debug-report.bin": amd.report(measurement=measurement, policy=0xB0000),
        "vcek.der": makers.der(amd.vcek),
        "amd-chain.pem": makers.pem(amd.ask.certificate, amd.ark.certificate),
        "quote.bin": intel.quote(),
        "roots/ark.pem": makers.pem(amd.ark.certificate),
        "roots/sgx.pem": makers.pem(intel.root.certificate),
    }
    files |= {f"azure/{name}": content for name, content in _of_paravisor(amd).items()}
    files |= {f"collateral/{name}": content for name, content in intel.collateral().items()}
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)


def _of_paravisor(amd: makers.Amd) -> dict[str, bytes]:
    """What Azure hands out: the paravisor's report, and a quote of its TPM that answers `challenge`."""
    key = rsa.generate_private_key(65537, 2048)
    claims = makers.claims_of(key.public_key())
    message = makers.tpm_quote({number: bytes(32) for number in range(24)}, b"challenge")
    return {
        "hcl.bin": makers.hcl_report(amd.report(report_data=hashlib.sha256(claims).digest()), claims),
        "quote.msg": message,
        "quote.sig": makers.rsassa(key, message),
        "vcek.pem": makers.pem(amd.vcek, amd.ask.certificate),
    }
