from collections.abc import Callable
from pathlib import Path

import pytest

from fuki_build.formats.reader import Reader
from fuki_build.formats.uefi import volumes

Part = Callable[[str], Path]


@pytest.mark.parametrize("name", ["ovmf-generic", "ovmf-inteltdx", "ovmf-2025"])
def test_the_volumes_of_ovmf_fill_the_file(part: Part, name: str):
    """OvmfPkg/OvmfPkgDefines.fdf.inc: variables, then DXE, then SEC, without gaps."""
    data = part(name).read_bytes()
    parts = list(volumes.volumes(Reader.of(data)))
    assert [volume.name for volume in parts] == ["variables", "FFS 2", "FFS 2"]
    ends = [volume.offset + volume.size for volume in parts]
    assert [volume.offset for volume in parts] == [0, *ends[:-1]]
    assert ends[-1] == len(data)


def test_a_volume_that_claims_more_than_the_image_is_skipped(part: Part):
    data = part("ovmf-generic").read_bytes()[: 0x84000 + 0x10000]
    assert [volume.name for volume in volumes.volumes(Reader.of(data))] == ["variables"]


@pytest.mark.parametrize("data", [b"", bytes(40), bytes(8192), b"\xff" * 8192])
def test_other_data_have_none(data: bytes):
    assert list(volumes.volumes(Reader.of(data))) == []
