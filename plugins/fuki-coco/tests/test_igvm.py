"""SEV-SNP digests of IGVM files. The same pages, put into an IGVM file, must have sev-snp-measure's digest."""

from hashlib import sha384
from struct import pack

import parts
import pytest
from fuki_build.errors import FormatError
from fuki_build.formats.confidential import ovmf
from fuki_build.formats.confidential.ovmf import SevKind
from fuki_build.formats.reader import Reader
from fuki_build.hooks import LaunchParameters, LaunchPrediction
from fuki_build.testing import igvm as written
from fuki_build.testing.launch import peer_digest
from sevsnpmeasure.sev_mode import SevMode
from sevsnpmeasure.vcpu_types import CPU_SIGS
from sevsnpmeasure.vmsa import VMSA

from fuki_coco.snp import SevSnp

VMSA_ADDRESS = 0xFFFFFFFFF000
SECRETS, CPUID = 1, 2


def predict(file: bytes, *vmms: str) -> LaunchPrediction:
    prediction = SevSnp().predict(file, LaunchParameters(vmms=vmms or ("qemu", "hyperv")))
    assert prediction is not None
    return prediction


def as_igvm(build: str, model: str) -> bytes:
    """What QEMU would launch of this firmware with one vCPU, as an IGVM file."""
    firmware = parts.get(build).read_bytes()
    table = ovmf.decode(Reader.of(firmware))
    assert table is not None
    assert table.sev is not None
    (registers,) = VMSA(SevMode.SEV_SNP, 0x80B004, CPU_SIGS[model], 1).pages(1)
    kinds: dict[int, int] = {SevKind.SECRETS: SECRETS, SevKind.CPUID: CPUID}
    start = (1 << 32) - len(firmware)

    def headers(base: int) -> list[written.Header]:
        pages = [written.page(start + at, base + at) for at in range(0, len(firmware), 4096)]
        for section in table.sev or ():
            kind = kinds.get(section.kind, 0)
            pages += [written.page(section.address + at, 0, kind=kind) for at in range(0, section.size, 4096)]
        end = written.context(VMSA_ADDRESS, base + len(firmware))
        return [written.platform(1, written.SEV_SNP), written.policy(1), *pages, end]

    return written.build(headers(written.data_offset(headers(0))), firmware + registers)


@pytest.mark.parametrize("build", ["ovmf-generic", "ovmf-inteltdx", "ovmf-2025"])
def test_kvm_measures_the_pages_of_firmware_as_without_an_igvm_file(build: str):
    (digest,) = predict(as_igvm(build, "EPYC-Milan"), "qemu").digests
    assert (digest.vmm, digest.variant, digest.vcpus) == ("qemu", "igvm", None)
    assert digest.digest == peer_digest("sev-snp", parts.get(build), "qemu", 1, "EPYC-Milan", 1)


def chain(*pages: tuple[int, int, bytes]) -> str:
    """A digest by the ABI's PAGE_INFO, written out."""
    digest = bytes(48)
    for kind, gpa, content in pages:
        contents = sha384(content).digest() if kind in (1, 2) else bytes(48)
        digest = sha384(digest + contents + pack("<HBB4xQ", 0x70, kind, 0, gpa)).digest()
    return digest.hex()


def test_an_empty_page_is_zeros_under_hyper_v_and_a_zero_page_under_kvm():
    headers = [written.platform(1, written.SEV_SNP), written.page(0x1000, 0), written.context(VMSA_ADDRESS, 0)]
    headers[2] = written.context(VMSA_ADDRESS, written.data_offset(headers))
    digests = {d.vmm: d.digest for d in predict(written.build(headers, b"\x01" * 4096)).digests}
    registers = (2, VMSA_ADDRESS, b"\x01" * 4096)
    assert digests == {
        "qemu": chain((3, 0x1000, b""), registers),
        "hyperv": chain((1, 0x1000, bytes(4096)), registers),
    }


def test_each_kind_of_page_is_measured_as_what_it_is():
    headers = [
        written.platform(1, written.SEV_SNP),
        written.area(0x2000),
        written.page(0x1000, 0, kind=SECRETS),
        written.page(0x2000, 0, kind=CPUID),
        written.page(0x3000, 0, flags=written.UNMEASURED),
        written.page(0x4000, 0, flags=written.SHARED),
        written.page(0x5000, 0, mask=2),
        written.insert(0x6000),
    ]

    (digest,) = predict(written.build(headers), "hyperv").digests
    pages = [(5, 0x1000), (6, 0x2000), (4, 0x3000), (4, 0x6000), (4, 0x7000)]
    assert digest.digest == chain(*((kind, gpa, b"") for kind, gpa in pages))


def test_a_large_page_is_measured_in_small_ones():
    headers = [written.platform(1, written.SEV_SNP), written.page(0, 0, flags=written.LARGE)]
    (digest,) = predict(written.build(headers), "hyperv").digests
    assert digest.digest == chain(*((1, gpa, bytes(4096)) for gpa in range(0, 0x200000, 0x1000)))


@pytest.mark.parametrize(
    ("ends", "reason"),
    [
        ([], "0 vCPUs"),
        ([written.context(VMSA_ADDRESS, 32), written.context(VMSA_ADDRESS, 32)], "2 vCPUs"),
        ([written.context(VMSA_ADDRESS, 32), written.page(0, 0)], "pages follow"),
        ([written.context(0x1000, 32)], "0x1000"),
    ],
)
def test_what_kvm_cannot_launch_is_told(ends: list[written.Header], reason: str):
    prediction = predict(written.build([written.platform(1, written.SEV_SNP), *ends], bytes(8192)), "qemu")
    assert not prediction.digests
    assert reason in prediction.notes[0].message


def test_other_hypervisors_launch_no_igvm_files():
    prediction = predict(as_igvm("ovmf-2025", "EPYC"), "ec2")
    assert (prediction.digests, prediction.notes[0].message) == ((), "ec2 does not launch IGVM files")


def test_an_id_block_for_another_digest_is_told():
    headers = [written.platform(1, written.SEV_SNP), written.page(0x1000, 0), written.snp_id_block(b"\x22" * 48)]
    prediction = predict(written.build(headers), "hyperv")
    assert "22" * 48 in prediction.notes[0].message
    right = written.snp_id_block(bytes.fromhex(prediction.digests[0].digest))
    assert not predict(written.build([*headers[:2], right]), "hyperv").notes


def test_a_file_for_other_platforms_is_not_made_for_snp():
    assert SevSnp().predict(written.build([written.platform(1, written.TDX)]), LaunchParameters()) is None


def test_a_parameter_area_that_is_not_declared_is_refused():
    with pytest.raises(FormatError, match="does not declare"):
        predict(written.build([written.platform(1, written.SEV_SNP), written.insert(0)]), "hyperv")
