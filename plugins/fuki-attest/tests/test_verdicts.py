"""What does not hold, and what could not be verified, is said so."""

import hashlib
import json
from datetime import UTC, datetime
from struct import pack
from uuid import UUID

import attest_makers as makers
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fuki_build.testing import invoke, refused

from fuki_attest.formats import certificate_table

VERBS = ("--plugin", "attest", "attest")
AT = ("--at", "2025-06-01")


def verify(directory, *arguments, code=0):
    """The verdict of each step; the detail for those that do not hold."""
    done = invoke(directory, *VERBS, "verify", *arguments, "--json")
    assert done.code == code, done
    return {step["claim"]: (step["verdict"], step["detail"]) for step in json.loads(done.out)["steps"]}


@pytest.fixture
def snp(tmp_path, amd):
    """Writes a report beside its certificates, and verifies it."""
    (tmp_path / "roots").mkdir()
    (tmp_path / "roots/ark.pem").write_bytes(makers.pem(amd.ark.certificate))
    (tmp_path / "ask.pem").write_bytes(makers.pem(amd.ask.certificate))
    (tmp_path / "vcek.der").write_bytes(makers.der(amd.vcek))

    def run(report, *arguments, code=0, files=("vcek.der", "ask.pem")):
        (tmp_path / "report").write_bytes(report)
        return verify(tmp_path, "report", *files, "--roots", "roots", *AT, *arguments, code=code)

    return run


@pytest.fixture
def tdx(tmp_path, intel):
    (tmp_path / "roots").mkdir()
    (tmp_path / "roots/root.pem").write_bytes(makers.pem(intel.root.certificate))
    (tmp_path / "collateral").mkdir()

    def run(quote, *arguments, code=0, collateral=None):
        (tmp_path / "quote").write_bytes(quote)
        for name, content in (collateral or {}).items():
            (tmp_path / "collateral" / name).write_bytes(content)
        given = ("--collateral", "collateral") if collateral is not None else ()
        return verify(tmp_path, "quote", "--roots", "roots", *given, *AT, *arguments, code=code)

    return run


