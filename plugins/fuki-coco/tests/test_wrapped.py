"""Launch digests of OVMF that was wrapped as an IGVM file, held against sev-snp-measure's."""

import subprocess
from pathlib import Path

import parts
import pytest
from fuki_build.formats.confidential import id_block, ovmf
from fuki_build.formats.reader import Reader
from fuki_build.hooks import LaunchParameters
from fuki_build.testing import refused, succeed
from fuki_build.testing.igvm import decode_pages
from fuki_build.testing.launch import peer_digest
from sevsnpmeasure.gctx import GCTX
from sevsnpmeasure.sev_mode import SevMode
from sevsnpmeasure.vcpu_types import CPU_SIGS
from sevsnpmeasure.vmsa import VMSA

from fuki_coco.snp import SevSnp

BUILDS = ["ovmf-generic", "ovmf-amdsev", "ovmf-inteltdx", "ovmf-2025", "ovmf-2022"]
MILAN = CPU_SIGS["EPYC-Milan"]
PARAMETER_AREA, HOB_AREA, DATA = 0x812000, 0x813000, 0x4000000  # Debian's edk2 2026.08, and our default


def wrap(directory: Path, build: str, *options: object) -> Path:
    file = directory / f"{build}.igvm"
    succeed(directory, "firmware", "wrap", parts.get(build), "-o", file, *options)
    return file


def digest(file: Path) -> str:
    prediction = SevSnp().predict(file.read_bytes(), LaunchParameters(vmms=("qemu",)))
    assert prediction is not None
    (predicted,) = prediction.digests
    return predicted.digest


@pytest.mark.parametrize("build", BUILDS)
def test_wrapped_firmware_measures_what_bare_firmware_does(tmp_path: Path, build: str):
    file = wrap(tmp_path, build, "--cpu-signature", hex(MILAN))
    assert digest(file) == peer_digest("sev-snp", parts.get(build), "qemu", 1, "EPYC-Milan", 1)


def test_without_a_cpu_signature_one_digest_counts_everywhere(tmp_path: Path):
    assert digest(wrap(tmp_path, "ovmf-2025")) == peer_digest("sev-snp", parts.get("ovmf-2025"), "qemu", 1, None, 1)


def test_parameters_are_unmeasured_and_data_are_measured(tmp_path: Path):
    kernel = parts.get("stub-x64")
    file = wrap(tmp_path, "ovmf-generic", "--snp-parameters", "--data", f"kernel={kernel}")
    firmware = parts.get("ovmf-generic").read_bytes()
    table = ovmf.decode(Reader.of(firmware))
    assert table is not None
    assert table.sev is not None
    (hobs,) = (content for address, content in decode_pages(file.read_bytes(), 2) if address == HOB_AREA)

    context = GCTX()
    context.update_unmeasured_pages(PARAMETER_AREA, 4096)
    context.update_normal_pages(HOB_AREA, hobs)
    content = kernel.read_bytes()
    context.update_normal_pages(DATA, content + bytes(-len(content) % 4096))
    context.update_normal_pages((1 << 32) - len(firmware), firmware)
    for section in table.sev:
        for address in range(section.address, section.address + section.size, 4096):
            if section.kind == ovmf.SevKind.SECRETS:
                context.update_secrets_page(address)
            elif section.kind == ovmf.SevKind.CPUID:
                context.update_cpuid_page(address)
            elif address not in (PARAMETER_AREA, HOB_AREA):
                context.update_zero_pages(address, 4096)
    (registers,) = VMSA(SevMode.SEV_SNP, 0x80B004, 0, 1).pages(1)
    context.update_vmsa_page(registers)
    assert digest(file) == context.ld().hex()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    for name in ("id", "author"):
        options = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", tmp_path / f"{name}.key")
        subprocess.run(["openssl", "genpkey", *options], check=True, capture_output=True)
    return tmp_path


def test_an_id_block_is_made_for_the_file_that_it_goes_into(keys: Path):
    file = wrap(keys, "ovmf-generic", "--policy", "0xb0000")
    before = digest(file)
    launch = succeed(keys, "--plugin", "coco", "launch", file, "--technology", "sev-snp", "--json").out
    (keys / "launch.json").write_text(launch)
    sign = ("--id-key", 'backend = "local", key = "id.key"', "--author-key", 'backend = "local", key = "author.key"')
    make = ("id-block", "make", "--launch", "launch.json", "--policy", "0xb0000", "--svn", "7", *sign, "-o", "guest")
    succeed(keys, "--plugin", "coco", *make)

    file = wrap(keys, "ovmf-generic", "--policy", "0xb0000", "--id-block", "guest")
    assert digest(file) == before
    prediction = SevSnp().predict(file.read_bytes(), LaunchParameters(vmms=("qemu",)))
    assert prediction is not None
    assert not prediction.notes, "an ID block for another digest would be told"

    # QEMU puts the block together from the header and the file's policy: the signature must hold for that.
    at = file.read_bytes().index((keys / "guest.id-block").read_bytes()[:48])
    head = file.read_bytes()[at - 8 :]
    block = head[8:88] + (1).to_bytes(4, "little") + (7).to_bytes(4, "little") + (0xB0000).to_bytes(8, "little")
    assert block == (keys / "guest.id-block").read_bytes()
    auth = id_block.decode_auth((keys / "guest.id-auth").read_bytes())
    signature, key = head[104 : 104 + 144], head[248 : 248 + 152]
    assert signature == auth.block_signature[:144]
    assert key == auth.id_key[:4] + bytes(4) + auth.id_key[4:148]


def test_an_id_block_for_another_policy_is_refused(keys: Path):
    make = ("id-block", "make", "--measurement", "11" * 48, "--id-key", 'backend = "local", key = "id.key"')
    succeed(keys, "--plugin", "coco", *make, "-o", "guest")
    options = ("--id-block", "guest", "--policy", "0xb0000")
    error = refused(keys, "firmware", "wrap", parts.get("ovmf-2025"), "-o", "x.igvm", *options)
    assert "policy 0x30000" in error
