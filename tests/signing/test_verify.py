"""What `fuki verify` says of images that anyone signed, and what it trusts."""

import hashlib
import json
import subprocess
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuki_build.formats.asn1 import signed_data
from fuki_build.formats.pe import authenticode, pe
from fuki_build.formats.uefi import efi_signature_list
from fuki_build.formats.uefi.efi_signature_list import Signature, SignatureList, SignatureType
from fuki_build.testing import invoke, refused, secure_boot, succeed
from tests.conftest import RECIPE
from tests.signing.conftest import SIGN, VERIFIERS, der
from tests.support.headers import changed, directory, seventeen_directories

OWNER = UUID("f5a96b31-dba0-4faa-a42a-7a0c9832768e")
IMAGE = "acme_41.3.efi"


@pytest.fixture
def signed(keyed: Path) -> Path:
    (keyed / "fuki.toml").write_text(RECIPE + SIGN)
    succeed(keyed, "build")
    return keyed


def report(directory: Path, *arguments: object, code: int = 0) -> dict:
    outcome = invoke(directory, "verify", *arguments, "--json")
    assert outcome.code == code, outcome.err
    return json.loads(outcome.out)


def write_list(path: Path, *lists: SignatureList) -> Path:
    path.write_bytes(efi_signature_list.encode(lists))
    return path


class TestOthersSignatures:
    @pytest.fixture
    def with_sbsign(self, keyed):
        command = ["sbsign", "--key", "db.key", "--cert", "db.crt", "--output", "out.efi", "stub"]
        subprocess.run(command, cwd=keyed, check=True, capture_output=True)
        return keyed

    def test_of_sbsign(self, with_sbsign):
        assert report(with_sbsign, "out.efi", "--certificate", "ca.crt")["image"]["verdict"] == "valid"
        assert report(with_sbsign, "out.efi", "--certificate", "other.crt", code=3)["image"]["verdict"] == "untrusted"

    @pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha384", "sha512"])
    def test_of_osslsigncode(self, keyed, algorithm):
        command = f"osslsigncode sign -h {algorithm} -certs db.crt -key db.key -in stub -out out.efi -n name"
        subprocess.run(command.split(), cwd=keyed, check=True, capture_output=True)
        image_report = report(keyed, "out.efi", "--certificate", "ca.crt")["image"]
        assert (image_report["verdict"], image_report["signatures"][0]["algorithm"]) == ("valid", algorithm)

    @pytest.mark.parametrize("name", ["kernel-x64", "shim"])
    def test_of_distributions(self, keyed, part, name):
        """Their own certificate is in the signature; what issued it is not."""
        image_report = report(keyed, part(name))["image"]
        assert {signature["verdict"] for signature in image_report["signatures"]} == {"intact"}

    def test_sbverify_agrees_on_the_kernel_of_debian(self, keyed, part):
        subprocess.run(["sbattach", "--detach", "p7", part("kernel-x64")], cwd=keyed, check=True, capture_output=True)
        command = ["openssl", "pkcs7", "-inform", "DER", "-in", "p7", "-print_certs", "-out", "debian.crt"]
        subprocess.run(command, cwd=keyed, check=True)
        assert report(keyed, part("kernel-x64"), "--certificate", "debian.crt")["image"]["verdict"] == "valid"


@pytest.fixture(scope="module")
def image(tmp_path_factory, part, keys) -> tuple[Path, bytes]:
    """A small signed image, and its certificate beside it."""
    directory = tmp_path_factory.mktemp("tampering")
    secure_boot.write_key(directory / "db.key", keys.signer.key)
    secure_boot.write_certificates(directory / "db.crt", keys.signer.certificate)
    secure_boot.write_certificates(directory / "ca.crt", keys.authority.certificate)
    sign = ("--key", "db.key", "--certificate", "db.crt", "-o", "image.efi")
    succeed(directory, "sign", part("addon-stub-x64"), *sign)
    return directory, (directory / "image.efi").read_bytes()


