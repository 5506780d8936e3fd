"""Evidence to test with: what the tests make, and real machines' where `FUKI_EVIDENCE` names a folder of it."""

import hashlib
import os
from pathlib import Path

import attest_makers as makers
import pytest
from attest_agent import snp_evidence
from cryptography.hazmat.primitives.asymmetric import rsa
from msgspec import Struct

DATA = Path(__file__).parent / "data"
REAL = Path(os.environ["FUKI_EVIDENCE"]) if "FUKI_EVIDENCE" in os.environ else None
AT = "2025-06-01"
collect_ignore = [] if REAL else ["test_real_machines.py"]


class EvidenceCase(Struct, frozen=True, kw_only=True):
    """Evidence that holds, and the options with which it does; `fields` are what its makers say of it.

    `signed` are files with the range of their bytes of which none may be another.
    """

    files: tuple[Path, ...]
    options: tuple[str, ...] = ()
    fields: dict[str, str] = {}
    signed: tuple[tuple[Path, int, int], ...] = ()


@pytest.fixture(scope="session")
def amd() -> makers.Amd:
    return makers.Amd()


@pytest.fixture(scope="session")
def intel() -> makers.Intel:
    return makers.Intel()


@pytest.fixture(scope="session")
def tpm_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="session")
def made(tmp_path_factory, amd, intel, tpm_key) -> dict[str, EvidenceCase]:
    """Evidence made here, with roots of its own."""
    base = tmp_path_factory.mktemp("evidence")
    roots = base / "roots"
    roots.mkdir()
    (roots / "ark.pem").write_bytes(makers.pem(amd.ark.certificate))
    (roots / "root.pem").write_bytes(makers.pem(intel.root.certificate))
    trusting = ("--roots", str(roots), "--at", AT)

    files = {
        "report": amd.report(),
        "vcek.der": makers.der(amd.vcek),
        "ask.pem": makers.pem(amd.ask.certificate),
        "quote": intel.quote(),
        "quote-5": intel.quote(5),
    }
    entries = [("VCEK", makers.der(amd.vcek)), ("ASK", makers.der(amd.ask.certificate))]
    files["snp.json"] = snp_evidence(amd.report(version=5, mitigations=(1, 3)), entries)
    claims = makers.claims_of(tpm_key.public_key())
    bound = hashlib.sha256(claims).digest()
    files["hcl"] = makers.hcl_report(amd.report(report_data=bound), claims)
    registers = {number: bytes([number]) * 32 for number in range(24)}
    files["message"] = makers.tpm_quote(registers)
    files["signature"] = makers.rsassa(tpm_key, files["message"])
    files["registers"] = "".join(f"sha256:{n}={v.hex()}\n" for n, v in registers.items()).encode()
    for name, content in files.items():
        (base / name).write_bytes(content)

    snp = tuple(base / name for name in ("report", "vcek.der", "ask.pem"))
    hcl = tuple(base / name for name in ("hcl", "vcek.der", "ask.pem", "message", "signature", "registers"))
    fields = {"measurement": makers.MEASUREMENT.hex(), "report data": b"challenge".ljust(64, b"\0").hex()}
    return {
        "SEV-SNP": EvidenceCase(
            files=snp,
            options=trusting,
            fields={**fields, "version": "3", "policy": "0x30000", "chip id": makers.CHIP.hex(), "guest svn": "4"},
            signed=((base / "report", 0, 0x2A0),),
        ),
        "SEV-SNP in JSON": EvidenceCase(
            files=(base / "snp.json",),
            options=trusting,
            fields={**fields, "version": "5", "launch mitigations": "0x1", "current mitigations": "0x3"},
        ),
        "TDX 4": EvidenceCase(
            files=(base / "quote",),
            options=trusting,
            fields={"version": "4", "mrtd": makers.MEASUREMENT.hex(), "rtmr2": "02" * 48, "xfam": "0xe7"},
            signed=((base / "quote", 0, 632),),
        ),
        "TDX 5": EvidenceCase(
            files=(base / "quote-5",),
            options=trusting,
            fields={"version": "5", "tee tcb svn 2": intel.tee_svns.hex()},
            signed=((base / "quote-5", 0, 702),),
        ),
        "paravisor": EvidenceCase(
            files=hcl,
            options=(*trusting, "--nonce", b"challenge".hex()),
            fields={"secure-boot": "true", "sha256 of the claims": bound.hex(), "selection of sha256": "0-23"},
            signed=((base / "message", 0, 0), (base / "hcl", 32 + 1184 + 20, 32 + 1184 + 20 + len(claims))),
        ),
    }


