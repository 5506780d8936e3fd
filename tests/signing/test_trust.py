"""What `fuki verify` trusts, and what is revoked."""

import hashlib
import subprocess

import pytest

from fuki_build.formats.uefi import efi_signature_list
from fuki_build.formats.uefi.efi_signature_list import Signature, SignatureList, SignatureType
from fuki_build.testing import secure_boot, succeed
from tests.signing.conftest import der
from tests.support.verification import OWNER, report, write_list
from tests.support.workshop import IMAGE


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