class TestTampering:
    @staticmethod
    def covered(data: bytes, share: float) -> int:
        """An offset of the authenticated bytes."""
        headers = pe.decode(data[: pe.HEAD_SIZE], len(data))
        ranges = authenticode.digest_ranges(headers, len(data))
        at = int(share * (sum(end - start for start, end in ranges) - 1))
        for start, end in ranges:
            if at < end - start:
                return start + at
            at -= end - start
        raise AssertionError

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(share=st.floats(0, 1), bit=st.integers(0, 7))
    def test_a_change_of_any_authenticated_bit_is_noticed(self, image, share, bit):
        directory, data = image
        at = self.covered(data, share)
        changed = bytearray(data)
        changed[at] ^= 1 << bit
        (directory / "changed.efi").write_bytes(changed)
        assert invoke(directory, "verify", "changed.efi", "--certificate", "ca.crt").code in {1, 3}

    @pytest.mark.parametrize("program", VERIFIERS)
    @pytest.mark.parametrize("share", [0.02, 0.2, 0.4, 0.6, 0.8, 0.999])
    def test_all_programs_notice(self, image, verifies, program, share):
        directory, data = image
        changed = bytearray(data)
        changed[self.covered(data, share)] ^= 0x10
        path = directory / f"{program}-{share}.efi"
        path.write_bytes(changed)
        assert not verifies(program, path, directory / "ca.crt")
        path.write_bytes(data)
        assert verifies(program, path, directory / "ca.crt")

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(at=st.integers(0, 1400), value=st.integers(1, 255))
    def test_a_changed_signature_never_stops_verification_with_an_internal_error(self, image, at, value):
        directory, data = image
        headers = pe.decode(data[: pe.HEAD_SIZE], len(data))
        changed = bytearray(data)
        changed[headers.security.address + at % headers.security.size] ^= value
        (directory / "changed.efi").write_bytes(changed)
        outcome = invoke(directory, "verify", "changed.efi", "--certificate", "ca.crt")
        assert outcome.code in {0, 1, 3}
        assert "internal error" not in outcome.err

    def test_a_signature_of_another_image_is_a_mismatch(self, signed, part):
        """The signature of the image behind a stub."""
        data = (signed / IMAGE).read_bytes()
        headers = pe.decode(data[: pe.HEAD_SIZE], len(data))
        table = data[headers.security.address :]
        stub = part("stub-x64").read_bytes()
        stub += bytes(-len(stub) % 8)
        place = pe.decode(stub[: pe.HEAD_SIZE], len(stub))
        at, entry = authenticode.security_patch(place, len(stub), len(table))
        (signed / "moved.efi").write_bytes(stub[:at] + entry + stub[at + 8 :] + table)
        image_report = report(signed, "moved.efi", "--certificate", "ca.crt", code=3)["image"]
        assert image_report["verdict"] == "mismatch"

    def test_a_signature_by_another_key_is_forged(self, signed, keys):
        """The other's signature, under the trusted certificate."""
        layout_digest = report(signed, IMAGE)["image"]["authenticode"]
        content = signed_data.indirect_data(bytes.fromhex(layout_digest), "sha256")
        attributes = signed_data.signed_attributes(content, "sha256")
        signature = keys.other.key.sign(attributes, padding.PKCS1v15(), SHA256())
        forged = signed_data.encode(content, attributes, "sha256", signature, [der(keys.signer)], rsa=True)
        data = (signed / IMAGE).read_bytes()
        headers = pe.decode(data[: pe.HEAD_SIZE], len(data))
        entry = authenticode.encode_certificate(forged)
        at, place = authenticode.security_patch(headers, headers.security.address, len(entry))
        unsigned = data[:at] + place + data[at + 8 : headers.security.address]
        (signed / "forged.efi").write_bytes(unsigned + entry)
        image_report = report(signed, "forged.efi", "--certificate", "ca.crt", code=3)["image"]

        assert image_report["verdict"] == "forged"


