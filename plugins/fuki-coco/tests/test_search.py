"""Which launch has a digest: the digests are sev-snp-measure's, and so is what they are made of."""

import random
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import parts
import pytest
from fuki_build.hooks import DirectBoot, LaunchModel, LaunchParameters, LaunchSearch
from fuki_build.testing.launch import VMMS, peer_digest
from msgspec.structs import replace
from sevsnpmeasure.gctx import GCTX
from sevsnpmeasure.ovmf import OVMF, SectionType
from sevsnpmeasure.vcpu_types import CPU_SIGS

from fuki_coco import cpus, snp_digest
from fuki_coco.sev import Sev, SevEs
from fuki_coco.snp import SevSnp
from fuki_coco.snp_pages import image_pages
from fuki_coco.tdx import Tdx

PAGE = 4096
MODELS: dict[str, LaunchModel] = {"sev": Sev(), "sev-es": SevEs(), "sev-snp": SevSnp()}
MEASURES_KERNELS = ("ovmf-generic", "ovmf-amdsev")
ALL = tuple(range(1, 513))
RANDOM = random.Random(17)  # noqa: S311 - the same launches in each run


@dataclass(frozen=True)
class RandomLaunch:
    """A launch that anyone may have done."""

    technology: str
    build: str
    vmm: str
    vcpus: int
    model: str
    features: int
    cmdline: str | None

    @classmethod
    def any(cls) -> "RandomLaunch":
        build = RANDOM.choice([*MEASURES_KERNELS, "ovmf-inteltdx", "ovmf-2025", "ovmf-2022"])
        lines = [None, "ro", "root=LABEL=root quiet"] if build in MEASURES_KERNELS else [None]
        return cls(
            technology=RANDOM.choice(["sev-snp", "sev-snp", "sev-snp", "sev-es", "sev"]),
            build=build,
            vmm=RANDOM.choice(list(VMMS)),
            vcpus=RANDOM.randint(1, 512),
            model=RANDOM.choice(sorted(CPU_SIGS)),
            features=RANDOM.choice(SevSnp.usual_features),
            cmdline=RANDOM.choice(lines),
        )

    def digest(self, files: "Files") -> bytes:
        firmware = parts.get(self.build)
        boot = () if self.cmdline is None else (str(files.kernel), str(files.initrd), self.cmdline)
        technology, vmm, vcpus = self.technology, self.vmm, self.vcpus
        return bytes.fromhex(peer_digest(technology, firmware, vmm, vcpus, self.model, self.features, *boot))


class Files:
    """A kernel and an initrd, and their direct boots with three command lines."""

    def __init__(self, directory: Path) -> None:
        self.kernel, self.initrd = directory / "kernel", directory / "initrd"
        self.kernel.write_bytes(b"kernel")
        self.initrd.write_bytes(b"initrd")

    def boot(self, cmdline: str) -> DirectBoot:
        digest = sha256(cmdline.encode() + b"\0").digest()
        return DirectBoot(
            name=cmdline, kernel=sha256(b"kernel").digest(), initrd=sha256(b"initrd").digest(), cmdline=digest
        )

    @property
    def boots(self) -> tuple[DirectBoot | None, ...]:
        return (None, self.boot("ro"), self.boot("root=LABEL=root quiet"))


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Files:
    return Files(tmp_path_factory.mktemp("files"))


def search(technology: str, build: str, digest: bytes, files: Files, **changed: Any) -> LaunchSearch:
    model = MODELS[technology]
    parameters = LaunchParameters(vmms=model.vmms, vcpus=ALL, guest_features=model.usual_features, boots=files.boots)
    search = model.search(parts.get(build).read_bytes(), replace(parameters, **changed), digest)
    assert search is not None
    return search


@pytest.mark.parametrize("launches", [[RandomLaunch.any() for _ in range(20)] for _ in range(10)], ids=range(10))
def test_random_launches_are_found(launches: list[RandomLaunch], files: Files):
    """Two hundred, twenty at a time; what a technology does not measure is not told."""
    for launch in launches:
        found = search(launch.technology, launch.build, launch.digest(files), files).found
        told = {(row.vmm, row.vcpus, row.cpu_model, row.guest_features, row.boot) for row in found}
        signature = CPU_SIGS[launch.model]
        model = next(name for name in cpus.GENERATIONS if cpus.NAMES[name] == signature)
        of_qemu = model if launch.vmm == "qemu" else None
        if launch.technology == "sev":
            assert told == {(None, None, None, None, launch.cmdline)}
        else:
            features = launch.features if launch.technology == "sev-snp" else None
            assert told == {(launch.vmm, launch.vcpus, of_qemu, features, launch.cmdline)}, launch


def test_a_digest_of_other_firmware_is_not_found(files: Files):
    digest = RandomLaunch("sev-snp", "ovmf-2025", "qemu", 4, "EPYC-Milan", 1, None).digest(files)
    other = search("sev-snp", "ovmf-generic", digest, files)
    assert (other.found, other.near) == ((), ())
    # Five CPU models under QEMU, and one kind of vCPU under EC2 and GCE, each with sixteen sets of features.
    assert other.tried == (5 + 1 + 1) * 16 * 512 * 3


