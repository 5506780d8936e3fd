"""The program that writes instance-types.toml, on a wheel with a small model."""

import gzip
import json
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

TOOL = Path(__file__).parents[1] / "tools" / "instance_types.py"
SEV_SNP = "<p>Whether to enable it. AMD SEV-SNP is supported with M6a, R6a, and C6a instance types only.</p>"


def make_wheel(directory: Path, names: list[str], documentation: str = SEV_SNP) -> Path:
    model = {
        "metadata": {"apiVersion": "2016-11-15"},
        "shapes": {
            "InstanceType": {"enum": names},
            "CpuOptionsRequest": {"members": {"AmdSevSnp": {"documentation": documentation}}},
        },
    }

    path = directory / "botocore-1.2.3-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        member = zipfile.ZipInfo("botocore/data/ec2/2016-11-15/service-2.json.gz", (2026, 5, 4, 3, 2, 0))
        archive.writestr(member, gzip.compress(json.dumps(model).encode()))
        archive.writestr("botocore-1.2.3.dist-info/METADATA", "Version: 1.2.3\n")

    return path


def run(wheel: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOOL), str(wheel), str(wheel.parent / "table.toml")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def table(wheel: Path) -> dict[str, object]:
    done = run(wheel)
    assert done.returncode == 0, done.stderr
    return tomllib.loads((wheel.parent / "table.toml").read_text())


def test_instance_types_are_gathered_by_family(tmp_path: Path):
    types = table(make_wheel(tmp_path, ["m6a.xlarge", "c7i-flex.large", "m6a.metal"]))
    assert types["sizes"] == {"c7i-flex": "large", "m6a": "xlarge metal"}


def test_what_is_not_on_nitro_is_left_out(tmp_path: Path):
    types = table(make_wheel(tmp_path, ["t2.micro", "i3.large", "i3.metal", "mac2.metal", "mac-m4.metal", "t3.micro"]))
    assert types["sizes"] == {"i3": "metal", "t3": "micro"}


def test_the_table_tells_its_source_and_date(tmp_path: Path):
    types = table(make_wheel(tmp_path, ["t3.micro"]))
    assert types["source"] == "botocore 1.2.3, EC2 API 2016-11-15, InstanceType"
    assert str(types["date"]) == "2026-05-04"


def test_families_with_sev_snp_are_those_that_the_model_documents(tmp_path: Path):
    text = "AMD SEV-SNP is supported with M6a, C8a-flex, and R6a instance types only."
    assert table(make_wheel(tmp_path, ["m6a.large"], text))["sev-snp"] == ["c8a-flex", "m6a", "r6a"]


def test_a_model_that_no_longer_says_which_families_have_sev_snp_is_refused(tmp_path: Path):
    done = run(make_wheel(tmp_path, ["m6a.large"], "Whether to enable it."))
    assert done.returncode != 0
    assert "Whether to enable it." in done.stderr
    assert not (tmp_path / "table.toml").exists()