class TestTrust:
    def test_without_anything_trusted_a_signature_is_only_intact(self, signed):
        assert report(signed, IMAGE)["image"]["verdict"] == "intact"

    def test_an_unsigned_image_is_not_valid(self, signed):
        assert report(signed, "stub", code=3)["image"]["verdict"] == "unsigned"

    @pytest.mark.parametrize("certificate", ["db.crt", "ca.crt"])
    def test_the_signers_certificate_or_its_issuers_is_trusted(self, signed, certificate):
        assert report(signed, IMAGE, "--certificate", certificate)["image"]["verdict"] == "valid"

    def test_a_certificate_in_db_is_trusted(self, signed, keys):
        write_list(signed / "db.esl", efi_signature_list.certificate_list(der(keys.authority), OWNER))
        signature = report(signed, IMAGE, "--db", "db.esl")["image"]["signatures"][0]
        assert (signature["verdict"], signature["trusted-by"]) == ("valid", "CN=Acme CA")

    def test_a_digest_in_db_makes_an_unsigned_image_valid(self, signed):
        digest = report(signed, "stub", code=3)["image"]["authenticode"]
        write_list(
            signed / "db.esl", efi_signature_list.hash_list(SignatureType.SHA256, [bytes.fromhex(digest)], OWNER)
        )
        assert report(signed, "stub", "--db", "db.esl")["image"]["verdict"] == "valid"

    def test_a_digest_in_dbx_revokes_an_image(self, signed):
        digest = report(signed, IMAGE)["image"]["authenticode"]
        write_list(
            signed / "dbx.esl", efi_signature_list.hash_list(SignatureType.SHA256, [bytes.fromhex(digest)], OWNER)
        )
        document = report(signed, IMAGE, "--certificate", "ca.crt", "--dbx", "dbx.esl", code=3)
        assert document["image"]["verdict"] == "revoked"

    @pytest.mark.parametrize("which", ["signer", "authority"])
    def test_a_certificate_in_dbx_revokes_all_that_it_stands_behind(self, signed, keys, which):
        write_list(signed / "dbx.esl", efi_signature_list.certificate_list(der(getattr(keys, which)), OWNER))
        arguments = ("--certificate", "db.crt", "--certificate", "ca.crt", "--dbx", "dbx.esl")
        assert report(signed, IMAGE, *arguments, code=3)["image"]["verdict"] == "revoked"

    def test_the_hash_of_a_certificate_in_dbx_revokes_it(self, signed, keys):
        digest = hashlib.sha256(keys.signer.certificate.tbs_certificate_bytes).digest()
        revoked = SignatureList(SignatureType.X509_SHA256.guid, (Signature(OWNER, digest + bytes(16)),))
        write_list(signed / "dbx.esl", revoked)
        document = report(signed, IMAGE, "--certificate", "ca.crt", "--dbx", "dbx.esl", code=3)
        assert document["image"]["verdict"] == "revoked"

    def test_db_and_dbx_come_from_a_variable_store_of_ovmf(self, signed, part):
        """Debian's store with Microsoft's keys trusts the shim that Microsoft signed, and not us."""
        store = part("ovmf-vars-ms")
        assert report(signed, part("shim"), "--db", store, "--dbx", store)["image"]["verdict"] == "valid"
        assert report(signed, IMAGE, "--db", store, code=3)["image"]["verdict"] == "untrusted"

    def test_an_expired_certificate_is_trusted_as_firmware_does(self, keyed):
        expired = secure_boot.make_identity("Expired", valid=secure_boot.EXPIRED)
        secure_boot.write_key(keyed / "old.key", expired.key)
        secure_boot.write_certificates(keyed / "old.crt", expired.certificate)
        command = ["sbsign", "--key", "old.key", "--cert", "old.crt", "--output", "out.efi", "stub"]
        subprocess.run(command, cwd=keyed, check=True, capture_output=True)
        assert report(keyed, "out.efi", "--certificate", "old.crt")["image"]["verdict"] == "valid"

    def test_a_leaf_certificate_cannot_issue_others(self, keyed, keys):
        """The signer's certificate is no authority, so what it signed is trusted no further."""
        rogue = secure_boot.make_identity("Rogue", issuer=keys.signer)
        secure_boot.write_key(keyed / "rogue.key", rogue.key)
        secure_boot.write_certificates(keyed / "rogue.crt", rogue.certificate)
        sign = ("--key", "rogue.key", "--certificate", "rogue.crt", "-O", 'intermediates=["db.crt"]')
        succeed(keyed, "sign", "stub", *sign, "-o", "out.efi")
        assert report(keyed, "out.efi", "--certificate", "ca.crt", code=3)["image"]["verdict"] == "untrusted"


