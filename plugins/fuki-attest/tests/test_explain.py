"""Why evidence has other measurements: launches are sev-snp-measure's, PCR 11 is systemd-measure's."""

import json
import os
import subprocess
from pathlib import Path

import parts
import pytest
from fuki_build.testing import invoke, recipe, succeed
from fuki_build.testing.launch import peer_digest

VERBS = ("--plugin", "attest", "--plugin", "coco", "attest", "explain")
LAUNCHES = """\
[[fuki.firmware]]
id = "ovmf-generic"
source = "file"
path = "generic.fd"
platforms = ["qemu:q35"]

[[fuki.firmware]]
id = "ovmf-wrapped"
source = "file"
path = "wrapped.igvm"
platforms = ["qemu:i440fx"]

[[fuki.profile]]
id = "debug"
cmdline = "debug console=ttyS0"

[[fuki.launch]]
technology = "sev-snp"
firmware = "ovmf-generic"
vcpus = 2
vcpu-model = "EPYC-Milan"

[[fuki.addon]]
name = "more"
cmdline = "from=addon"

"""
LINES = {"acme.efi": "quiet console=ttyS0", "other.efi": "ro console=ttyS0"}


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Path:
    """Two images that differ in initrd and command line, with their recipe."""
    directory = tmp_path_factory.mktemp("explain")
    for name, part in {"stub": "stub-x64", "vmlinuz": "kernel-x64", "generic.fd": "ovmf-generic"}.items():
        (directory / name).symlink_to(parts.get(part))
    succeed(directory, "firmware", "wrap", parts.get("ovmf-2025"), "-o", "wrapped.igvm", "--cpu-signature", "0xa00f11")
    for image, line in LINES.items():
        (directory / f"initrd-{image}").write_bytes(parts.initrd({"etc/initrd-release": image.encode()}))
        text = recipe(LAUNCHES, plugins=["coco"], cmdline=line, initrd=f"initrd-{image}")
        (directory / f"{image}.toml").write_text(text)
        succeed(directory, "build", f"{image}.toml", "-o", image)
    return directory


def explain(directory: Path, *arguments: object, code: int = 0) -> dict:
    done = invoke(directory, *VERBS, *arguments, "--json")
    assert done.code == code, done
    return json.loads(done.out)


