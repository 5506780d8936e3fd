"""Images that ukify makes measure what fuki predicts of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fuki_qemu import PROBE

from tests.support.bootable import CLOUD_PLUGINS, CMDLINE

GCP = "fa23da35-436a-5d5d-add2-bd549606b553"
"""The type 9 id of Google Compute Engine."""


@pytest.fixture
def ukify(part, tmp_path):
    def run(stub: str, *arguments: object) -> Path:
        image = tmp_path / "ukify.efi"
        (tmp_path / "initrd").write_bytes(b"070701 and no more")
        command = [sys.executable, part("ukify"), "build", f"--stub={part(stub)}", f"--linux={PROBE}", "--uname=6.12"]
        command += [f"--initrd={tmp_path / 'initrd'}", f"--cmdline={CMDLINE}", "--os-release=ID=ukify"]
        subprocess.run([*map(str, command), *map(str, arguments), f"--output={image}"], check=True, capture_output=True)
        return image

    return run


def test_a_plain_image(bench, ukify):
    bench.boot(ukify("stub-x64"), scenario="ukify, plain image")


@pytest.mark.parametrize("platform", ["gcp", "azure"])
def test_an_image_with_firmware_for_one_cloud(platform, bench, ukify, tmp_path, part):
    (tmp_path / "gce").mkdir()
    (tmp_path / "gce" / "OVMF.fd").symlink_to(part("ovmf-generic"))
    (tmp_path / "hwids").mkdir()
    device = {"type": "uefi-fw", "name": "gce", "fwid": "gce", "hwids": [GCP]}
    (tmp_path / "hwids" / "gce.json").write_text(json.dumps(device))
    image = ukify("stub-x64", f"--efifw={tmp_path / 'gce'}", f"--hwids={tmp_path / 'hwids'}")
    booted = bench.boot(image, "--as", platform, scenario=f"ukify, with firmware, as {platform}", plugins=CLOUD_PLUGINS)
    assert booted.document["fwid"] == ("gce" if platform == "gcp" else None)