class TestCalls:
    """What is shared is hashed once; the rest of a search is one hash for each launch."""

    @pytest.fixture
    def calls(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """The size of each content that is hashed."""
        sizes: list[int] = []
        real = snp_digest.sha384

        def counted(data: bytes):  # noqa: ANN202 - hashlib's own type has no name
            sizes.append(len(data))
            return real(data)

        monkeypatch.setattr(snp_digest, "sha384", counted)
        image_pages.cache_clear()
        return sizes

    def test_a_hundred_thousand_launches_take_little_more_hashes(self, files: Files, calls: list[int]):
        result = search("sev-snp", "ovmf-generic", b"\1" * 48, files, vmms=("qemu",), boots=files.boots[:2])
        assert result.tried == 5 * 16 * 512 * 2 == 81920

        firmware = parts.get("ovmf-generic").stat().st_size // PAGE
        contents = [size for size in calls if size == PAGE]
        # Each page of the firmware, one page of kernel hashes, and two of registers for each kind of vCPU.
        assert len(contents) == firmware + 1 + 2 * 5 * 16
        metadata = len(calls) - len(contents) - firmware - result.tried - result.changed
        assert 0 < metadata < 2000

    def test_more_vcpus_cost_one_hash_each(self, files: Files, calls: list[int]):
        def count(vcpus: int) -> int:
            calls.clear()
            digest = parts.get("ovmf-generic")
            # With something found, no launches with a change are tried.
            known = bytes.fromhex(peer_digest("sev-snp", digest, "qemu", 1, "EPYC", 1))
            search("sev-snp", "ovmf-generic", known, files, vmms=("qemu",), boots=(None,), vcpus=range(1, vcpus + 1))
            return len(calls)

        count(1)
        assert count(512) - count(256) == 256 * 5 * 16


class TestNear:
    def cut(self, *pages: str) -> bytes:
        """The digest of a launch of the firmware that ends after it, or after some of its metadata."""
        context, firmware = GCTX(), OVMF(str(parts.get("ovmf-generic")))
        context.update_normal_pages(firmware.gpa(), firmware.data())
        for section in firmware.metadata_items()[: len(pages)]:
            assert section.section_type() is SectionType.SNP_SEC_MEM
            context.update_zero_pages(section.gpa, section.size)
        return context.ld()

    def test_a_launch_that_ended_early_is_told_with_the_page_that_did_not_come(self, files: Files):
        (near, *_) = search("sev-snp", "ovmf-generic", self.cut(), files).near
        assert near.change == "it ended before SEV metadata, SEC_MEM at 0x800000 was measured"

    def test_one_that_ended_before_its_metadata_were_complete(self, files: Files):
        near = search("sev-snp", "ovmf-generic", self.cut("SEC_MEM"), files).near
        assert near
        assert all("SEV metadata" in one.change for one in near)

    @pytest.mark.parametrize("left_out", [SectionType.SNP_SECRETS, SectionType.CPUID])
    def test_a_part_that_was_left_out_is_named(self, files: Files, monkeypatch, left_out: SectionType):
        real = OVMF.metadata_items
        monkeypatch.setattr(
            OVMF, "metadata_items", lambda self: [s for s in real(self) if s.section_type() is not left_out]
        )
        digest = RandomLaunch("sev-snp", "ovmf-generic", "qemu", 6, "EPYC-Genoa", 0x21, "ro").digest(files)
        (near,) = search("sev-snp", "ovmf-generic", digest, files, vmms=("qemu",)).near
        name = "CPUID" if left_out is SectionType.CPUID else "SECRETS"
        assert near.change == f"SEV metadata, {name} was not measured"
        assert (near.launch.vcpus, near.launch.cpu_model, near.launch.boot) == (6, "EPYC-Genoa", "ro")


@pytest.mark.parametrize("technology", MODELS)
def test_digests_of_another_size_are_not_searched(technology: str, files: Files):
    size = 48 if technology != "sev-snp" else 32
    assert search(technology, "ovmf-generic", bytes(size), files).tried == 0


@pytest.mark.parametrize("technology", MODELS)
def test_boots_that_the_firmware_cannot_do_are_left_out(technology: str, files: Files):
    digest = RandomLaunch(technology, "ovmf-2025", "qemu", 3, "EPYC-Rome", 1, None).digest(files)
    (launch,) = search(technology, "ovmf-2025", digest, files).found
    assert launch.boot is None


def test_an_mrtd_is_cut_where_the_td_got_no_more_memory():
    """MRTD is one hash over the stream: here of the first page's addition, as the TDX module's specification has it."""
    from hashlib import sha384  # noqa: PLC0415 - the tests above count calls of it
    from struct import pack, unpack_from  # noqa: PLC0415

    firmware = parts.get("ovmf-inteltdx").read_bytes()
    table = firmware.index(b"TDVF")
    offset, _, address, _, kind, attributes = unpack_from("<IIQQII", firmware, table + 16)
    assert (kind, attributes) == (0, 1)
    stream = pack("<16sQ104x", b"MEM.PAGE.ADD", address)
    for at in range(0, PAGE, 256):
        chunk = firmware[offset + at : offset + at + 256]
        stream += pack("<16sQ104x", b"MR.EXTEND", address + at) + chunk
    launches = Tdx().search(firmware, LaunchParameters(), sha384(stream).digest())
    assert launches is not None
    (near,) = launches.near
    assert near.launch.variant == "single-pass"
    assert near.change.endswith(f"behind TDX metadata, BFV at {address:#x}")
