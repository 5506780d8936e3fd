"""What the page that compares says of neighbours that other tests do not run, and from where it knows each line."""

import re
import subprocess
import sys
from importlib.metadata import distribution, requires
from pathlib import Path

import parts
import pytest

import fuki_build
from fuki_build.testing import succeed
from tests.conftest import RECIPE
from tests.docs.pages import CHECKOUT

PAGE = CHECKOUT / "docs/explanation/comparisons.md"
ROWS = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and "known from" not in line]


@pytest.mark.parametrize("row", ROWS)
def test_every_line_says_where_it_is_known_from(row):
    links = re.findall(r"\]\(([^)]+)\)", row.rsplit("|", 2)[1])
    assert links
    for link in links:
        assert link.startswith("https://") or (PAGE.parent / link).exists()


def test_every_neighbour_has_its_lines():
    tools = re.findall(r"(?m)^## (.+)$", PAGE.read_text())
    assert tools == ["ukify", "mkosi", "sbctl", "virt-firmware", "sev-snp-measure", "stubble"]
    assert all("| known from |" in part for part in PAGE.read_text().split("\n## ")[1:])


def test_stubble_and_systemd_stub_look_for_the_same_tables_and_one_has_a_list_of_machines_besides():
    stubble, stub = parts.get("stubble").read_bytes(), parts.get("stub-x64").read_bytes()
    assert all(name in content for name in (b".hwids\0", b".dtbauto\0") for content in (stubble, stub))
    assert b".machdb\0" in stubble
    assert b".machdb\0" not in stub


def test_an_image_with_stubble_is_built_with_a_warning(workshop: Path):
    (workshop / "stub").unlink(missing_ok=True)
    (workshop / "stub").write_bytes(parts.get("stubble").read_bytes())
    (workshop / "fuki.toml").write_text(RECIPE + '[[fuki.output]]\nformat = "uki"\npath = "a.efi"\n')
    done = succeed(workshop, "build")
    assert "[stub-unknown]" in done.err
    layout = fuki_build.inspect(workshop / "a.efi")
    assert layout.stub is None
    assert [section.name for section in layout.sections if section.name == ".linux"] == [".linux"]


def help_of(program: str) -> str:
    command = [str(Path(sys.executable).parent / program), "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_sev_snp_measure_has_no_mode_for_tdx_and_takes_one_firmware():
    (modes,) = set(re.findall(r"--mode\s+\{([^}]+)\}", help_of("sev-snp-measure")))
    assert set(modes.split(",")) == {"sev", "seves", "snp", "snp:ovmf-hash", "snp:svsm"}
    assert "--ovmf PATH" in " ".join(help_of("sev-snp-measure").split())


def test_sev_snp_measure_asks_for_one_package():
    assert [re.split("[<>=]", requirement)[0] for requirement in requires("sev-snp-measure") or ()] == ["cryptography"]


def test_virt_firmware_has_a_program_for_addons_and_none_for_ukis():
    programs = {point.name for point in distribution("virt-firmware").entry_points}
    assert {"virt-fw-vars", "virt-fw-sigdb", "uki-addons"} <= programs
    assert [name for name in programs if "uki" in name] == ["uki-addons"]