class TestSnp:
    @pytest.mark.parametrize("version", [2, 3, 4, 5])
    def test_every_version_holds(self, snp, amd, version):
        assert snp(amd.report(version=version))["signature"] == ("holds", "")

    def test_the_certificate_table_of_the_host_is_enough(self, snp, amd):
        guids = {name: guid for guid, name in certificate_table.NAMES.items()}
        table = certificate_table.encode(
            {
                guids["VCEK"]: makers.der(amd.vcek),
                guids["ASK"]: makers.der(amd.ask.certificate),
                UUID(int=5): b"something else",
            }
        )
        assert snp(amd.report() + table, files=())["chain of SEV-VCEK"] == ("holds", "")

    def test_another_chip_s_key_does_not_hold(self, snp, amd):
        steps = snp(makers.Amd().report(), code=3)
        assert steps["signature"][0] == "does not hold"
        assert snp(amd.report(chip_id=bytes(63) + b"\1"), code=3)["chip"] == (
            "does not hold",
            "the key is another chip's",
        )

    def test_a_report_of_another_tcb_does_not_hold(self, snp, amd):
        older = makers.Amd(tcb=(3, 0, 8, 114))
        older.key = amd.key
        steps = snp(older.report(), code=3)
        assert steps["signature"][0] == "holds"
        assert steps["reported TCB"][0] == "not verified"
        assert "microcode 114" in refused_text(snp, older.report())

    def test_debugging_and_migration_are_refused_unless_allowed(self, snp, amd):
        report = amd.report(policy=0xF0000)
        steps = snp(report, code=3)
        assert [steps[f"policy: {name}"][0] for name in ("debugging", "migration agent")] == ["does not hold"] * 2
        snp(report, "--allow-debug", "--allow-migration")

    @pytest.mark.parametrize(("minimum", "code"), [("snp=8,microcode=115", 0), ("snp=9", 3), ("fmc=1", 3)])
    def test_a_minimum_tcb(self, snp, amd, minimum, code):
        steps = snp(amd.report(), "--minimum-tcb", minimum, code=code)
        assert steps["reported TCB"][0] == ("does not hold" if code else "holds")

    def test_without_a_certificate_it_is_not_verified(self, snp, amd):
        assert snp(amd.report(), code=3, files=())["signature"] == ("not verified", "no VCEK was given")

    def test_an_unsigned_report_does_not_hold(self, snp, amd):
        assert snp(amd.report(flags=7 << 2), code=3)["signature"][0] == "does not hold"

    def test_a_vcek_does_not_vouch_for_what_a_vlek_is_to_sign(self, snp, amd):
        assert snp(amd.report(flags=1 << 2), code=3)["kind of key"] == ("does not hold", "it is a VCEK")

    def test_a_revoked_key_does_not_hold(self, snp, amd, tmp_path):
        (tmp_path / "ask.crl").write_bytes(amd.ask.revoked(amd.vcek.serial_number))
        (tmp_path / "ark.crl").write_bytes(amd.ark.revoked())
        files = ("vcek.der", "ask.pem", "ask.crl", "ark.crl")
        assert "SEV-VCEK is revoked" in snp(amd.report(), code=3, files=files)["revocation"][1]
        (tmp_path / "ask.crl").write_bytes(amd.ask.revoked(1))
        assert snp(amd.report(), files=files)["revocation"] == ("holds", "")

    def test_a_list_by_somebody_else_does_not_count(self, snp, amd, tmp_path):
        other = makers.Authority("SEV-Test", rsa.generate_private_key(65537, 2048))
        (tmp_path / "ask.crl").write_bytes(other.revoked(amd.vcek.serial_number))
        steps = snp(amd.report(), files=("vcek.der", "ask.pem", "ask.crl"))
        assert steps["revocation"][0] == "not verified"

    def test_reserved_bytes_must_be_zero(self, tmp_path, amd):
        for at in (0x4C, 0x18B, 0x1EB, 0x1EF, 0x1F8, 0x208, 0x332):
            report = bytearray(amd.report())
            report[at] = 0xCC
            (tmp_path / "report").write_bytes(report)
            assert "reserved" in refused(tmp_path, *VERBS, "show", "report", code=1)

    @pytest.mark.parametrize("version", [1, 6, 9])
    def test_other_versions_are_refused_as_such(self, tmp_path, amd, version):
        (tmp_path / "report").write_bytes(pack("<I", version) + amd.report()[4:])
        assert f"version {version}, and 2 to 5" in refused(tmp_path, *VERBS, "show", "report", code=1)


def refused_text(snp, report):
    """All details of the steps of a report that does not hold."""
    return " ".join(str(step) for step in snp(report, "--minimum-tcb", "microcode=115", code=3).values())