class TestSbat:
    LEVEL = "sbat,1,2026010100\nshim,4\nsystemd-stub,{}\n"

    @pytest.mark.parametrize(("generation", "code"), [(1, 0), (99, 3)])
    def test_a_component_of_an_older_generation_is_revoked(self, signed, generation, code):
        (signed / "level").write_text(self.LEVEL.format(generation))
        image_report = report(signed, IMAGE, "--sbat-level", "level", code=code)["image"]
        assert bool(image_report["revoked-components"]) == bool(code)

    def test_an_image_without_components_is_revoked(self, keyed, part):
        (keyed / "level").write_text(self.LEVEL.format(1))
        image_report = report(keyed, part("kernel-x64"), "--sbat-level", "level", code=3)["image"]
        assert image_report["revoked-components"] == ["the image, which has no .sbat"]


class TestKernels:
    def test_the_kernel_inside_is_verified_too(self, signed):
        (kernel,) = report(signed, IMAGE)["kernels"]
        assert (kernel["name"], kernel["verdict"]) == (".linux", "intact")

    def test_a_broken_kernel_inside_a_valid_image_is_a_mismatch(self, keyed):
        kernel = bytearray((keyed / "vmlinuz").read_bytes())
        kernel[0x10000] ^= 1
        (keyed / "vmlinuz").unlink()
        (keyed / "vmlinuz").write_bytes(kernel)
        (keyed / "fuki.toml").write_text(RECIPE + SIGN)
        succeed(keyed, "build")
        outcome = invoke(keyed, "verify", IMAGE, "--certificate", "ca.crt")
        assert outcome.code == 3
        assert "the kernel in .linux is not valid" in outcome.err

    def test_the_padding_of_a_kernel_in_images_of_older_ukify_is_none_of_its_content(self, keyed, part):
        (keyed / "vmlinuz").unlink()
        (keyed / "vmlinuz").write_bytes(part("kernel-x64").read_bytes() + bytes(17))
        (keyed / "fuki.toml").write_text(RECIPE + SIGN)
        succeed(keyed, "build")
        assert report(keyed, IMAGE)["kernels"][0]["verdict"] == "intact"


class TestForPeople:
    def test_a_table_tells_each_signature(self, signed):
        out = succeed(signed, "verify", IMAGE, "--certificate", "ca.crt").out
        assert "CN=Acme db" in out
        assert "2049-01-01" in out
        assert "trusted through CN=Acme CA" in out

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            (["nope.efi"], "nope.efi"),
            (["fuki.toml"], "not a PE image"),
            ([IMAGE, "--certificate", "db.key"], "db.key: this is not a certificate"),
            ([IMAGE, "--db", "stub"], "stub: "),
            ([IMAGE, "--sbat-level", "fuki.toml"], "fuki.toml: the SBAT table does not start"),
        ],
    )
    def test_what_cannot_be_read_is_one_error(self, signed, arguments, problem):
        assert problem in refused(signed, "verify", *arguments, code=1)


def test_public_der_certificates_work_too(signed, keys):
    secure_boot.write_certificates(signed / "ca.der", keys.authority.certificate, encoding=Encoding.DER)
    assert report(signed, IMAGE, "--certificate", "ca.der")["image"]["verdict"] == "valid"


def test_an_image_that_another_reader_of_headers_reads_differently_is_disputed(keyed):
    (keyed / "odd.efi").write_bytes(changed((keyed / "stub").read_bytes(), seventeen_directories))
    succeed(keyed, "sign", "odd.efi", "--key", "db.key", "--certificate", "db.crt")
    image = report(keyed, "odd.efi", "--certificate", "db.crt", code=3)["image"]
    assert image["verdict"] == "disputed"
    assert image["reason"] == "the number of data directories is 0x11 to fuki, 0x10 to pefile"
    assert [signature["verdict"] for signature in image["signatures"]] == ["valid"]
    assert "disputed" in invoke(keyed, "verify", "odd.efi").out


def test_so_is_one_with_such_a_kernel(keyed, part):
    kernel = keyed / "vmlinuz"
    kernel.unlink()
    kernel.write_bytes(changed(part("kernel-x64").read_bytes(), seventeen_directories, directory(4, 0, 0)))
    (keyed / "fuki.toml").write_text(RECIPE)
    succeed(keyed, "build")
    findings = json.loads(invoke(keyed, "check", IMAGE, "--json").out)["findings"]
    assert (".linux", "headers-disputed") in {(finding["where"], finding["rule"]) for finding in findings}
    outcome = invoke(keyed, "verify", IMAGE, "--json")
    assert [kernel["verdict"] for kernel in json.loads(outcome.out)["kernels"]] == ["disputed"]
    assert outcome.code == 3
