"""Images whose own firmware is started: the whole cycle on a model of QEMU's vm-launch-update."""

from pathlib import Path

import parts
import pytest

from tests.boot.conftest import Bench
from tests.support.bootable import CLOUD_PLUGINS, CLOUDS, build
from tests.support.command import succeed

PLUGINS = (*CLOUD_PLUGINS, "hand-over")
HOST = ("--host", "vm-launch-update", "--firmware", parts.get("ovmf-2025"))
"""A host whose own firmware is a build of another year than any that an image brings."""
THE_HOSTS = "the host's"
BUILDS = {"aws": "ovmf-generic", "gcp": "ovmf-amdsev"}


def wrapped(directory: Path, part: str) -> Path:
    path = directory / f"{part}.igvm"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        succeed(directory, "firmware", "wrap", parts.get(part), "-o", path, "--platform", "native")
    return path


def firmware(fwid: str, path: Path, platform: str) -> str:
    return f'[[fuki.firmware]]\nsource = "file"\nid = "{fwid}"\npath = "{path}"\nplatforms = ["{platform}"]\n'


def hand_over(more: str = "") -> str:
    return f'[fuki.hand-over]\ninterface = "vm-launch-update"\n{more}\n'


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("hand-over")
    text = hand_over()
    for fwid, part in BUILDS.items():
        text += firmware(fwid, wrapped(directory, part), CLOUDS[fwid])
    return build(directory / "image", text, plugins=PLUGINS)


@pytest.mark.parametrize("fwid", BUILDS)
def test_each_cloud_gets_its_own_firmware_running(fwid: str, bench: Bench, image: Path) -> None:
    booted = bench.boot(image, *HOST, "--as", CLOUDS[fwid], scenario=f"handed over as {fwid}", plugins=PLUGINS)
    assert [start["firmware"] for start in booted.document["starts"]] == [THE_HOSTS, fwid]
    assert booted.document["hand-over"] == "handed-over"
