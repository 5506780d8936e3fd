"""SEV, SEV-ES and SEV-SNP digests of Debian's builds of OVMF, held against sev-snp-measure."""

from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import NamedTuple

import parts
import pytest
from fuki_build.errors import FukiError, RecipeError
from fuki_build.hooks import DirectBoot, LaunchModel, LaunchParameters, LaunchPrediction
from fuki_build.testing.launch import VMMS, peer_digest, peer_digest_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sevsnpmeasure.vcpu_types import CPU_SIGS

from fuki_coco import cpus
from fuki_coco.sev import Sev, SevEs
from fuki_coco.snp import SevSnp

BUILDS = ("ovmf-generic", "ovmf-amdsev", "ovmf-inteltdx", "ovmf-2025", "ovmf-2022")
WITH_HASHES = ("ovmf-generic", "ovmf-amdsev")
MODELS = {"sev": Sev(), "sev-es": SevEs(), "sev-snp": SevSnp()}
EVERY_VMM = tuple(VMMS)


def predict(technology: str, build: str, parameters: LaunchParameters) -> LaunchPrediction:
    prediction = MODELS[technology].predict(parts.get(build).read_bytes(), parameters)
    assert prediction is not None
    return prediction


class Boot:
    """Files to boot directly, for us and for the peer."""

    def __init__(self, directory: Path, kernel: bytes, initrd: bytes | None, cmdline: str) -> None:
        self.files = [str(directory / "kernel"), "" if initrd is None else str(directory / "initrd"), cmdline]
        Path(self.files[0]).write_bytes(kernel)
        if initrd is not None:
            Path(self.files[1]).write_bytes(initrd)
        self.boot = DirectBoot(
            name="files",
            kernel=sha256(kernel).digest(),
            initrd=sha256(initrd or b"").digest(),
            cmdline=sha256(cmdline.encode() + b"\0").digest(),
        )


@pytest.fixture
def boot(tmp_path: Path) -> Boot:
    return Boot(tmp_path, b"kernel", b"initrd", "root=LABEL=root ro")


@pytest.mark.parametrize(("technology", "build"), list(product(MODELS, BUILDS)))
def test_digests_are_the_peer_s_under_every_hypervisor(technology: str, build: str):
    parameters = LaunchParameters(
        vmms=EVERY_VMM, vcpus=(1, 2, 4, 64), cpu_models=tuple(cpus.GENERATIONS), guest_features=(0x1, 0x21)
    )
    digests = predict(technology, build, parameters).digests
    assert digests
    for digest in digests:
        assert digest.digest == peer_digest_of(digest, parts.get(build)), digest


def test_every_combination_is_a_row():
    parameters = LaunchParameters(
        vmms=EVERY_VMM, vcpus=(1, 2), cpu_models=("EPYC-Milan", "EPYC-Genoa"), guest_features=(1, 0x21)
    )
    digests = predict("sev-snp", "ovmf-generic", parameters).digests
    # Two CPU models only where the hypervisor measures them.
    assert len(digests) == (2 + 1 + 1) * 2 * 2
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize(("technology", "build", "vmm"), list(product(MODELS, WITH_HASHES, VMMS)))
def test_kernel_hashes_are_the_peer_s(technology: str, build: str, vmm: str, boot: Boot):
    parameters = LaunchParameters(vmms=(vmm,), vcpus=(1, 3), cpu_models=("EPYC-v4",), boots=(boot.boot,))
    for digest in predict(technology, build, parameters).digests:
        assert digest.boot == "files"
        assert digest.digest == peer_digest_of(digest, parts.get(build), *boot.files)


class Guest(NamedTuple):
    """All that a launch depends on."""

    technology: str
    build: str
    vmm: str
    vcpus: int
    model: str
    features: int
    files: tuple[bytes, bytes | None, str] | None


