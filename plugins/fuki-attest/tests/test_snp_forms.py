"""Forms of SEV-SNP evidence that no sample of a real machine is at hand for: Turin, a provider's key, agents' JSON.

Layouts are AMD's: 56860 1.58 (7.3, 2.2), 57230 (VCEK and VLEK extensions).
"""

import json
from struct import pack

import attest_makers as makers
import pytest
from attest_agent import snp_evidence, snp_fields
from attest_certificates import value
from fuki_build.errors import FormatError
from fuki_build.testing import invoke, refused
from hypothesis import given, settings
from hypothesis import strategies as st

from fuki_attest import evidence
from fuki_attest.formats import agent_evidence
from fuki_attest.pieces import Evidence
from fuki_attest.verify import run
from fuki_attest.verify.steps import AppraisalPolicy, StepVerdict

VERBS = ("--plugin", "attest", "attest")
TRUSTING = ("--roots", "roots", "--at", "2025-06-01")
TURIN_CPUID = b"\x1a\x02\x01"
TURIN_CHIP = bytes(range(1, 9))


@pytest.fixture(scope="module")
def turin():
    """A chip of Turin: an FMC, and an id of eight bytes."""
    return makers.Amd(product="Turin-B0", fmc=7, chip_id=TURIN_CHIP)


def lay_out(directory, amd, **files):
    (directory / "roots").mkdir(exist_ok=True)
    (directory / "roots/ark.pem").write_bytes(makers.pem(amd.ark.certificate))
    for name, content in files.items():
        (directory / name).write_bytes(content)


def verify(directory, *files, code=0):
    done = invoke(directory, *VERBS, "verify", *files, *TRUSTING, "--json")
    assert done.code == code, done
    return {f"{step['claim']} against {step['against']}": step["verdict"] for step in json.loads(done.out)["steps"]}


def shown(directory, file):
    pieces = json.loads(invoke(directory, *VERBS, "show", file, "--json").out)["evidence"]
    return {field["name"]: field["value"] for field in pieces[0]["fields"]}


class TestTurin:
    @pytest.mark.parametrize("version", [2, 3, 4, 5])
    def test_its_reports_hold_with_its_certificates(self, tmp_path, turin, version):
        report = turin.report(version=version, cpuid=TURIN_CPUID)
        lay_out(tmp_path, turin, report=report, vcek=makers.pem(turin.vcek, turin.ask.certificate))
        steps = verify(tmp_path, "report", "vcek")
        names = (
            "signature against SEV-VCEK for Turin-B0",
            "chip against the certificate",
            "reported TCB against SEV-VCEK's extensions",
        )
        assert [steps[name] for name in names] == ["holds"] * 3
        # Reports of version 2 do not tell the processor.
        assert steps["processor against SEV-VCEK's product"] == ("not verified" if version == 2 else "holds")

    def test_its_tcb_is_read_in_its_order(self, tmp_path, turin):
        lay_out(tmp_path, turin, report=turin.report(cpuid=TURIN_CPUID))
        assert shown(tmp_path, "report")["reported tcb"] == "fmc 7, boot loader 3, tee 0, snp 8, microcode 115"

    def test_another_fmc_than_the_certificate_s_does_not_hold(self, tmp_path, turin):
        other = makers.Amd(product="Turin-B0", fmc=6, chip_id=TURIN_CHIP)
        other.key = turin.key
        report = other.report(cpuid=TURIN_CPUID)
        lay_out(tmp_path, turin, report=report, vcek=makers.pem(turin.vcek, turin.ask.certificate))
        steps = verify(tmp_path, "report", "vcek", code=3)
        assert steps["signature against SEV-VCEK for Turin-B0"] == "holds"
        assert steps["reported TCB against SEV-VCEK's extensions"] == "does not hold"

    def test_another_chip_s_id_does_not_hold(self, tmp_path, turin):
        report = turin.report(cpuid=TURIN_CPUID, chip_id=bytes(8) + TURIN_CHIP + bytes(48))
        lay_out(tmp_path, turin, report=report, vcek=makers.pem(turin.vcek, turin.ask.certificate))
        assert verify(tmp_path, "report", "vcek", code=3)["chip against the certificate"] == "does not hold"

    @pytest.mark.parametrize("chip_id", [makers.CHIP, TURIN_CHIP])
    def test_an_id_in_an_octet_string_is_that_id(self, tmp_path, chip_id):
        """As newer certificates have it (57230, table 8; Trustee's get_oid_octets)."""
        amd = makers.Amd(product="Turin-B0", fmc=7, chip_id=value(4, chip_id))
        report = amd.report(cpuid=TURIN_CPUID, chip_id=chip_id.ljust(64, b"\0"))
        lay_out(tmp_path, amd, report=report, vcek=makers.pem(amd.vcek, amd.ask.certificate))
        assert verify(tmp_path, "report", "vcek")["chip against the certificate"] == "holds"


