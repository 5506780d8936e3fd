"""An SVSM beside the firmware. Debian has none, so one is made: its table is what the digest depends on."""

import json
from hashlib import sha384
from struct import pack
from typing import Any

import parts
import pytest
from fuki_build.errors import FormatError, RecipeError
from fuki_build.formats.confidential import ovmf
from fuki_build.hooks import DirectBoot, LaunchParameters, Svsm
from fuki_build.testing import succeed
from sevsnpmeasure import guest, vmsa
from sevsnpmeasure.sev_mode import SevMode
from sevsnpmeasure.vcpu_types import CPU_SIGS

from fuki_coco.snp import SevSnp

VARIABLES = 0x84000


def svsm_image() -> bytes:
    sections = [(0x100000, 0x3000, 1), (0x103000, 0x1000, 2), (0x104000, 0x1000, 3), (0x105000, 0x1000, 4)]
    metadata = pack("<4sIII", b"ASEV", 16 + 12 * len(sections), 1, len(sections))
    metadata += b"".join(pack("<III", *section) for section in sections)

    def entry(guid: Any, data: bytes) -> bytes:
        return data + pack("<H", len(data) + 18) + guid.bytes_le

    table = entry(ovmf.SEV_METADATA, pack("<I", 0x1000)) + entry(ovmf.SVSM_INFO, pack("<I", 0x20))
    tail = table + pack("<H", len(table) + 18) + ovmf.FOOTER.bytes_le + bytes(32)
    return b"\x90" * 0x3000 + metadata.ljust(0x1000 - len(tail), b"\0") + tail


@pytest.fixture
def launch(tmp_path):
    """Our digests, and the peer's, of the same launch."""
    image = svsm_image()
    (tmp_path / "svsm").write_bytes(image)
    firmware = parts.get("ovmf-generic")
    parameters = LaunchParameters(vcpus=(1, 4), cpu_models=("EPYC-Milan",), svsm=Svsm(image, VARIABLES))
    ours = SevSnp().predict(firmware.read_bytes(), parameters)
    assert ours is not None

    def peer(vcpus: int) -> str:
        return guest.calc_launch_digest(
            SevMode.SEV_SNP_SVSM, vcpus, CPU_SIGS["EPYC-Milan"], str(firmware), "", "", "", 1,
            svsm_file=str(tmp_path / "svsm"), ovmf_vars_size=VARIABLES,
        ).hex()  # fmt: skip

    return {digest.vcpus: digest for digest in ours.digests}, peer


def test_the_peer_leaves_the_x87_control_word_at_zero_and_so_has_another_digest(launch):
    ours, peer = launch
    assert ours[1].variant == "svsm"
    assert ours[1].digest != peer(1)


def test_with_qemu_s_control_word_the_peer_has_our_digest(launch, monkeypatch: pytest.MonkeyPatch):
    class Mended(vmsa.SevEsSaveArea):
        def __init__(self, *values: Any, fcw: int = 0, **named: Any) -> None:
            super().__init__(*values, **named, x87_fcw=fcw)

    monkeypatch.setattr(vmsa, "SevEsSaveArea", Mended)
    ours, peer = launch
    assert {count: digest.digest for count, digest in ours.items()} == {count: peer(count) for count in (1, 4)}


def test_an_image_without_svsm_info_is_refused():
    firmware = parts.get("ovmf-generic").read_bytes()
    with pytest.raises(FormatError, match="no SVSM"):
        SevSnp().predict(firmware, LaunchParameters(svsm=Svsm(firmware, 0)))


def test_an_svsm_below_the_bottom_of_memory_is_refused():
    with pytest.raises(FormatError, match="fit"):
        SevSnp().predict(
            parts.get("ovmf-generic").read_bytes(), LaunchParameters(svsm=Svsm(svsm_image(), (1 << 32) - 0x400000))
        )


@pytest.mark.parametrize(
    "changed", [{"vmms": ("ec2",)}, {"boots": (DirectBoot(name="x", kernel=b"", initrd=b"", cmdline=b""),)}]
)
def test_what_an_svsm_cannot_do_is_refused(changed: dict[str, Any]):
    parameters = LaunchParameters(svsm=Svsm(svsm_image(), VARIABLES), **changed)
    with pytest.raises(RecipeError):
        SevSnp().predict(parts.get("ovmf-generic").read_bytes(), parameters)


def test_the_steps_of_an_svsm_are_those_of_its_digest():
    parameters = LaunchParameters(vcpus=(2,), cpu_models=("EPYC-Milan",), svsm=Svsm(svsm_image(), VARIABLES))
    firmware = parts.get("ovmf-generic").read_bytes()
    steps = list(SevSnp().steps(firmware, parameters))

    # PAGE_INFO of AMD's ABI (56860, 8.17).
    kinds = {"NORMAL": 1, "VMSA": 2, "ZERO": 3, "SECRETS": 5, "CPUID": 6}
    digest = bytes(48)
    for step in steps:
        contents = bytes.fromhex(step.content) if step.content else bytes(48)
        digest = sha384(digest + contents + pack("<HBB4xQ", 0x70, kinds[step.kind], 0, step.address)).digest()
    prediction = SevSnp().predict(firmware, parameters)
    assert prediction is not None
    assert [row.digest for row in prediction.digests] == [digest.hex()]

    assert list(dict.fromkeys(step.part for step in steps)) == [
        "firmware", "svsm", "SEV metadata, SEC_MEM", "SEV metadata, SECRETS", "SEV metadata, CPUID",
        "SEV metadata, SVSM_CAA", "vCPU 0", "vCPU 1",
    ]  # fmt: skip


def test_a_launch_in_an_svsm_is_found_among_those_without(launch, tmp_path):
    ours, _ = launch
    firmware = parts.get("ovmf-generic")
    svsm = ("--svsm", tmp_path / "svsm", "--variables-size", VARIABLES)
    arguments = ("--plugin", "coco", "launch", firmware, *svsm, "--expect", ours[4].digest, "--json")
    (found,) = json.loads(succeed(tmp_path, *arguments).out)["search"]["found"]
    assert (found["variant"], found["vcpus"], found["cpu-model"]) == ("svsm", 4, "EPYC-Milan")
