"""Verdicts that are firmware's: of structures, chains and digests on which programs disagree.

What firmware says of each was seen in a guest, tests/boot/test_signature_verdicts.py.
"""

import json
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from fuki_build.formats.pe import pe
from fuki_build.formats.uefi import efi_signature_list
from fuki_build.testing import invoke, refused, succeed
from fuki_build.testing.secure_boot import write_certificates
from tests.conftest import RECIPE
from tests.signing.conftest import SIGN
from tests.support.certificate_chains import Chain, chains, data_of
from tests.support.signature_shapes import SHAPES, STRUCTURES, base, digest_of, insert, sign_image, with_table
from tests.support.verification import OWNER, report, write_list

EFIVARFS = (0x27).to_bytes(4, "little")
"""The attributes of a time-based authenticated variable, as efivarfs has them before its value."""


class TestStructures:
    @pytest.mark.parametrize("structure", STRUCTURES)
    def test_what_fuki_signs_others_accept_and_the_reverse(self, keyed, verifies, structure):
        (keyed / "in.efi").write_bytes(STRUCTURES[structure]())
        succeed(keyed, "sign", "in.efi", "--key", "db.key", "--certificate", "db.crt", "-o", "ours.efi")
        assert verifies("sbverify", keyed / "ours.efi", keyed / "db.crt")
        command = ["sbsign", "--key", "db.key", "--cert", "db.crt", "--output", "theirs.efi", "in.efi"]
        subprocess.run(command, cwd=keyed, check=True, capture_output=True)
        assert report(keyed, "theirs.efi", "--certificate", "db.crt")["image"]["verdict"] == "valid"

    @pytest.mark.parametrize("sign_kernel", [False, True])
    def test_an_image_that_is_built_of_a_stub_and_a_kernel_with_gaps_is_signed_in_the_same_pass(
        self, keyed, part, verifies, sign_kernel
    ):
        for name, real in (("stub", "stub-x64"), ("vmlinuz", "kernel-x64")):
            (keyed / name).unlink()
            (keyed / name).write_bytes(with_gap(unsigned(part(real).read_bytes())))
        (keyed / "fuki.toml").write_text(RECIPE + SIGN + ("sign-kernel = true\n" if sign_kernel else ""))
        succeed(keyed, "build")
        assert verifies("sbverify", keyed / "acme_41.3.efi", keyed / "db.crt")
        document = report(keyed, "acme_41.3.efi", "--certificate", "db.crt")
        assert document["image"]["verdict"] == "valid"

    @pytest.mark.parametrize("structure", STRUCTURES)
    def test_the_digest_is_edk2s(self, keyed, structure):
        (keyed / "in.efi").write_bytes(STRUCTURES[structure]())
        shown = json.loads(succeed(keyed, "inspect", "in.efi", "--digests", "--json").out)
        assert shown["authenticode"] == digest_of(STRUCTURES[structure](), "sha256").hex()

    @pytest.mark.parametrize(("structure", "told"), [("gap of 512 between sections", True), ("plain", False)])
    def test_a_finding_names_an_image_on_whose_digest_programs_differ(self, keyed, structure, told):
        (keyed / "in.efi").write_bytes(STRUCTURES[structure]())
        findings = json.loads(invoke(keyed, "check", "in.efi", "--json").out)["findings"]
        assert ("digest-disputed" in {finding["rule"] for finding in findings}) == told


def unsigned(image: bytes) -> bytes:
    """A real image without its certificate table."""
    headers = pe.decode(image[: pe.HEAD_SIZE], len(image))
    return with_table(image[: len(image) - headers.security.size], b"") if headers.security.size else image


def with_gap(image: bytes) -> bytes:
    """A real image with 512 bytes between its first two sections that belong to neither."""
    headers = pe.decode(image[: pe.HEAD_SIZE], len(image))
    second = sorted(section.raw_offset for section in headers.sections if section.raw_size)[1]
    return insert(image, second, b"G" * 512)


@pytest.fixture(scope="module")
def made() -> dict[str, Chain]:
    return chains()


class TestChains:
    def verdict(self, keyed: Path, chain: Chain, code: int) -> str:
        carried = [data_of(identity) for identity in chain.carried]
        (keyed / "in.efi").write_bytes(sign_image(base(), chain.signer, carried))
        lists = {"db": chain.db, "dbx": chain.dbx}
        for name, identities in lists.items():
            write_list(
                keyed / f"{name}.esl",
                *(efi_signature_list.certificate_list(data_of(identity), OWNER) for identity in identities),
            )
        document = report(keyed, "in.efi", "--db", "db.esl", "--dbx", "dbx.esl", code=code)
        return str(document["image"]["verdict"])

    @pytest.mark.parametrize(
        ("name", "verdict"),
        [
            ("root in db", "valid"),
            ("intermediate in db", "valid"),
            ("root in dbx, not carried", "revoked"),
            ("intermediate in dbx", "revoked"),
            ("intermediate in dbx reissued", "revoked"),
            ("namesake of the intermediate in dbx", "valid"),
            ("path length exceeded", "untrusted"),
            ("intermediate without BasicConstraints", "untrusted"),
            ("unknown critical extension of the leaf", "untrusted"),
            ("issuer without keyCertSign", "untrusted"),
            ("name constraints violated", "untrusted"),
            ("two issuers of one name, right issuer first", "valid"),
            ("two roots of one name in db", "valid"),
            ("leaf expired", "valid"),
        ],
    )
    def test_chains_are_what_openssl_makes_of_them_in_firmware(self, keyed, made, name, verdict):
        assert self.verdict(keyed, made[name], 0 if verdict == "valid" else 3) == verdict