def real() -> dict[str, EvidenceCase]:
    """Evidence of real machines; fields as the tests of the projects state them that published it."""
    if REAL is None:
        return {}
    snp, tdx, azure = (REAL / name for name in ("snp", "tdx", "azure"))
    challenge = ("--nonce", b"challenge".hex())
    return {
        # go-sev-guest, verify/testdata: the report of a guest with debugging on.
        "Milan": EvidenceCase(
            files=(snp / "milan-report.bin", snp / "milan-vcek.der", snp / "milan-chain.pem"),
            options=("--allow-debug",),
            fields={"version": "2", "policy": "0xb0000", "signature algorithm": "1", "vmpl": "0"},
            signed=((snp / "milan-report.bin", 0, 0x2A0),),
        ),
        "second": EvidenceCase(
            files=(snp / "second-report.bin", snp / "second-vcek.der"), signed=((snp / "second-report.bin", 0, 0x2A0),)
        ),
        # go-tdx-guest, tools/check/check_test.go.
        "Sapphire Rapids": EvidenceCase(
            files=(tdx / "spr-e4-quote.dat",),
            fields={
                "quoting enclave's vendor": "939a7233f79c4ca9940a0db3957f0607",
                "tee tcb svn": "03000400000000000000000000000000",
                "mrseam": "2fd279c16164a93dd5bf373d834328d46008c2b693af9ebb865b08b2ced320c9"
                "a89b4869a9fab60fbe9d0c5a5363c656",
                "td attributes": hex(int.from_bytes(bytes.fromhex("0000004000000000"), "little")),
                "xfam": hex(int.from_bytes(bytes.fromhex("e71a060000000000"), "little")),
                "mrtd": "6363b8043668a3ad953278e10389574d326c6749fb78aa810ecd9336923db86f"
                "22fc00b8dcd404bc10d5e119d7215cbb",
                "report data": "6c62dec1b8191749a31dab490be532a35944dea47caef1f980863993d9899545"
                "eb7406a38d1eed313b987a467dacead6f0c87a6d766c66f6f29f8acb281f1113",
                "rtmr0": "2927da70461cd63266f43230cc1849c03ef25ebe490062a801d8fcc80af42976"
                "823adf08f833c1e50b51779c6593f32a",
                "rtmr1": "2c700b8ba9b85783f8be9fb9443647bdc0bb3c50747f06297cc6538c25a5f589"
                "c4b56d035c59107c6bc5800db2cacb61",
                "rtmr2": "8652f0caaba7e215ea442dc36a4499d8fec3362f3a0b2ca151cbe4b3e6466fe5"
                "9c7368b3c2287fc7c3bf5c924eb4424e",
                "rtmr3": "00" * 48,
                "mrconfigid": "00" * 48,
                "mrowner": "00" * 48,
            },
            signed=((tdx / "spr-e4-quote.dat", 0, 632),),
        ),
        "version 5": EvidenceCase(files=(tdx / "v5-quote.dat",), signed=((tdx / "v5-quote.dat", 0, 702),)),
        "cloud with its log": EvidenceCase(
            files=(tdx / "cos-113-ccel.dat", tdx / "cos-113-quote.dat"),
            options=("--nonce-file", str(tdx / "cos-113-nonce.dat")),
            signed=((tdx / "cos-113-quote.dat", 0, 632),),
        ),
        # Trustee, deps/verifier: az_snp_vtpm and az_tdx_vtpm verify these, with this challenge.
        "Azure 0": EvidenceCase(files=(azure / "snp-evidence-v0.json",), options=challenge),
        "Azure 1": EvidenceCase(files=(azure / "snp-evidence-v1.json",), options=challenge),
        "Azure 2": EvidenceCase(files=(azure / "snp-evidence-v2.json",)),
        "Azure Genoa": EvidenceCase(files=(azure / "snp-evidence-genoa.json",)),
        "Azure TDX": EvidenceCase(files=(azure / "tdx-evidence-v1.json",), options=challenge),
        "Azure TDX in files": EvidenceCase(
            files=(azure / "tdx-td-quote.bin", azure / "tdx-hcl-report.bin"),
            signed=((azure / "tdx-td-quote.bin", 0, 632),),
        ),
    }


MADE = ("SEV-SNP", "SEV-SNP in JSON", "TDX 4", "TDX 5", "paravisor")
CASES = (*MADE, *real())


@pytest.fixture(params=CASES)
def case(request, made) -> EvidenceCase:
    return made[request.param] if request.param in MADE else real()[request.param]
