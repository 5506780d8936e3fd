"""`fuki launch`: the digests of all combinations that are asked for, and how two differ."""

import json
from pathlib import Path
from typing import Any

from fuki_build.testing import invoke, succeed
from fuki_build.testing.launch import peer_digest
from tests.support.launches import COCO, rows


def test_every_combination_is_a_row_with_its_digest(tmp_path: Path, firmware: Path):
    launches = rows(
        tmp_path, firmware, "--technology", "sev-snp", "--vmm", "qemu,ec2", "--vcpus", "1,4", "--vcpus", "2",
        "--vcpu-model", "EPYC-Milan", "--guest-features", "0x1,0x21",
    )  # fmt: skip
    assert len(launches) == 2 * 3 * 2
    for row in launches:
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
    launches = rows(
        tmp_path, firmware, "--technology", "sev-snp", "--vcpu-model", "EPYC", "--kernel", "kernel",
        "--initrd", "initrd", "--cmdline", "ro quiet",
    )  # fmt: skip
    files = (str(tmp_path / "kernel"), str(tmp_path / "initrd"), "ro quiet")
    assert [row["digest"] for row in launches] == [peer_digest("sev-snp", firmware, "qemu", 1, "EPYC", 1, *files)]
    assert launches[0]["boot"] == "kernel"


def test_an_image_s_firmware_is_launched_under_its_fwids(image: Path, part):
    launches = rows(image.parent, image, "--technology", "sev-snp", "--vcpu-model", "EPYC")
    digests = {row["firmware"]: row["digest"] for row in launches}
    assert digests == {
        name: peer_digest("sev-snp", part(source), "qemu", 1, "EPYC", 1)
        for name, source in (("both", "ovmf-generic"), ("tdx", "ovmf-inteltdx"))
    }


def test_the_sections_of_each_profile_are_booted_directly(image: Path, workshop: Path, part):
    launches = rows(
        workshop, image, "--firmware", "both", "--technology", "sev-snp", "--vcpu-model", "EPYC",
        "--direct-boot", "sections",
    )  # fmt: skip
    for row, cmdline in zip(launches, ["root=LABEL=root ro", "debug"], strict=True):
        files = (str(workshop / "vmlinuz"), str(workshop / "initrd.img"), cmdline)
        assert row["digest"] == peer_digest("sev-snp", part("ovmf-generic"), "qemu", 1, "EPYC", 1, *files)
    assert [row["boot"] for row in launches] == ["main", "debug"]


def test_a_whole_image_is_booted_directly_as_the_kernel(image: Path, workshop: Path, part):
    launches = rows(
        workshop, image, "--firmware", "both", "--technology", "sev-snp", "--vcpu-model", "EPYC",
        "--direct-boot", "image",
    )  # fmt: skip
    assert [row["digest"] for row in launches] == [
        peer_digest("sev-snp", part("ovmf-generic"), "qemu", 1, "EPYC", 1, str(image))
    ]


def of_boots(launches: list[dict[str, Any]], firmware: str) -> dict[tuple[str, str], str]:
    return {
        (row["register"], row["boot"]): row["digest"] for row in launches if row["firmware"] == firmware and row["boot"]
    }


def test_runtime_registers_are_those_that_measure_predicts(image: Path):
    launches = of_boots(
        rows(image.parent, image, "--technology", "tdx", "--direct-boot", "image", "--console", ""), "tdx"
    )
    arguments = ("measure", image, "--rtmr", "--direct", "--console", "", "--json")
    view = json.loads(succeed(image.parent, *arguments).out)
    assert launches == {
        (register["name"], f"image@{case['profile']}"): register["value"]
        for case in view["predictions"]
        if case["fwid"] == "tdx"
        for register in case["rtmrs"]
    }
    assert set(launches) == {(name, f"image@{profile}") for name in ("RTMR1", "RTMR2") for profile in (0, 1)}


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
    launches = json.loads(
        succeed(tmp_path, *COCO, "--plugin", "aws", "launch", firmware, "--platform", "aws:m6a.*", "--json").out
    )["launches"]
    assert {(row["technology"], row["vmm"]) for row in launches} == {("sev-snp", "ec2")}
    assert [row["vcpus"] for row in launches] == [2, 4, 8, 16, 32, 48, 64, 96, 128, 192]
    assert launches[0]["digest"] == peer_digest("sev-snp", firmware, "ec2", 2, None, 1)


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
