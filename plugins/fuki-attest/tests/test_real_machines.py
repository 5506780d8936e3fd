"""Evidence of real machines: what of it does not hold, as its publishers say. Only where `FUKI_EVIDENCE` is set."""

import json
import os
from pathlib import Path
from struct import pack_into

import pytest
from fuki_build.testing import invoke, refused

VERBS = ("--plugin", "attest", "attest")
DATA = Path(__file__).parent / "data"
FOLDER = Path(os.environ["FUKI_EVIDENCE"])


def verify(directory, *arguments, code=0):
    done = invoke(directory, *VERBS, "verify", *arguments, "--json")
    assert done.code == code, done
    return {step["claim"]: (step["verdict"], step["detail"]) for step in json.loads(done.out)["steps"]}


def test_the_wrong_vcek_does_not_hold(tmp_path):
    steps = verify(tmp_path, FOLDER / "snp/second-report.bin", FOLDER / "snp/second-vcek-invalid.der", code=3)
    assert {steps[claim][0] for claim in ("signature", "chip", "chain of SEV-VCEK")} == {"does not hold"}


def test_the_cloud_s_log_gives_the_quote_s_registers(tmp_path):
    tdx = FOLDER / "tdx"
    steps = verify(tmp_path, tdx / "cos-113-quote.dat", tdx / "cos-113-ccel.dat")
    assert [steps[f"RTMR{number} of the log"] for number in range(4)] == [("holds", "")] * 4


@pytest.mark.parametrize(("at", "verdict"), [("2023-06-20", "holds"), ("2025-01-01", "does not hold")])
def test_collateral_is_held_against_the_time(tmp_path, at, verdict):
    tdx = FOLDER / "tdx"
    files = [tdx / name for name in ("spr-e4-quote.dat", "tcb-info.json", "qe-identity.json", "pck.crl")]
    steps = verify(tmp_path, *files, tdx / "root.crl.der", DATA / "intel-tcb-signing.pem", "--at", at, code=3)
    assert steps["date of the TCB info"][0] == steps["date of the QE identity"][0] == verdict
    assert steps["revocation"][0] == verdict


def test_a_report_that_lacks_its_beginning_is_refused(tmp_path):
    """go-tdx-guest's report.dat starts 48 bytes into a TDREPORT; with them, it is the guest of its quote."""
    data = (FOLDER / "tdx/report.dat").read_bytes()
    refused(tmp_path, *VERBS, "show", FOLDER / "tdx/report.dat", code=1)
    whole = bytearray(b"\x81" + bytes(47) + data[: 1024 - 48])
    pack_into("<64s", whole, 128, b"")
    (tmp_path / "report").write_bytes(whole)
    out = invoke(tmp_path, *VERBS, "show", "report", FOLDER / "tdx/spr-e4-quote.dat", "--json").out
    report, quote = (
        {field["name"]: field["value"] for field in piece["fields"]} for piece in json.loads(out)["evidence"]
    )
    assert report["mrseam"] == quote["mrseam"]


@pytest.mark.parametrize("name", ["arch-linux-workstation", "cos-101-amd-sev", "debian-10", "rhel8-uefi"])
def test_logs_alone_prove_nothing(tmp_path, name):
    assert verify(tmp_path, FOLDER / f"logs/{name}.bin", code=3)["events"][0] == "not verified"


@pytest.mark.parametrize("quote", [("snp-quote.bin",), ("snp-tpm-quote.msg", "snp-tpm-quote.sig")])
def test_without_the_chip_s_certificate_a_paravisor_is_not_verified(tmp_path, quote):
    """Trustee verifies snp-quote.bin with the key of this HCL report; the other quote is of another machine."""
    azure = FOLDER / "azure"
    steps = verify(tmp_path, azure / "snp-hcl-report.bin", *(azure / name for name in quote), code=3)
    assert steps["sha256 of the paravisor's claims"] == ("holds", "")
    if len(quote) == 1:
        assert steps["attestation key"] == ("holds", "")
        assert steps["registers of the quote"] == ("holds", "")
