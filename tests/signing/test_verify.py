"""What `fuki verify` says of images that anyone signed."""

import subprocess

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from fuki_build.testing import invoke, refused, secure_boot, succeed
from tests.conftest import RECIPE
from tests.signing.conftest import SIGN
from tests.support.verification import report
from tests.support.workshop import IMAGE


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
