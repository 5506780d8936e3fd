"""A guest boots an image whose large files begin at whole blocks, and firmware and stub measure it as predicted."""

import json
from pathlib import Path

import parts
import pytest

from fuki_build.testing import succeed
from tests.support import guests
from tests.support.bootable import build
from tests.support.rich import sections


def test_firmware_and_stub_measure_such_an_image_as_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    probe = {"init": guests.INIT, "bin/busybox": parts.get("busybox").read_bytes()}
    build(tmp_path / "uki", kernel=True, initrd=probe)
    recipe = tmp_path / "uki" / "fuki.toml"
    recipe.write_text(recipe.read_text().replace("[fuki.image]\n", "[fuki.image]\nshare-blocks = true\n"))
    succeed(recipe.parent, "build", "-o", "sharing.efi")
    uki = recipe.parent / "sharing.efi"
    before = next(row for row in sections(uki) if row[0] == ".uname")
    assert before[4] > 512

    measured = guests.boot(tmp_path, "-bios", parts.get("ovmf-generic"), *guests.disk(tmp_path / "disk", uki))

    outcome = succeed(uki.parent, "measure", uki, "--json", "--pcr", 4, "--pcr", 11)
    (case,) = json.loads(outcome.out)["predictions"]
    values = {row["pcr"]: row["values"]["sha256"] for row in case["registers"] if row["phase"] is None}
    assert values == {pcr: measured.registers["sha256", pcr].hex() for pcr in (4, 11)}
