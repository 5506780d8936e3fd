"""Options of `fuki launch` that mean nothing, and firmware that cannot be launched so."""

from pathlib import Path

import pytest

from fuki_build.testing import invoke, refused
from tests.support.launches import COCO


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