class TestSignedData:
    def signature(self, keyed: Path, shape: str, code: int = 0) -> dict:
        chain = chains()["self-signed in db"]
        write_certificates(keyed / "own.pem", chain.signer.certificate)
        image = sign_image(STRUCTURES["plain"](), chain.signer, [data_of(chain.signer)], SHAPES[shape])
        (keyed / "in.efi").write_bytes(image)
        return report(keyed, "in.efi", "--certificate", "own.pem", code=code)["image"]["signatures"][0]

    @pytest.mark.parametrize("shape", ["announces MD5", "announces SHA-1", "announces nothing"])
    def test_an_announced_digest_that_is_another_is_no_good(self, keyed, shape):
        assert self.signature(keyed, shape, code=3)["verdict"] in {"unreadable", "mismatch"}

    def test_algorithms_are_announced_in_any_order(self, keyed):
        assert self.signature(keyed, "announces SHA-256 and MD5")["verdict"] == "valid"

    @pytest.mark.parametrize(
        ("shape", "remark"),
        [
            ("SHA-1", "rests on SHA-1"),
            ("one nested signature", "carries 1 nested signature,"),
            ("two nested signatures", "carries 2 nested signatures,"),
            ("no signed attributes", "has no signed attributes"),
            ("no contentType", "contentType is missing"),
            ("digest is said to be SHA-1's", "says that its digest is one of sha1"),
        ],
    )
    def test_what_firmware_takes_and_others_may_not_is_told(self, keyed, shape, remark):
        (remarked,) = self.signature(keyed, shape)["remarks"]
        assert remark in remarked
        assert remark in succeed(keyed, "verify", "in.efi").out

    def test_nothing_is_told_of_a_usual_signature(self, keyed):
        assert self.signature(keyed, "SHA-256")["remarks"] == []


class TestPssKeys:
    @pytest.fixture
    def pss(self, keyed):
        make = "openssl genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out p.key"
        encrypt = "openssl pkcs8 -topk8 -in p.key -out encrypted.key -passout pass:word"
        for command in (make, "openssl req -x509 -new -key p.key -subj /CN=P -days 99 -out p.crt", encrypt):
            subprocess.run(command.split(), cwd=keyed, check=True, capture_output=True)
        (keyed / "word").write_text("word\n")
        return keyed

    @pytest.mark.parametrize(
        "words",
        [
            ("sign", "stub", "-o", "o.efi", "--key", "p.key", "--certificate", "p.crt"),
            ("sign", "stub", "-o", "o.efi", "--key", "db.key", "--certificate", "p.crt"),
            ("keys", "update", "db", "p.crt", "-o", "o.efi", "--key", "p.key", "--certificate", "p.crt"),
            ("keys", "update", "db", "db.crt", "-o", "o.efi", "--key", "db.key", "--certificate", "p.crt"),
        ],
    )
    def test_it_signs_nothing(self, pss, words):
        assert "RSASSA-PSS" in refused(pss, *words, code=4)
        assert not (pss / "o.efi").exists()

    def test_nor_when_it_is_encrypted(self, pss):
        keys = ("--key", "encrypted.key", "--certificate", "db.crt", "-O", 'passphrase="file:word"')
        assert "RSASSA-PSS" in refused(pss, "sign", "stub", "-o", "o.efi", *keys, code=4)

    def test_what_it_signed_is_not_valid(self, pss):
        command = ["sbsign", "--key", "p.key", "--cert", "p.crt", "--output", "out.efi", "stub"]
        done = subprocess.run(command, cwd=pss, check=False, capture_output=True)
        if not done.returncode:
            signature = report(pss, "out.efi", "--certificate", "p.crt", code=3)["image"]["signatures"][0]
            assert "RSASSA-PSS" in signature["reason"]

    def test_it_is_not_enrolled(self, pss, part):
        keys = ("--pk", "db.crt", "--kek", "db.crt", "--db", "p.crt")
        enroll = ("--plugin", "virt-firmware", "keys", "enroll", part("ovmf-vars"), "-o", "vars.fd")
        assert "RSASSA-PSS" in refused(pss, *enroll, *keys, code=2)


class TestVariables:
    @pytest.fixture
    def signed(self, keyed):
        (keyed / "fuki.toml").write_text(RECIPE + SIGN)
        succeed(keyed, "build", "-o", "s.efi")
        write_list(keyed / "db.esl", efi_signature_list.certificate_list(_der(keyed / "db.crt"), OWNER))
        (keyed / "empty").write_bytes(b"")
        (keyed / "empty-variable").write_bytes(EFIVARFS)
        (keyed / "variable").write_bytes(EFIVARFS + (keyed / "db.esl").read_bytes())
        return keyed

    @pytest.mark.parametrize("dbx", ["empty", "empty-variable"])
    @pytest.mark.parametrize("verb", [("verify",), ("report", "-o", "report.html")])
    def test_an_empty_dbx_revokes_nothing(self, signed, verb, dbx):
        succeed(signed, *verb, "s.efi", "--db", "db.esl", "--dbx", dbx)

    def test_a_variable_of_efivarfs_is_taken_for_what_it_is(self, signed):
        assert report(signed, "s.efi", "--db", "variable")["image"]["verdict"] == "valid"
        document = report(signed, "s.efi", "--db", "variable", "--dbx", "variable", code=3)
        assert document["image"]["verdict"] == "revoked"

    def test_so_it_is_where_registers_are_predicted(self, signed):
        options = [word for name in ("PK", "KEK", "dbx") for word in ("--variable", f"{name}=db.esl")]
        options += ["--pcr", "7", "--secure-boot", "on", "--json"]
        lists, variables = (
            succeed(signed, "measure", "s.efi", *options, "--variable", f"db={name}").out
            for name in ("db.esl", "variable")
        )
        assert lists == variables


def _der(path: Path) -> bytes:
    return x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)
