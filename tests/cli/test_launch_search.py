"""`fuki launch --expect`: which launch has a digest."""

import json
from pathlib import Path
from typing import Any

from fuki_build.testing import invoke, succeed
from fuki_build.testing.documents import complaints
from fuki_build.testing.launch import peer_digest
from tests.support.launches import COCO


class TestExpect:
    """Digests are sev-snp-measure's."""

    def search(self, directory: Path, *arguments: object, code: int = 0) -> dict[str, Any]:
        done = invoke(directory, *COCO, "launch", *arguments, "--json")
        assert done.code == code, done
        document = json.loads(done.out)
        assert complaints(document, "launch", "coco") == []
        return document["search"]

    def test_what_options_leave_open_is_searched(self, tmp_path: Path, firmware: Path):
        digest = peer_digest("sev-snp", firmware, "gce", 200, None, 0x201)
        (launch,) = self.search(tmp_path, firmware, "--expect", digest)["found"]
        assert (launch["vmm"], launch["vcpus"], launch["guest-features"]) == ("gce", 200, 0x201)
        (launch,) = self.search(tmp_path, firmware, "--expect", digest, "--vcpus", "100,200", "--vmm", "gce")["found"]
        assert launch["change"] == ""

    def test_a_digest_of_32_bytes_is_sev_or_sev_es(self, tmp_path: Path, firmware: Path):
        for technology in ("sev", "sev-es"):
            digest = peer_digest(technology, firmware, "qemu", 7, "EPYC-Rome", 1)
            (launch,) = self.search(tmp_path, firmware, "--expect", digest)["found"]
            assert launch["technology"] == technology

    def test_a_launch_beyond_the_options_is_near(self, tmp_path: Path, firmware: Path):
        digest = peer_digest("sev-snp", firmware, "qemu", 9, "EPYC-Milan", 1)
        search = self.search(tmp_path, firmware, "--expect", digest, "--vcpus", "4,8", code=3)
        assert search["found"] == []
        assert [row["change"] for row in search["near"]] == ["vCPUs 9 instead of 4 or 8"]
        told = invoke(tmp_path, *COCO, "launch", firmware, "--expect", digest, "--vcpus", "4,8")
        assert "near is MEASUREMENT of sev-snp: OVMF.fd as it is, under qemu, 9 vCPUs" in told.out
        assert "as asked for" in told.err

    def test_values_outside_of_those_that_are_searched_may_be_named(self, tmp_path: Path, firmware: Path):
        digest = peer_digest("sev-snp", firmware, "qemu", 600, "EPYC-Milan", 0x41)
        options = ("--vcpus", "600", "--guest-features", "0x41")
        (launch,) = self.search(tmp_path, firmware, "--expect", digest, *options)["found"]
        assert launch["vcpus"] == 600

    def test_a_platform_s_launches_are_as_asked_for(self, tmp_path: Path, firmware: Path):
        digest = peer_digest("sev-snp", firmware, "ec2", 8, None, 1)
        arguments = ("--plugin", "coco", "--plugin", "aws", "launch", firmware, "--platform", "aws:m6a.*", "--json")
        done = succeed(tmp_path, *arguments, "--expect", digest)
        assert [row["vcpus"] for row in json.loads(done.out)["search"]["found"]] == [8]
        other = peer_digest("sev-snp", firmware, "ec2", 9, None, 1)
        assert invoke(tmp_path, *arguments, "--expect", other).code == 3

    def test_direct_boots_of_an_image_and_of_files_are_tried(self, image: Path, workshop: Path, firmware: Path):
        files = (str(workshop / "vmlinuz"), str(workshop / "initrd.img"), "debug")
        digest = peer_digest("sev-snp", firmware, "qemu", 3, "EPYC", 1, *files)
        (launch,) = self.search(workshop, image, "--expect", digest)["found"]
        assert launch["boot"] == "image.efi@1"
        launch = self.search(workshop, image, "--expect", digest, "--direct-boot", "none", code=3)
        assert [row["change"].split(";")[0] for row in launch["near"]] == ["direct boot image.efi@1 instead of none"]
        launch = self.search(workshop, image, "--expect", digest, "--vcpus", "5", "--vmm", "qemu", code=3)
        (change,) = [row["change"] for row in launch["near"]]
        assert change.startswith("vCPUs 3 instead of 5; the same up to step ")
        assert "where vCPU 3: VMSA at 0xfffffffff000 is expected, and was measured nothing more" in change

        (workshop / "other").write_bytes(b"another kernel")
        digest = peer_digest("sev-snp", firmware, "qemu", 3, "EPYC", 1, str(workshop / "other"), files[1], "ro")
        given = ("--kernel", "other", "--cmdline", "ro", "--expect", digest)
        (launch,) = self.search(workshop, image, *given)["found"]
        assert launch["boot"].startswith("kernel of other, initrd of image.efi@")
        assert launch["boot"].endswith("command line of other")

    def test_a_wrapped_image_is_searched_bare_too(self, tmp_path: Path, firmware: Path):
        succeed(tmp_path, "firmware", "wrap", firmware, "-o", "wrapped.igvm")
        digest = peer_digest("sev-snp", firmware, "qemu", 16, "EPYC-Genoa", 1)
        (launch,) = self.search(tmp_path, "wrapped.igvm", "--expect", digest)["found"]
        assert launch["form"] == "taken out of its IGVM file"

        # A wrapped image has one vCPU, with no CPU signature unless one is given.
        digest = peer_digest("sev-snp", firmware, "qemu", 1, None, 1)
        (launch,) = self.search(tmp_path, firmware, "--expect", digest)["found"]
        assert (launch["form"], launch["vmm"]) == ("wrapped as an IGVM file", "qemu")

    def test_a_runtime_register_of_an_image_is_told(self, image: Path):
        """As `fuki measure` predicts it, which booted guests are held against elsewhere."""
        start = ("--console", "", "--no-boot-secret", "--options", "single", "--json")
        arguments = ("measure", image, "--rtmr", "--profile", "debug", *start)
        (case, *_) = json.loads(succeed(image.parent, *arguments).out)["predictions"]
        digest = next(register["value"] for register in case["rtmrs"] if register["name"] == "RTMR2")
        done = succeed(
            image.parent, *COCO, "launch", image, "--expect", digest, *start, "--options", "single", "--json"
        )
        (search,) = json.loads(done.out)["registers"]
        assert search["name"] == "RTMR2"
        assert search["matches"][0]["case"].startswith("image.efi, profile 1 (debug)")
        assert search["matches"][0]["changes"] == []

    def test_what_none_has_is_told_with_what_was_tried(self, tmp_path: Path, firmware: Path):
        done = invoke(tmp_path, *COCO, "launch", firmware, "--expect", "ab" * 48)
        assert done.code == 3
        for text in ("sev-snp: 57", "vCPUs: 1-512", "a digest alone cannot tell"):
            assert text in done.out
        assert "has this digest" in done.err