class TestTdx:
    @pytest.mark.parametrize("version", [4, 5])
    def test_collateral_up_to_date_holds(self, tdx, intel, version):
        steps = tdx(intel.quote(version), collateral=intel.collateral())
        assert steps["platform's TCB and quoting enclave"] == ("holds", "")
        assert steps["revocation"] == ("holds", "")

    @pytest.mark.parametrize("is_td_15", [True, False])
    def test_version_5_has_bodies_of_both_versions(self, tdx, intel, tmp_path, is_td_15):
        """TD 1.5 has a second TCB and MRSERVICETD behind what TD 1.0 has; dcap-qvl verifies both."""
        steps = tdx(intel.quote(5, is_td_15=is_td_15), collateral=intel.collateral())
        assert steps["signature"] == steps["platform's TCB and quoting enclave"] == ("holds", "")
        pieces = json.loads(invoke(tmp_path, *VERBS, "show", "quote", "--json").out)["evidence"]
        fields = {field["name"]: field["value"] for field in pieces[0]["fields"]}
        assert fields.get("tee tcb svn 2") == (intel.tee_svns.hex() if is_td_15 else None)
        assert fields.get("mrservicetd") == ("00" * 48 if is_td_15 else None)

    @pytest.mark.parametrize("status", ["OutOfDate", "Revoked", "SWHardeningNeeded", "ConfigurationNeeded"])
    def test_any_other_status_is_told(self, tdx, intel, status):
        steps = tdx(intel.quote(), collateral=intel.collateral(status), code=3)
        assert status in steps["platform's TCB and quoting enclave"][1]

    def test_collateral_out_of_date_is_told(self, tdx, intel):
        until = datetime(2025, 1, 1, tzinfo=UTC)
        steps = tdx(intel.quote(), collateral=intel.collateral(until=until), code=3)
        assert "out of date" in steps["date of the TCB info"][1]
        assert "out of date" in steps["date of the QE identity"][1]
        tdx(intel.quote(), "--at", "2024-06-01")

    @pytest.mark.parametrize("name", ["tcb-info.json", "qe-identity.json", "pck.crl", "root.crl", "signing.pem"])
    def test_without_a_part_it_is_not_verified(self, tdx, intel, name):
        collateral = {other: content for other, content in intel.collateral().items() if other != name}
        assert tdx(intel.quote(), collateral=collateral, code=3)["platform's TCB and quoting enclave"][0] == (
            "not verified"
        )

    def test_collateral_by_somebody_else_does_not_hold(self, tdx, intel):
        collateral = {**intel.collateral(), "tcb-info.json": makers.Intel().tcb_info()}
        assert tdx(intel.quote(), collateral=collateral, code=3)["platform's TCB and quoting enclave"][0] == (
            "does not hold"
        )

    def test_a_revoked_platform_does_not_hold(self, tdx, intel):
        collateral = {**intel.collateral(), "pck.crl": intel.authority.revoked(intel.leaf.serial_number)}
        assert "is revoked" in tdx(intel.quote(), collateral=collateral, code=3)["revocation"][1]

    def test_another_enclave_s_quote_does_not_hold(self, tdx):
        other = makers.Intel()
        other.signer = bytes(32)
        steps = tdx(other.quote(), code=3)
        assert steps["quoting enclave's signer"][0] == "does not hold"

    def test_debugging_and_migration_are_refused_unless_allowed(self, tdx, intel):
        quote = intel.quote(attributes=1 | 1 << 29)
        steps = tdx(quote, code=3)
        assert [steps[f"attributes: {name}"][0] for name in ("debugging", "migration")] == ["does not hold"] * 2
        tdx(quote, "--allow-debug", "--allow-migration")

    def test_a_bare_report_cannot_be_verified(self, tmp_path):
        (tmp_path / "report").write_bytes(makers.td_report())
        steps = verify(tmp_path, "report", code=3)
        assert steps["parts of the report"] == ("holds", "")
        assert steps["authenticity"][0] == "not verified"

    def test_a_changed_bare_report_does_not_hold(self, tmp_path):
        report = bytearray(makers.td_report())
        report[512 + 20] ^= 1
        (tmp_path / "report").write_bytes(report)
        assert verify(tmp_path, "report", code=3)["parts of the report"][0] == "does not hold"