class TestMitigations:
    VECTORS = (0x8000000000000001, 0x23)

    def test_version_5_tells_them(self, tmp_path, amd):
        """LAUNCH_MIT_VECTOR at 0x1f8, CURRENT_MIT_VECTOR at 0x200."""
        report = amd.report(version=5, mitigations=self.VECTORS)
        assert report[0x1F8:0x208] == pack("<QQ", *self.VECTORS)
        lay_out(tmp_path, amd, report=report)
        fields = shown(tmp_path, "report")
        assert (fields["launch mitigations"], fields["current mitigations"]) == ("0x8000000000000001", "0x23")

    @pytest.mark.parametrize("version", [2, 3, 4])
    def test_earlier_versions_reserve_their_place(self, tmp_path, amd, version):
        report = bytearray(amd.report(version=version))
        lay_out(tmp_path, amd, report=bytes(report))
        assert "launch mitigations" not in shown(tmp_path, "report")
        report[0x200] = 1
        lay_out(tmp_path, amd, report=bytes(report))
        assert "reserved" in refused(tmp_path, *VERBS, "show", "report", code=1)


class TestProviderKey:
    @pytest.mark.parametrize("of", ["Milan-B0", "Turin-B0"])
    def test_it_vouches_for_reports_that_name_it(self, tmp_path, of):
        is_turin = of.startswith("Turin")
        amd = makers.Amd(product=of, fmc=7 if is_turin else None)
        vlek, asvk = amd.vlek(of)
        report = amd.report(flags=1 << 2, chip_id=bytes(64), **({"cpuid": TURIN_CPUID} if is_turin else {}))
        lay_out(tmp_path, amd, report=report, vlek=makers.pem(vlek, asvk))
        steps = verify(tmp_path, "report", "vlek")
        assert steps[f"signature against SEV-VLEK for {of}"] == "holds"
        assert steps["kind of key against the VLEK that the report names"] == "holds"
        assert steps["chain of SEV-VLEK against ARK-Test"] == "holds"
        # It is the same for all chips of the provider.
        assert steps["chip against the certificate"] == "not verified"

    def test_it_does_not_vouch_for_what_the_chip_s_key_is_to_sign(self, tmp_path, amd):
        vlek, asvk = amd.vlek()
        lay_out(tmp_path, amd, report=amd.report(), vlek=makers.pem(vlek, asvk))
        steps = verify(tmp_path, "report", "vlek", code=3)
        assert steps["kind of key against the VCEK that the report names"] == "does not hold"

    def test_the_chip_s_authority_did_not_sign_it(self, tmp_path, amd):
        vlek, _ = amd.vlek()
        lay_out(tmp_path, amd, report=amd.report(flags=1 << 2), vlek=makers.pem(vlek, amd.ask.certificate))
        steps = verify(tmp_path, "report", "vlek", code=3)
        assert steps["chain of SEV-VLEK against the trusted roots"] == "does not hold"


