"""What `fuki diff` tells of signatures."""

import subprocess
from pathlib import Path

from fuki_build.testing import invoke, succeed
from fuki_build.testing.documents import printed
from tests.support.compared_images import OLD


def test_a_signature_that_is_lost_is_told_by_its_signer_and_one_more_is_no_fault(fleet: Path, tmp_path: Path):
    sign = ("sign", OLD, "--key", "keys/db.key", "--certificate", "keys/db.pem", "-o", tmp_path / "signed.efi")
    succeed(fleet, *sign)
    gates = ("--forbid", "signatures", "--forbid", "sections", "--forbid", "pcr11", "--json")
    lost = printed(fleet, "diff", tmp_path / "signed.efi", OLD, *gates, code=3)
    assert lost["forbidden"] == ["signatures"]

    fingerprint = subprocess.run(
        ["openssl", "x509", "-in", fleet / "keys/db.pem", "-noout", "-fingerprint", "-sha256"],
        capture_output=True, text=True, check=True,
    ).stdout.strip().rpartition("=")[2].replace(":", "").lower()  # fmt: skip

    assert [(s["of"], s["change"], s["fingerprint"]) for s in lost["signatures"]] == [("image", "removed", fingerprint)]
    gained = printed(fleet, "diff", OLD, tmp_path / "signed.efi", *gates)
    assert [s["change"] for s in gained["signatures"]] == ["added"]


def test_a_signature_that_is_revoked_is_lost(fleet: Path, tmp_path: Path):
    succeed(fleet, "sign", OLD, "--key", "keys/db.key", "--certificate", "keys/db.pem", "-o", tmp_path / "signed.efi")
    image_of_others = tmp_path / "others.efi"
    succeed(fleet, "sign", OLD, "--key", "others/db.key", "--certificate", "others/db.pem", "-o", image_of_others)
    trust = ("--certificate", "keys/db.pem", "--forbid", "signatures")
    assert invoke(fleet, "diff", tmp_path / "signed.efi", image_of_others, *trust).code == 3