contents = st.binary(max_size=20)
guests = st.builds(
    Guest,
    technology=st.sampled_from(list(MODELS)),
    build=st.sampled_from(BUILDS),
    vmm=st.sampled_from(EVERY_VMM),
    vcpus=st.integers(1, 64),
    model=st.sampled_from(sorted(CPU_SIGS)),
    features=st.integers(0, 0xFFF),
    files=st.none()
    | st.tuples(st.binary(max_size=20), st.none() | st.binary(max_size=20), st.text("ab =", max_size=9)),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(guests)
def test_any_launch_has_the_peer_s_digest(tmp_path: Path, guest: Guest):
    booted = Boot(tmp_path, *guest.files) if guest.files and guest.build in WITH_HASHES else None
    boots = (booted.boot if booted else None,)
    parameters = LaunchParameters(
        vmms=(guest.vmm,),
        vcpus=(guest.vcpus,),
        cpu_models=(guest.model,),
        guest_features=(guest.features,),
        boots=boots,
    )
    (digest,) = predict(guest.technology, guest.build, parameters).digests

    firmware = parts.get(guest.build)
    peer = peer_digest(
        guest.technology,
        firmware,
        guest.vmm,
        guest.vcpus,
        guest.model,
        guest.features,
        *(booted.files if booted else ()),
    )

    assert digest.digest == peer


@pytest.mark.parametrize("build", ["ovmf-inteltdx", "ovmf-2025", "ovmf-2022"])
@pytest.mark.parametrize("technology", MODELS)
def test_firmware_without_room_for_kernel_hashes_refuses_a_kernel(technology: str, build: str, boot: Boot):
    with pytest.raises(FukiError, match="would not be measured"):
        predict(technology, build, LaunchParameters(boots=(boot.boot,)))


def test_firmware_without_sev_metadata_is_not_made_for_snp():
    data = parts.get("ovmf-2022-code").read_bytes()
    assert SevSnp().predict(data, LaunchParameters()) is None


@pytest.mark.parametrize("model", list(MODELS.values()))
@pytest.mark.parametrize("part", ["ovmf-vars", "aavmf"])
def test_other_images_are_made_for_none(model: LaunchModel, part: str):
    assert model.predict(parts.get(part).read_bytes(), LaunchParameters()) is None


@pytest.mark.parametrize("technology", MODELS)
def test_what_changes_no_digest_is_not_in_it(technology: str):
    (digest, *_) = predict(technology, "ovmf-generic", LaunchParameters(vmms=("gce",))).digests
    told = {"sev": (None, None, None), "sev-es": ("gce", 1, None), "sev-snp": ("gce", 1, None)}
    assert (digest.vmm, digest.vcpus, digest.cpu_model) == told[technology]


@pytest.mark.parametrize("technology", ["sev", "sev-es", "sev-snp"])
def test_hyper_v_launches_no_ovmf(technology: str):
    prediction = predict(technology, "ovmf-generic", LaunchParameters(vmms=("hyperv",)))
    assert not prediction.digests
    assert prediction.notes
    prediction = predict(technology, "ovmf-generic", LaunchParameters(vmms=("hyperv", "gce")))
    assert len(prediction.digests) == 1


def test_a_signature_stands_for_its_cpu_model():
    named, number = (
        predict("sev-snp", "ovmf-generic", LaunchParameters(cpu_models=(model,))).digests[0].digest
        for model in ("EPYC-Milan", "0xa00f11")
    )
    assert named == number


def test_signatures_are_the_peer_s():
    assert {name: cpus.NAMES[name] for name in CPU_SIGS} == CPU_SIGS


@pytest.mark.parametrize(
    ("family", "model", "stepping", "known"),
    [(6, 0x55, 4, 0x50654), (15, 0x41, 2, 0x40F12), (23, 1, 2, 0x800F12), (25, 1, 1, 0xA00F11), (26, 2, 1, 0xB00F21)],
)
def test_a_signature_is_what_cpuid_tells_of_known_processors(family: int, model: int, stepping: int, known: int):
    """Xeon of Skylake, Opteron of revision F, EPYC of Naples, Milan and Turin."""
    assert cpus.signature(family, model, stepping) == known


def test_signatures_have_32_bits():
    assert [cpus.find_signature(text) for text in ("0", "0xffffffff")] == [0, 0xFFFFFFFF]
    for text in ("-1", "0x100000000"):
        with pytest.raises(RecipeError, match="32 bits"):
            cpus.find_signature(text)
    with pytest.raises(RecipeError, match="no CPU model 'EPYC-Milan-v9'") as raised:
        cpus.find_signature("EPYC-Milan-v9")
    assert raised.value.hint is not None
    assert "did you mean 'EPYC-Milan" in raised.value.hint


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (LaunchParameters(vcpus=(0,)), "vCPUs"),
        (LaunchParameters(vcpus=(100_000,)), "vCPUs"),
        (LaunchParameters(guest_features=(1 << 64,)), "64 bits"),
        (LaunchParameters(cpu_models=("EPYC-Mailand",)), "no CPU model"),
        (LaunchParameters(cpu_models=("0x100000000",)), "32 bits"),
    ],
)
def test_what_no_guest_can_have_is_refused(parameters: LaunchParameters, message: str):
    with pytest.raises(RecipeError, match=message):
        predict("sev-snp", "ovmf-generic", parameters)


@pytest.mark.parametrize("technology", MODELS)
@pytest.mark.parametrize(
    ("left", "right", "part"),
    [
        (LaunchParameters(vcpus=(1,)), LaunchParameters(vcpus=(2,)), "vCPU 1"),
        (LaunchParameters(cpu_models=("EPYC",)), LaunchParameters(cpu_models=("EPYC-Turin",)), "vCPU 0"),
        (LaunchParameters(vmms=("qemu",)), LaunchParameters(vmms=("ec2",)), "vCPU 0"),
    ],
)
def test_steps_differ_where_launches_do(technology: str, left: LaunchParameters, right: LaunchParameters, part: str):
    data = parts.get("ovmf-generic").read_bytes()
    model = MODELS[technology]
    one, other = (list(model.steps(data, side)) for side in (left, right))
    if technology == "sev":
        assert one == other
        return
    first = next(step for step in other if step not in one)
    # EC2 adds the CPUID page later, which comes before the vCPUs; as a step of its own it is the same.
    assert first.part == part


def test_kernel_hashes_are_a_step(boot: Boot):
    data = parts.get("ovmf-generic").read_bytes()
    for model in MODELS.values():
        without = list(model.steps(data, LaunchParameters()))
        (step, *_) = [s for s in model.steps(data, LaunchParameters(boots=(boot.boot,))) if s not in without]
        assert step.part in {"kernel hashes", "SEV metadata, KERNEL_HASHES"}