class TestAgent:
    """guest-components, attester/src/snp: `attestation_report` and `cert_chain`."""

    @pytest.mark.parametrize(("version", "old"), [(2, True), (2, False), (3, False), (5, False)])
    def test_a_report_in_json_is_the_report(self, amd, version, old):
        report = amd.report(version=version, **({"mitigations": (1, 2)} if version == 5 else {}))
        assert agent_evidence.decode(snp_evidence(report, None, old=old)).snp_report == report

    def test_a_report_of_turin_in_json_is_the_report(self, turin):
        report = turin.report(version=5, cpuid=TURIN_CPUID, flags=1 << 2, mitigations=(3, 4))
        assert agent_evidence.decode(snp_evidence(report, None)).snp_report == report

    @pytest.mark.parametrize("kind", ["VCEK", "VLEK"])
    def test_it_holds_with_the_certificates_that_it_brings(self, tmp_path, amd, kind):
        certificates = (amd.vcek, amd.ask.certificate) if kind == "VCEK" else amd.vlek()
        report = amd.report(flags=0 if kind == "VCEK" else 1 << 2)
        entries = [(kind, makers.der(certificates[0])), ("ASK", makers.der(certificates[1])), ("Empty", b"")]
        lay_out(tmp_path, amd, file=snp_evidence(report, entries))
        steps = verify(tmp_path, "file")
        assert steps[f"signature against SEV-{kind} for Milan-B0"] == "holds"
        assert steps[f"chain of SEV-{kind} against ARK-Test"] == "holds"

    def test_what_the_host_calls_otherwise_is_left_out(self, tmp_path, amd):
        document = json.loads(snp_evidence(amd.report(), [("VCEK", makers.der(amd.vcek))]))
        document["cert_chain"].append({"cert_type": {"OTHER": "12345678-1234-1234-1234-123456789abc"}, "data": [1]})
        lay_out(tmp_path, amd, file=json.dumps(document).encode())
        assert verify(tmp_path, "file", code=3)["signature against SEV-VCEK for Milan-B0"] == "holds"

    @pytest.mark.parametrize(
        ("field", "content"),
        [
            ("measurement", [0] * 47),
            ("policy", 1 << 64),
            ("chip_id", [256] * 64),
            ("version", None),
            ("signature", {"r": [], "s": []}),
            ("reported_tcb", {"bootloader": 1}),
        ],
    )
    def test_damaged_fields_are_refused(self, tmp_path, amd, field, content):
        document = {"attestation_report": {**snp_fields(amd.report()), field: content}, "cert_chain": None}
        lay_out(tmp_path, amd, file=json.dumps(document).encode())
        refused(tmp_path, *VERBS, "show", "file", code=1)


def test_no_changed_byte_of_what_was_signed_holds(amd, turin):
    """Of the report itself, and of the same in JSON: whatever is changed, the signature is of something else."""
    vlek, asvk = amd.vlek()
    originals = [
        (turin.report(version=5, cpuid=TURIN_CPUID, mitigations=(1, 2)), (turin.vcek, turin.ask.certificate)),
        (amd.report(version=5, flags=1 << 2, chip_id=bytes(64)), (vlek, asvk)),
    ]
    roots = (amd.ark.certificate, turin.ark.certificate)
    policy = AppraisalPolicy(at=makers.NOW, roots=roots, allow_debug=True, allow_migration=True)

    @settings(max_examples=150, deadline=None)
    @given(st.sampled_from(originals), st.integers(0, 0x29F), st.integers(1, 255), st.booleans())
    def check(original, at, change, in_json):
        report, certificates = original
        damaged = report[:at] + bytes((report[at] ^ change,)) + report[at + 1 :]
        entries = [("VCEK", makers.der(certificates[0])), ("ASK", makers.der(certificates[1]))]
        try:
            if in_json:
                items = evidence.recognise(snp_evidence(damaged, entries), "file")
            else:
                items = [*evidence.recognise(damaged, "file"), *evidence.recognise(makers.pem(*certificates), "chain")]
        except FormatError:
            return
        kept = agent_evidence.decode(snp_evidence(damaged, None)).snp_report == report if in_json else False
        steps = run.verify(Evidence(tuple(items)), policy)
        holds = any(step.claim == "signature" and step.verdict is StepVerdict.HOLDS for step in steps)
        # The JSON has no reserved bytes: a change in one is lost on the way to it.
        assert holds is kept

    check()