class TestParavisor:
    def write(self, directory, amd, key, *, claims=None, report=None, nonce=b"challenge"):
        claims = claims or makers.claims_of(key.public_key())
        bound = hashlib.sha256(claims).digest()
        registers = {number: bytes(32) for number in range(24)}
        message = makers.tpm_quote(registers, nonce)
        (directory / "hcl").write_bytes(makers.hcl_report(report or amd.report(report_data=bound), claims))
        (directory / "message").write_bytes(message)
        (directory / "signature").write_bytes(makers.rsassa(key, message))
        (directory / "vcek.pem").write_bytes(makers.pem(amd.vcek, amd.ask.certificate))
        (directory / "roots").mkdir(exist_ok=True)
        (directory / "roots/ark.pem").write_bytes(makers.pem(amd.ark.certificate))
        return "hcl", "message", "signature", "vcek.pem", "--roots", "roots", *AT

    def test_claims_that_the_hardware_does_not_report_do_not_hold(self, tmp_path, amd, tpm_key):
        arguments = self.write(tmp_path, amd, tpm_key, report=amd.report(report_data=bytes(32)))
        assert verify(tmp_path, *arguments, code=3)["sha256 of the paravisor's claims"][0] == "does not hold"

    def test_a_quote_by_another_key_does_not_hold(self, tmp_path, amd, tpm_key):
        other = rsa.generate_private_key(65537, 2048)
        arguments = self.write(tmp_path, amd, other, claims=makers.claims_of(tpm_key.public_key()))
        (tmp_path / "vcek.pem").write_bytes(makers.pem(amd.vcek, amd.ask.certificate))
        assert verify(tmp_path, *arguments, code=3)["signature"][0] == "does not hold"

    def test_a_report_from_the_guest_s_own_level_does_not_hold(self, tmp_path, amd, tpm_key):
        bound = hashlib.sha256(makers.claims_of(tpm_key.public_key())).digest()
        arguments = self.write(tmp_path, amd, tpm_key, report=amd.report(report_data=bound, vmpl=2))
        assert verify(tmp_path, *arguments, code=3)["privilege level"] == ("does not hold", "it is 2")

    def test_without_a_quote_a_challenge_is_not_answered(self, tmp_path, amd, tpm_key):
        hcl, _, _, *rest = self.write(tmp_path, amd, tpm_key)
        steps = verify(tmp_path, hcl, *rest, "--nonce", "00ff", code=3)
        assert steps["it answers the challenge"][0] == "not verified"


class TestOptions:
    def test_certificates_alone_are_no_evidence(self, tmp_path, amd):
        (tmp_path / "vcek.der").write_bytes(makers.der(amd.vcek))
        assert verify(tmp_path, "vcek.der", code=3)["evidence"] == ("not verified", "none of it is signed evidence")

    @pytest.mark.parametrize(
        "arguments",
        [
            ("--nonce", "xyz"),
            ("--nonce", "00" * 65),
            ("--at", "yesterday"),
            ("--minimum-tcb", "snp=256"),
            ("--minimum-tcb", "snp"),
            ("--roots", "missing"),
            ("--recipe", "fuki.toml"),
            ("--host-data", "00"),
        ],
    )
    def test_what_cannot_be_asked_is_refused(self, tmp_path, amd, arguments):
        (tmp_path / "report").write_bytes(amd.report())
        assert arguments[0] in refused(tmp_path, *VERBS, "verify", "report", *arguments, code=2)

    @pytest.mark.parametrize(
        "content", [b"", b"hello", bytes(64), b"{}", b"-----BEGIN CERTIFICATE-----", b"\x30\x03abc" * 3]
    )
    def test_other_files_are_refused(self, tmp_path, content):
        (tmp_path / "file").write_bytes(content)
        assert "file" in refused(tmp_path, *VERBS, "show", "file", code=1)


def test_a_key_on_a_curve_signs_quotes_too(tmp_path):
    """TPMT_SIGNATURE with ECDSA, and TPMT_PUBLIC of the key (TPM 2.0 Library, part 2, 11.3.4 and 12.2.4)."""
    key = ec.generate_private_key(ec.SECP256R1())
    message = makers.tpm_quote({number: bytes(32) for number in (4, 7)})
    (tmp_path / "message").write_bytes(message)
    signature = makers.raw_signature(key, message)
    parts = b"".join(pack(">H", 32) + part for part in (signature[:32], signature[32:]))
    (tmp_path / "signature").write_bytes(pack(">HH", 0x18, 0x0B) + parts)
    numbers = key.public_key().public_numbers()
    point = b"".join(pack(">H", 32) + number.to_bytes(32, "big") for number in (numbers.x, numbers.y))
    public = pack(">HHIH", 0x23, 0x0B, 0x50072, 0) + pack(">HHHHH", 0x10, 0x18, 0x0B, 3, 0x10) + point
    (tmp_path / "key").write_bytes(pack(">H", len(public)) + public)

    steps = verify(tmp_path, "message", "signature", "key", code=3)
    assert steps["signature"] == ("holds", "")
    assert steps["attestation key"][0] == "not verified"
    assert verify(tmp_path, "message", "signature", "key", "--trusted-key", "key")["attestation key"] == ("holds", "")
