"""Policies over PCR 11 that are signed where the key is: digests out, signatures in."""

import base64
import json
import subprocess
from pathlib import Path

import pytest

from fuki_build.testing import refused, succeed
from tests.signing.conftest import SIGN
from tests.support.pcr_policies import POLICY, PROFILES, RECIPE, as_sets, build, signatures, systemds
from tests.support.workshop import FIRMWARE


class TestOffline:
    @pytest.fixture
    def unsigned(self, pcr):
        build(pcr, RECIPE + FIRMWARE + PROFILES + POLICY + SIGN, "--unsigned")
        return pcr

    def sign(self, directory: Path, key: str) -> None:
        """One round with openssl."""
        document = json.loads(succeed(directory, "digests", "acme.efi").out)
        for item in document["digests"]:
            message = base64.b64decode(item["message"])
            command = ["openssl", "dgst", "-sha256", "-sign", key]
            signature = subprocess.run(command, cwd=directory, input=message, capture_output=True, check=True).stdout
            item["signature"] = base64.b64encode(signature).decode()
        (directory / "signed.json").write_text(json.dumps(document))

    def test_what_is_to_be_signed_is_that_of_systemd_measure(self, unsigned):
        image = unsigned / "acme.efi"
        theirs = systemds(unsigned, image, 1, "policy-digest", "--public-key=pcr.pub", "--bank=sha256")
        assert as_sets(signatures(unsigned, "@1")) == theirs

    def test_two_rounds_give_the_bytes_of_a_signed_build(self, unsigned):
        self.sign(unsigned, "pcr.key")
        succeed(unsigned, "attach", "acme.efi", "--signatures", "signed.json")
        self.sign(unsigned, "db.key")
        succeed(unsigned, "attach", "acme.efi", "--signatures", "signed.json", "--certificate", "db.crt")
        offline = (unsigned / "acme.efi").read_bytes()
        succeed(unsigned, "build")
        assert offline == (unsigned / "acme.efi").read_bytes()

    def test_a_signature_of_another_key_is_refused(self, unsigned):
        self.sign(unsigned, "db.key")
        error = refused(unsigned, "attach", "acme.efi", "--signatures", "signed.json", code=4)
        assert "digests[0].signature: the signature was not made by the key of its policy" in error

    def test_policies_of_a_signed_image_are_left_alone(self, unsigned):
        self.sign(unsigned, "pcr.key")
        succeed(unsigned, "sign", "acme.efi", "--key", "db.key", "--certificate", "db.crt")
        assert "--replace" in refused(unsigned, "attach", "acme.efi", "--signatures", "signed.json", code=4)

    def test_a_policy_of_another_image_is_refused(self, unsigned):
        self.sign(unsigned, "pcr.key")
        build(unsigned, RECIPE.replace(" ro", " rw") + POLICY, "--unsigned")
        error = refused(unsigned, "attach", "acme.efi", "--signatures", "signed.json", code=4)
        assert "the image has no policy that wants this signature" in error
