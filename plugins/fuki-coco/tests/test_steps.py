"""What is told step by step, put together by the specifications, is the digest that is told."""

from collections.abc import Iterable
from hashlib import sha384
from itertools import islice
from struct import pack

import parts
import pytest
from fuki_build.errors import FormatError
from fuki_build.hooks import LaunchModel, LaunchParameters, LaunchStep
from fuki_build.testing import igvm as written

from fuki_coco import mrtd, snp_digest
from fuki_coco.sev import Sev, SevEs
from fuki_coco.snp import SevSnp
from fuki_coco.tdx import Tdx

KINDS = {"NORMAL": 1, "VMSA": 2, "ZERO": 3, "UNMEASURED": 4, "SECRETS": 5, "CPUID": 6}
"""PAGE_TYPE of SNP_LAUNCH_UPDATE (AMD 56860, 8.17)."""


def launch_digest(steps: Iterable[LaunchStep]) -> str:
    """By PAGE_INFO: the digest before, the page's contents, its size, type and address."""
    digest = bytes(48)
    for step in steps:
        contents = bytes.fromhex(step.content) if step.content else bytes(48)
        digest = sha384(digest + contents + pack("<HBB4xQ", 0x70, KINDS[step.kind], 0, step.address)).digest()
    return digest.hex()


@pytest.mark.parametrize("vmm", ["qemu", "ec2", "gce"])
@pytest.mark.parametrize("vcpus", [1, 3])
def test_the_steps_of_snp_are_a_chain_that_ends_in_the_digest(vmm: str, vcpus: int):
    parameters = LaunchParameters(vmms=(vmm,), vcpus=(vcpus,), cpu_models=("EPYC-Milan",), guest_features=(0x21,))
    firmware = parts.get("ovmf-generic").read_bytes()
    prediction = SevSnp().predict(firmware, parameters)
    assert prediction is not None
    steps = list(SevSnp().steps(firmware, parameters))
    assert [launch_digest(steps)] == [digest.digest for digest in prediction.digests]
    assert [step.part for step in steps if step.kind == "VMSA"] == [f"vCPU {number}" for number in range(vcpus)]
    assert {bool(step.content) for step in steps if step.kind in ("NORMAL", "VMSA")} == {True}
    assert {step.content for step in steps if step.kind not in ("NORMAL", "VMSA")} == {""}


@pytest.mark.parametrize("vmm", ["qemu", "hyperv"])
def test_the_steps_of_an_igvm_file_are_those_of_its_hypervisor(vmm: str):
    headers = [written.platform(1, written.SEV_SNP), written.page(0x1000, 0), written.context(0xFFFFFFFFF000, 0)]
    headers[2] = written.context(0xFFFFFFFFF000, written.data_offset(headers))
    file = written.build(headers, b"\1" * 4096)
    parameters = LaunchParameters(vmms=(vmm,))
    prediction = SevSnp().predict(file, parameters)
    assert prediction is not None
    assert [launch_digest(SevSnp().steps(file, parameters))] == [digest.digest for digest in prediction.digests]


def test_the_steps_of_tdx_are_the_pages_that_are_added_one_after_the_other():
    """TDH.MEM.PAGE.ADD, and for what is measured TDH.MR.EXTEND of each 256 bytes: of one page at once, in one pass."""
    firmware = parts.get("ovmf-inteltdx").read_bytes()
    pages = {
        sha384(firmware[at : at + 4096]).hexdigest(): firmware[at : at + 4096] for at in range(0, len(firmware), 4096)
    }

    stream = sha384()
    for step in Tdx().steps(firmware, LaunchParameters()):
        stream.update(pack("<16sQ104x", b"MEM.PAGE.ADD", step.address))
        assert step.kind == ("extended" if step.content else "added")
        for at in range(0, 4096, 256) if step.content else ():
            chunk = pages[step.content][at : at + 256]
            stream.update(pack("<16sQ104x", b"MR.EXTEND", step.address + at) + chunk)

    prediction = Tdx().predict(firmware, LaunchParameters(vmms=("gce",)))
    assert prediction is not None
    assert stream.hexdigest() == prediction.digests[0].digest


@pytest.mark.parametrize(
    ("model", "message"), [(SevSnp(), "not made for SEV-SNP"), (SevEs(), "not made for SEV-ES")], ids=["snp", "es"]
)
def test_firmware_that_a_technology_cannot_launch_has_no_steps(model: LaunchModel, message: str):
    for other in (bytes(4096), parts.get("ovmf-2022-code").read_bytes() if model.name == "sev-snp" else bytes(8192)):
        with pytest.raises(FormatError, match=message):
            list(model.steps(other, LaunchParameters()))


def test_the_steps_of_sev_are_the_firmwares_pages():
    firmware = parts.get("ovmf-generic").read_bytes()
    steps = list(Sev().steps(firmware, LaunchParameters()))
    assert [step.address for step in steps] == list(range((1 << 32) - len(firmware), 1 << 32, 4096))
    assert {step.part for step in steps} == {"firmware"}


def test_a_page_that_is_added_again_and_again_is_the_chain_by_the_abi():
    page = snp_digest.page_of("vCPU", snp_digest.SnpPageType.VMSA, 0xFFFFFFFFF000, b"\1" * 4096)
    digest, expected = b"\2" * 48, []
    for _ in range(3):
        info = pack("<HBB4xQ", 0x70, 2, 0, 0xFFFFFFFFF000)
        digest = sha384(digest + sha384(b"\1" * 4096).digest() + info).digest()
        expected.append(digest)
    assert list(islice(snp_digest.repeated(b"\2" * 48, page), 3)) == expected
    assert snp_digest.trail(b"\2" * 48, [page, page]) == [b"\2" * 48, *expected[:2]]


@pytest.mark.parametrize("order", list(mrtd.Order))
def test_a_guest_that_got_no_more_is_told_by_its_last_page(order: mrtd.Order):
    sections = [mrtd.TdxMemory("one", 0x1000, 0x2000, b"\1" * 0x2000), mrtd.TdxMemory("two", 0x8000, 0x1000, None)]
    assert mrtd.cut(sections, order, mrtd.mrtd(sections[:1], order)) == ("one", 0x2000)
    assert mrtd.cut(sections, order, mrtd.mrtd(sections, order)) == ("two", 0x8000)
    assert mrtd.cut(sections, order, bytes(48)) is None
    # An order's own: in two passes all pages are added before the content of the first.
    first = sha384(b"".join(pack("<16sQ104x", b"MEM.PAGE.ADD", at) for at in (0x1000, 0x2000))).digest()
    assert mrtd.cut(sections, order, first) == (("one", 0x2000) if order is mrtd.Order.TWO_PASS else None)
