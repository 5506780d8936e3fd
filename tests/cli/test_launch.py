"""`fuki launch` and `fuki firmware show`, with the plugin that brings launch models."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from fuki_build.testing import invoke, refused, succeed
from fuki_build.testing.documents import complaints
from fuki_build.testing.launch import peer_digest

COCO = ("--plugin", "coco")
FIRMWARE = '[[fuki.firmware]]\nsource = "directory"\npath = "{0}"\nplatforms = ["qemu:{1}"]\n'


@pytest.fixture
def firmware(part) -> Path:
    return part("ovmf-generic")


@pytest.fixture
def image(workshop: Path, part, fuki) -> Path:
    """A UKI with two firmware images, and a profile with a command line of its own."""
    with (workshop / "fuki.toml").open("a") as recipe:
        for name, source, machine in (("both", "ovmf-generic", "q35"), ("tdx", "ovmf-inteltdx", "i440fx")):
            (workshop / name).mkdir()
            (workshop / name / "OVMF.fd").symlink_to(part(source))
            recipe.write(FIRMWARE.format(name, machine))
        recipe.write('[[fuki.profile]]\nid = "debug"\ncmdline = "debug"\n')
    fuki("build", "-o", "image.efi")
    return workshop / "image.efi"


def rows(directory: Path, *arguments: object) -> list[dict[str, Any]]:
    document = json.loads(succeed(directory, *COCO, "launch", *arguments, "--json").out)
    assert document["version"] == 1
    return document["launches"]


def test_every_combination_is_a_row_with_its_digest(tmp_path: Path, firmware: Path):
    found = rows(
        tmp_path, firmware, "--technology", "sev-snp", "--vmm", "qemu,ec2", "--vcpus", "1,4", "--vcpus", "2",
        "--vcpu-model", "EPYC-Milan", "--guest-features", "0x1,0x21",
    )  # fmt: skip
    assert len(found) == 2 * 3 * 2
    for row in found:
        launch = (row["vmm"], row["vcpus"], row["cpu-model"], row["guest-features"])
        assert row["digest"] == peer_digest("sev-snp", firmware, *launch)


def test_a_table_shows_each_digest_on_one_line(tmp_path: Path, firmware: Path):
    shown = succeed(tmp_path, *COCO, "launch", firmware, "--vcpu-model", "EPYC-Milan").out
    digest = peer_digest("sev-snp", firmware, "qemu", 1, "EPYC-Milan", 1)
    (line,) = [line for line in shown.splitlines() if digest in line]
    assert line.split()[:5] == ["OVMF.fd", "sev-snp", "qemu", "EPYC-Milan", "1"]
    for name in ("MRTD (single-pass)", "MRTD (two-pass)", "RTMR0 depends"):
        assert name in shown


def test_a_kernel_is_measured_from_its_files(tmp_path: Path, firmware: Path):
    for name in ("kernel", "initrd"):
        (tmp_path / name).write_text(name)
    found = rows(
        tmp_path, firmware, "--technology", "sev-snp", "--vcpu-model", "EPYC", "--kernel", "kernel",
        "--initrd", "initrd", "--cmdline", "ro quiet",
    )  # fmt: skip
    files = (str(tmp_path / "kernel"), str(tmp_path / "initrd"), "ro quiet")
    assert [row["digest"] for row in found] == [peer_digest("sev-snp", firmware, "qemu", 1, "EPYC", 1, *files)]
    assert found[0]["boot"] == "kernel"


def test_an_image_s_firmware_is_launched_under_its_fwids(image: Path, part):
    found = rows(image.parent, image, "--technology", "sev-snp", "--vcpu-model", "EPYC")
    digests = {row["firmware"]: row["digest"] for row in found}
    assert digests == {
        name: peer_digest("sev-snp", part(source), "qemu", 1, "EPYC", 1)
        for name, source in (("both", "ovmf-generic"), ("tdx", "ovmf-inteltdx"))
    }


def test_the_sections_of_each_profile_are_booted_directly(image: Path, workshop: Path, part):
    found = rows(
        workshop, image, "--firmware", "both", "--technology", "sev-snp", "--vcpu-model", "EPYC",
        "--direct-boot", "sections",
    )  # fmt: skip
    for row, cmdline in zip(found, ["root=LABEL=root ro", "debug"], strict=True):
        files = (str(workshop / "vmlinuz"), str(workshop / "initrd.img"), cmdline)
        assert row["digest"] == peer_digest("sev-snp", part("ovmf-generic"), "qemu", 1, "EPYC", 1, *files)
    assert [row["boot"] for row in found] == ["main", "debug"]


def test_a_whole_image_is_booted_directly_as_the_kernel(image: Path, workshop: Path, part):
    found = rows(
        workshop, image, "--firmware", "both", "--technology", "sev-snp", "--vcpu-model", "EPYC",
        "--direct-boot", "image",
    )  # fmt: skip
    assert [row["digest"] for row in found] == [
        peer_digest("sev-snp", part("ovmf-generic"), "qemu", 1, "EPYC", 1, str(image))
    ]


def of_boots(launches: list[dict[str, Any]], firmware: str) -> dict[tuple[str, str], str]:
    return {
        (row["register"], row["boot"]): row["digest"] for row in launches if row["firmware"] == firmware and row["boot"]
    }


def test_runtime_registers_are_those_that_measure_predicts(image: Path):
    found = of_boots(rows(image.parent, image, "--technology", "tdx", "--direct-boot", "image", "--console", ""), "tdx")
    arguments = ("measure", image, "--rtmr", "--direct", "--console", "", "--json")
    view = json.loads(succeed(image.parent, *arguments).out)
    assert found == {
        (register["name"], f"image@{case['profile']}"): register["value"]
        for case in view["predictions"]
        if case["fwid"] == "tdx"
        for register in case["rtmrs"]
    }
    assert set(found) == {(name, f"image@{profile}") for name in ("RTMR1", "RTMR2") for profile in (0, 1)}


def test_the_first_runtime_register_of_an_image_is_that_of_any_kernel_handed_over(image: Path):
    kernel = rows(image.parent, "both/OVMF.fd", "--technology", "tdx", "--kernel", image)
    own = of_boots(rows(image.parent, image, "--technology", "tdx", "--direct-boot", "image"), "both")
    assert own["RTMR1", "image@0"] == next(row["digest"] for row in kernel if row["register"] == "RTMR1")


def test_what_makes_runtime_registers_unknown_is_told(image: Path):
    arguments = (*COCO, "launch", image, "--technology", "tdx", "--firmware", "tdx", "--json")
    notes = [note["message"] for note in json.loads(succeed(image.parent, *arguments).out)["notes"]]
    assert "RTMR1 of disk@0, disk@1 cannot be told: the partition table of the disk is not known" in notes
    assert any(note.startswith("RTMR2 of disk@0, disk@1 cannot be told: ") and "secret" in note for note in notes)
    (image.parent / "disk").write_bytes(bytes(4096))
    known = ("--disk", "disk", "--no-boot-secret", "--console", "")
    document = json.loads(succeed(image.parent, *arguments, *known).out)
    assert {row["boot"] for row in document["launches"]} == {None, "disk@0", "disk@1"}
    assert [note["message"].split()[0] for note in document["notes"]] == ["RTMR0", "RTMR3"]


def test_what_a_firmware_cannot_do_is_told_beside_what_it_can(image: Path):
    document = json.loads(
        succeed(image.parent, *COCO, "launch", image, "--firmware", "tdx", "--direct-boot", "sections", "--json").out
    )
    assert {row["technology"] for row in document["launches"]} == {"tdx"}
    refusals = [note for note in document["notes"] if "kernel hashes" in note["message"]]
    assert {note["technology"] for note in refusals} == {"sev", "sev-es", "sev-snp"}


def test_what_a_platform_has_and_the_firmware_cannot_do_is_told_too(tmp_path: Path, part):
    (tmp_path / "kernel").write_text("kernel")
    arguments = ("--platform", "qemu", "--kernel", "kernel", "--json")
    document = json.loads(succeed(tmp_path, *COCO, "launch", part("ovmf-inteltdx"), *arguments).out)
    assert {row["technology"] for row in document["launches"]} == {"tdx"}
    assert {note["technology"] for note in document["notes"]} == {"sev", "sev-es", "sev-snp", "tdx"}


def test_firmware_of_a_profile_starts_that_profile_or_the_whole_image(workshop: Path, part, fuki):
    (workshop / "ovmf").mkdir()
    (workshop / "ovmf/OVMF.fd").symlink_to(part("ovmf-generic"))
    with (workshop / "fuki.toml").open("a") as recipe:
        recipe.write('[[fuki.profile]]\nid = "debug"\ncmdline = "debug"\n')
        recipe.write('[[fuki.profile.firmware]]\nsource = "directory"\npath = "ovmf"\nplatforms = ["qemu"]\n')
    fuki("build", "-o", "image.efi")
    for mode, boot in (("sections", "debug"), ("image", "image")):
        arguments = ("--technology", "sev-snp", "--vcpu-model", "EPYC", "--direct-boot", mode)
        assert [(row["profile"], row["boot"]) for row in rows(workshop, "image.efi", *arguments)] == [(1, boot)]


def test_a_platform_brings_its_hypervisor_and_numbers_of_vcpus(tmp_path: Path, firmware: Path):
    found = json.loads(
        succeed(tmp_path, *COCO, "--plugin", "aws", "launch", firmware, "--platform", "aws:m6a.*", "--json").out
    )["launches"]
    assert {(row["technology"], row["vmm"]) for row in found} == {("sev-snp", "ec2")}
    assert [row["vcpus"] for row in found] == [2, 4, 8, 16, 32, 48, 64, 96, 128, 192]
    assert found[0]["digest"] == peer_digest("sev-snp", firmware, "ec2", 2, None, 1)


def difference(directory: Path, *arguments: object) -> dict[str, Any]:
    outcome = invoke(directory, *COCO, "launch", "--diff", "--json", "--technology", "sev-snp", *arguments)
    assert outcome.code == 3, outcome.err
    (row,) = json.loads(outcome.out)["differences"]
    return row


def test_the_first_page_that_differs_is_named(tmp_path: Path, firmware: Path):
    data = bytearray(firmware.read_bytes())
    data[0x123456] ^= 1
    data[0x200000] ^= 1
    (tmp_path / "changed.fd").write_bytes(data)
    row = difference(tmp_path, firmware, "changed.fd")
    assert (row["left"]["part"], row["left"]["address"]) == ("firmware", 0xFFC00000 + 0x123000)
    assert row["left"]["content"] != row["right"]["content"]


def test_two_values_of_one_option_are_compared(tmp_path: Path, firmware: Path):
    row = difference(tmp_path, firmware, "--vcpus", "2,3")
    assert (row["left"], row["right"]["part"]) == (None, "vCPU 2")
    outcome = invoke(tmp_path, *COCO, "launch", "--diff", firmware, "--vcpus", "2,3")
    assert "sev: the same" in outcome.out
    assert "+ vCPU 2: VMSA at 0xfffffffff000" in outcome.out


def test_the_same_launch_has_no_difference(tmp_path: Path, firmware: Path):
    shown = succeed(tmp_path, *COCO, "launch", "--diff", firmware, firmware).out
    assert shown.splitlines() == [f"{name}: the same" for name in ("sev", "sev-es", "sev-snp", "tdx")]


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
        (found,) = self.search(tmp_path, firmware, "--expect", digest)["found"]
        assert (found["vmm"], found["vcpus"], found["guest-features"]) == ("gce", 200, 0x201)
        (found,) = self.search(tmp_path, firmware, "--expect", digest, "--vcpus", "100,200", "--vmm", "gce")["found"]
        assert found["change"] == ""

    def test_a_digest_of_32_bytes_is_sev_or_sev_es(self, tmp_path: Path, firmware: Path):
        for technology in ("sev", "sev-es"):
            digest = peer_digest(technology, firmware, "qemu", 7, "EPYC-Rome", 1)
            (found,) = self.search(tmp_path, firmware, "--expect", digest)["found"]
            assert found["technology"] == technology

    def test_a_launch_beyond_the_options_is_near(self, tmp_path: Path, firmware: Path):
        digest = peer_digest("sev-snp", firmware, "qemu", 9, "EPYC-Milan", 1)
        found = self.search(tmp_path, firmware, "--expect", digest, "--vcpus", "4,8", code=3)
        assert found["found"] == []
        assert [row["change"] for row in found["near"]] == ["vCPUs 9 instead of 4 or 8"]
        told = invoke(tmp_path, *COCO, "launch", firmware, "--expect", digest, "--vcpus", "4,8")
        assert "near is MEASUREMENT of sev-snp: OVMF.fd as it is, under qemu, 9 vCPUs" in told.out
        assert "as asked for" in told.err

    def test_values_outside_of_those_that_are_searched_may_be_named(self, tmp_path: Path, firmware: Path):
        digest = peer_digest("sev-snp", firmware, "qemu", 600, "EPYC-Milan", 0x41)
        options = ("--vcpus", "600", "--guest-features", "0x41")
        (found,) = self.search(tmp_path, firmware, "--expect", digest, *options)["found"]
        assert found["vcpus"] == 600

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
        (found,) = self.search(workshop, image, "--expect", digest)["found"]
        assert found["boot"] == "image.efi@1"
        found = self.search(workshop, image, "--expect", digest, "--direct-boot", "none", code=3)
        assert [row["change"].split(";")[0] for row in found["near"]] == ["direct boot image.efi@1 instead of none"]
        found = self.search(workshop, image, "--expect", digest, "--vcpus", "5", "--vmm", "qemu", code=3)
        (change,) = [row["change"] for row in found["near"]]
        assert change.startswith("vCPUs 3 instead of 5; the same up to step ")
        assert "where vCPU 3: VMSA at 0xfffffffff000 is expected, and was measured nothing more" in change

        (workshop / "other").write_bytes(b"another kernel")
        digest = peer_digest("sev-snp", firmware, "qemu", 3, "EPYC", 1, str(workshop / "other"), files[1], "ro")
        given = ("--kernel", "other", "--cmdline", "ro", "--expect", digest)
        (found,) = self.search(workshop, image, *given)["found"]
        assert found["boot"].startswith("kernel of other, initrd of image.efi@")
        assert found["boot"].endswith("command line of other")

    def test_a_wrapped_image_is_searched_bare_too(self, tmp_path: Path, firmware: Path):
        succeed(tmp_path, "firmware", "wrap", firmware, "-o", "wrapped.igvm")
        digest = peer_digest("sev-snp", firmware, "qemu", 16, "EPYC-Genoa", 1)
        (found,) = self.search(tmp_path, "wrapped.igvm", "--expect", digest)["found"]
        assert found["form"] == "taken out of its IGVM file"

        # A wrapped image has one vCPU, with no CPU signature unless one is given.
        digest = peer_digest("sev-snp", firmware, "qemu", 1, None, 1)
        (found,) = self.search(tmp_path, firmware, "--expect", digest)["found"]
        assert (found["form"], found["vmm"]) == ("wrapped as an IGVM file", "qemu")

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
        assert search["register"] == "RTMR2"
        assert search["matches"][0]["case"].startswith("image.efi, profile 1 (debug)")
        assert search["matches"][0]["changes"] == []

    def test_what_none_has_is_told_with_what_was_tried(self, tmp_path: Path, firmware: Path):
        done = invoke(tmp_path, *COCO, "launch", firmware, "--expect", "ab" * 48)
        assert done.code == 3
        for text in ("sev-snp: 57", "vCPUs: 1-512", "a digest alone cannot tell"):
            assert text in done.out
        assert "has this digest" in done.err


@pytest.mark.parametrize(
    ("code", "message", "arguments"),
    [
        (2, "not hexadecimal", ["--expect", "xyz"]),
        (2, "32 or 48 bytes, not 2", ["--expect", "abcd"]),
        (2, "two questions", ["--expect", "ab" * 48, "--diff"]),
        (2, "no plugin predicts 'snp'", ["--technology", "snp", "--expect", "ab" * 48]),
        (2, "no plugin predicts 'snp'", ["--technology", "snp"]),
        (2, "'kvm'", ["--vmm", "kvm"]),
        (2, "no CPU model", ["--vcpu-model", "EPYC-Mailand"]),
        (2, "vCPUs", ["--vcpus", "0"]),
        (2, "numbers", ["--vcpus", "many"]),
        (2, "need --kernel", ["--cmdline", "ro"]),
        (1, "cannot open", ["--kernel", "nowhere"]),
        (2, "only a UKI", ["--direct-boot", "image"]),
        (2, "no platform", ["--platform", "nowhere"]),
        (2, "is not known", ["--platform", "qemu:i440fx"]),
        (2, "own hypervisor", ["--platform", "qemu", "--vmm", "ec2"]),
        (2, "variables-size", ["--svsm", "x"]),
        (2, "cannot open", ["--svsm", "x", "--variables-size", "0"]),
        (2, "two values", ["--diff"]),
        (2, "two values", ["--diff", "--vcpus", "1,2,3"]),
    ],
)
def test_a_mistake_is_one_clear_error(tmp_path: Path, firmware: Path, code: int, message: str, arguments: list[str]):
    outcome = invoke(tmp_path, *COCO, "launch", firmware, *arguments)
    assert (outcome.code, outcome.out) == (code, "")
    assert outcome.err.lower().count("error:") == 1
    assert message in outcome.err


@pytest.mark.parametrize(
    ("name", "message", "arguments"),
    [
        ("ovmf-vars", "not made for any", []),
        ("ovmf-2022-code", "not made for AMD SEV-SNP", ["--technology", "sev-snp"]),
        ("ovmf-2025", "no page for kernel hashes", ["--technology", "sev-snp", "--kernel", "kernel"]),
    ],
)
def test_firmware_that_cannot_is_refused(tmp_path: Path, part, name: str, message: str, arguments: list[str]):
    (tmp_path / "kernel").write_text("kernel")
    assert message in refused(tmp_path, *COCO, "launch", part(name), *arguments, code=1)


def test_without_a_plugin_the_error_names_one(tmp_path: Path, firmware: Path):
    assert "fuki --plugin coco launch" in refused(tmp_path, "launch", firmware)


def test_firmware_is_shown_with_what_it_has_and_lacks(tmp_path: Path, part):
    shown = succeed(tmp_path, "firmware", "show", part("ovmf-inteltdx")).out
    for text in ("SEV metadata", "BFV (measured) 0xffc84000", "kernel-hashes page: a kernel", "FFS 2"):
        assert text in shown


def test_firmware_is_shown_as_json(tmp_path: Path, firmware: Path):
    (view,) = json.loads(succeed(tmp_path, "firmware", "show", firmware, "--json").out)["firmware"]
    assert (view["kind"], view["sha256"]) == ("OVMF", sha256(firmware.read_bytes()).hexdigest())
    assert [row["kind"] for row in view["tdx"][:2]] == ["BFV", "CFV"]
    assert [(lack["technology"], "Secure Boot keys" in lack["message"]) for lack in view["missing"]] == [("IGVM", True)]


def test_what_firmware_lacks_for_an_igvm_file_is_shown(tmp_path: Path, part):
    (view,) = json.loads(succeed(tmp_path, "firmware", "show", part("ovmf-secboot"), "--json").out)["firmware"]
    assert ["SMM" in lack["message"] for lack in view["missing"]] == [True]


def test_the_firmware_of_an_image_is_shown(image: Path):
    shown = succeed(image.parent, "firmware", "show", image).out
    assert shown.count("Table") == 2
    assert refused(image.parent, "firmware", "show", image, "--firmware", "nope").count("both, tdx") == 1


def test_an_igvm_file_is_shown(tmp_path: Path):
    from fuki_build.testing import igvm

    headers = [igvm.platform(1, igvm.SEV_SNP), igvm.page(0x1000, 0), igvm.page(0x2000, 0)]
    (tmp_path / "guest.igvm").write_bytes(igvm.build(headers))
    shown = succeed(tmp_path, "firmware", "show", "guest.igvm").out
    assert "IGVM version 1 for X64" in shown
    assert "2 PageData" in shown
    assert "Intel TDX: the file does not support this platform" in shown


@pytest.mark.parametrize("data", [b"", b"IGVM" + bytes(60), bytes(4096), b"\xff" * 100])
def test_what_is_no_firmware_is_shown_as_unknown_or_broken(tmp_path: Path, data: bytes):
    (tmp_path / "file").write_bytes(data)
    shown = succeed(tmp_path, "firmware", "show", "file").out
    assert "unknown" in shown or "flaw:" in shown


def test_a_huge_file_is_refused_without_being_read(tmp_path: Path):
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    assert "more than" in refused(tmp_path, "firmware", "show", "huge", code=1)
