"""An image, or a signature, that was changed after signing is not valid, for `fuki verify` and for others."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuki_build.formats.asn1 import signed_data
from fuki_build.formats.pe import authenticode, pe
from fuki_build.testing import invoke, secure_boot, succeed
from tests.conftest import RECIPE
from tests.signing.conftest import VERIFIERS, der
from tests.support.headers import changed, directory, seventeen_directories
from tests.support.verification import report
from tests.support.workshop import IMAGE


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