class TestLaunches:
    @pytest.fixture
    def snp(self, bench, amd):
        def run(digest: str, *arguments: object, code: int = 0, **fields) -> dict:
            (bench / "report").write_bytes(amd.report(measurement=bytes.fromhex(digest), **fields))
            return explain(bench, "report", *arguments, code=code)

        return run

    def test_a_launch_is_found_among_all(self, snp):
        digest = peer_digest("sev-snp", parts.get("ovmf-generic"), "qemu", 333, "EPYC-Genoa", 0x221)
        (launch,) = snp(digest, "--image", "acme.efi")["launches"]
        (found,) = launch["search"]["found"]
        told = (found["firmware"], found["vmm"], found["vcpus"], found["cpu-model"], found["guest-features"])
        assert told == ("ovmf-generic", "qemu", 333, "EPYC-Genoa", 0x221)
        assert found["boot"] is None

    @pytest.mark.parametrize(
        ("launch", "change"),
        [
            (("qemu", 3, "EPYC-Milan", 1), "vCPUs 3 instead of 2"),
            (("qemu", 2, "EPYC-Rome", 1), "vCPU model EPYC-Rome instead of EPYC-Milan"),
            (("qemu", 2, "EPYC-Milan", 0x21), "guest features 0x21 instead of 0x1"),
            (("gce", 2, None, 1), "hypervisor gce instead of qemu"),
        ],
    )
    def test_a_launch_that_differs_from_the_recipe_s_in_one_input(self, snp, launch, change: str):
        digest = peer_digest("sev-snp", parts.get("ovmf-generic"), *launch)
        (document,) = snp(digest, "--image", "acme.efi", "--recipe", "acme.efi.toml", code=3)["launches"]
        assert document["search"]["found"] == []
        (near,) = document["search"]["near"]
        first, *rest = near["change"].split("; ")
        assert first == change
        # The page in which they first differ is told, too.
        assert len(rest) == 1
        assert "the same up to step" in rest[0]

    def test_a_page_is_the_first_in_which_other_registers_stand(self, snp):
        """4 MiB of firmware are 1024 pages, its metadata 50; so the second vCPU is the page 1075, counted from 0."""
        digest = peer_digest("sev-snp", parts.get("ovmf-generic"), "qemu", 1, "EPYC-Milan", 1)
        (document,) = snp(digest, "--image", "acme.efi", "--recipe", "acme.efi.toml", code=3)["launches"]
        (near,) = document["search"]["near"]
        assert "where vCPU 1: VMSA at 0xfffffffff000 is expected, and was measured nothing more" in near["change"]

    def test_the_recipe_s_own_launch_is_as_asked_for(self, snp):
        digest = peer_digest("sev-snp", parts.get("ovmf-generic"), "qemu", 2, "EPYC-Milan", 1)
        (document,) = snp(digest, "--image", "acme.efi", "--recipe", "acme.efi.toml")["launches"]
        assert [row["vcpus"] for row in document["search"]["found"]] == [2]

    def test_other_firmware_of_the_image_is_named(self, snp):
        digest = peer_digest("sev-snp", parts.get("ovmf-2025"), "qemu", 1, "EPYC-Milan", 1)
        (document,) = snp(digest, "--image", "acme.efi", "--recipe", "acme.efi.toml", code=3)["launches"]
        changes = {row["change"] for row in document["search"]["near"] if row["form"] == "as it is"}
        assert any("firmware ovmf-wrapped instead of ovmf-generic" in change for change in changes)

    def test_firmware_may_be_given_and_may_have_been_taken_out_of_its_file(self, snp):
        digest = peer_digest("sev-snp", parts.get("ovmf-2022"), "ec2", 8, None, 1)
        firmware = ("--firmware", parts.get("ovmf-2022"))
        (found,) = snp(digest, "--image", "acme.efi", *firmware)["launches"][0]["search"]["found"]
        assert (found["firmware"], found["vcpus"], found["form"]) == ("OVMF.fd", 8, "as it is")

        digest = peer_digest("sev-snp", parts.get("ovmf-2025"), "qemu", 9, "EPYC-Turin", 1)
        (found,) = snp(digest, "--image", "acme.efi")["launches"][0]["search"]["found"]
        assert (found["firmware"], found["form"]) == ("ovmf-wrapped", "taken out of its IGVM file")

    @pytest.mark.parametrize(
        ("kernel", "initrd", "cmdline", "boot"),
        [
            ("vmlinuz", "initrd-acme.efi", LINES["acme.efi"], "acme.efi@0"),
            ("vmlinuz", "initrd-acme.efi", "debug console=ttyS0", "acme.efi@1"),
            ("acme.efi", "", "", "acme.efi as the kernel"),
            ("vmlinuz", "initrd-other.efi", LINES["acme.efi"], "initrd of other.efi@0, command line of acme.efi@0"),
            ("vmlinuz", "", LINES["other.efi"], "initrd of none, command line of other.efi@0"),
            ("vmlinuz", "initrd-acme.efi", "", "command line of none"),
            ("vmlinuz", "initrd-acme.efi", LINES["acme.efi"] + "\n", "acme.efi@0 with the end of a line"),
            ("vmlinuz", "initrd-acme.efi", "single", "command line of 'single'"),
        ],
    )
    def test_what_was_booted_directly_is_found(self, bench, snp, kernel, initrd, cmdline, boot):
        files = (str(bench / kernel), str(bench / initrd) if initrd else "", cmdline)
        digest = peer_digest("sev-snp", parts.get("ovmf-generic"), "qemu", 4, "EPYC-Milan", 1, *files)
        images = ("--image", "acme.efi", "--image", "other.efi", "--cmdline", "single")
        (found,) = snp(digest, *images)["launches"][0]["search"]["found"]
        assert found["boot"].endswith(boot)

    def test_what_no_launch_has_is_told_with_what_was_tried(self, bench, snp):
        document = snp("ab" * 48, "--image", "acme.efi", code=3)
        search = document["launches"][0]["search"]
        assert (search["found"], search["near"]) == ([], [])
        assert search["space"]["vcpus"] == "1-512"
        assert {one["technology"] for one in search["tried"]} == {"sev-snp"}
        told = invoke(bench, *VERBS, "report", "--image", "acme.efi")
        assert "a digest alone cannot tell" in told.out
        assert told.code == 3
        assert "report: the launch digest" in told.err

    def test_a_report_of_a_higher_level_asks_for_the_svsm(self, snp):
        notes = snp("ab" * 48, "--image", "acme.efi", code=3, vmpl=2)["notes"]
        assert any("VMPL 2" in note and "--svsm" in note for note in notes)

    def test_what_a_paravisor_measured_is_not_searched(self, bench, made):
        document = explain(bench, *made["paravisor"].files, "--image", "acme.efi", code=3)
        assert document["launches"] == []
        assert any("paravisor" in note for note in document["notes"])


def measured_sections(directory: Path, *phases: str, **sections: str) -> str:
    """PCR 11 as systemd-measure computes it, over what acme.efi has with other files in the place of some."""
    program = parts.get("systemd-measure")
    libraries = program.parents[1] / "x86_64-linux-gnu"
    environment = {**os.environ, "LD_LIBRARY_PATH": f"{libraries}:{libraries}/systemd"}
    names = [".linux", ".initrd", ".cmdline", ".osrel", ".uname", ".sbat", ".profile", ".hwids", ".efifw"]
    options = []
    for name in names:
        done = invoke(directory, "inspect", "acme.efi", "--extract", name, "-o", f"part{name}")
        assert done.code == 0 or "no section" in done.err or name in {".profile", ".uname"}, done
        if done.code == 0:
            options.append(f"--{name[1:]}={sections.get(name[1:], f'part{name}')}")
    words = ":".join(phases)
    command = [program, "calculate", *options, "--bank=sha256", "--json=short", f"--phase={words or ':'}"]
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    return json.loads(done.stdout)["sha256"][0]["hash"]
