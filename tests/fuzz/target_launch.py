"""Every launch model on firmware whose metadata may say anything: small launches, or a refusal."""

import zlib
from collections.abc import Iterator
from contextlib import suppress
from struct import pack_into

from fuki_coco.sev import Sev, SevEs
from fuki_coco.snp import SevSnp
from fuki_coco.tdx import Tdx

from fuki_build.errors import FukiError
from fuki_build.hooks import LaunchParameters
from fuki_build.image.firmware_view import view_firmware

from . import target_igvm
from .helper import tail

MODELS = (Sev(), SevEs(), SevSnp(), Tdx())
PARAMETERS = LaunchParameters(vmms=("qemu", "ec2", "hyperv"), vcpus=(1, 3), cpu_models=("EPYC",))


def seeds() -> Iterator[bytes]:
    for build in ("ovmf-generic", "ovmf-inteltdx", "ovmf-2025"):
        yield tail(build, 4096)
    yield from target_igvm.seeds()


def run(data: bytes) -> None:
    if data[:4] == b"IGVM" and len(data) > 24:
        data = _with_checksum(data)
    assert view_firmware("firmware", data).size == len(data)
    for model in MODELS:
        with suppress(FukiError):
            prediction = model.predict(data, PARAMETERS)
            assert prediction is None or all(len(digest.digest) in (64, 96) for digest in prediction.digests)
            for size in (32, 48):
                search = model.search(data, PARAMETERS, b"\1" * size)
                assert search is None or not search.found


def _with_checksum(data: bytes) -> bytes:
    """An IGVM file whose checksum is right, so that what is behind it is reached."""
    file = bytearray(data)
    start, size = int.from_bytes(data[8:12], "little"), int.from_bytes(data[12:16], "little")
    file[20:24] = bytes(4)
    pack_into("<I", file, 20, zlib.crc32(file[: start + size]))
    return bytes(file)
