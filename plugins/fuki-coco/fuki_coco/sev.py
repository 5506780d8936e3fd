"""AMD SEV and SEV-ES: the digest that the owner of a guest compares before giving it a secret.

Source: AMD, "Secure Encrypted Virtualization API" (55766), 6.5 LAUNCH_MEASURE; target/i386/sev.c in QEMU.
"""

import hashlib
from collections.abc import Callable, Iterator

from fuki_build.errors import FormatError, FukiError
from fuki_build.formats.confidential import ovmf, sev_hashes
from fuki_build.formats.confidential.ovmf import Ovmf
from fuki_build.formats.confidential.reset_registers import RESET_VECTOR
from fuki_build.formats.reader import Reader
from fuki_build.hooks import (
    DirectBoot,
    LaunchDigest,
    LaunchModel,
    LaunchParameters,
    LaunchPrediction,
    LaunchSearch,
    LaunchStep,
)
from msgspec.structs import replace

from fuki_coco import cpus
from fuki_coco.memory import PAGE, boot_name, check_firmware, check_parameters, pages, unknown_vmms
from fuki_coco.snp_pages import cpu_models
from fuki_coco.vcpus import Vmm, register_page

_REGISTER, _ALGORITHM = "LAUNCH_DIGEST", "sha256"


class Sev(LaunchModel):
    """AMD SEV, without encrypted registers.

    >>> Sev().predict(bytes(4096), LaunchParameters()) is None
    True
    """

    name = "sev"
    title = "AMD SEV"
    vmms = (Vmm.QEMU, Vmm.EC2, Vmm.GCE)

    def predict(self, firmware: bytes, parameters: LaunchParameters) -> LaunchPrediction | None:
        if _decode(firmware) is None:
            return None
        notes = unknown_vmms(self, parameters)
        boots = parameters.boots if len(notes) < len(parameters.vmms) else ()

        predicted = [(boot_name(boot), _stream(firmware, boot).hexdigest()) for boot in boots]
        digests = [
            LaunchDigest(technology=self.name, register=_REGISTER, algorithm=_ALGORITHM, digest=digest, boot=boot)
            for boot, digest in predicted
        ]

        return LaunchPrediction(tuple(digests), notes)

    def steps(self, firmware: bytes, parameters: LaunchParameters) -> Iterator[LaunchStep]:
        yield from _steps(firmware, parameters.boots[0])

    def search(self, firmware: bytes, parameters: LaunchParameters, digest: bytes) -> LaunchSearch | None:
        return _search(super().search, firmware, parameters, digest)


class SevEs(LaunchModel):
    """AMD SEV-ES, with encrypted registers.

    >>> SevEs().predict(bytes(4096), LaunchParameters()) is None
    True
    """

    name = "sev-es"
    title = "AMD SEV-ES"
    vmms = (Vmm.QEMU, Vmm.EC2, Vmm.GCE)

    def predict(self, firmware: bytes, parameters: LaunchParameters) -> LaunchPrediction | None:
        check_parameters(parameters)
        image = _decode(firmware)
        if image is None or image.reset_address is None:
            return None

        known = [vmm for vmm in parameters.vmms if vmm in self.vmms]
        digests: list[LaunchDigest] = []
        for boot in parameters.boots:
            stream = _stream(firmware, boot)
            for vmm in known:
                digests += self._rows(stream, image, vmm, boot, parameters)

        return LaunchPrediction(tuple(digests), unknown_vmms(self, parameters))

    def _rows(
        self, start: "hashlib._Hash", image: Ovmf, vmm: str, boot: DirectBoot | None, parameters: LaunchParameters
    ) -> Iterator[LaunchDigest]:
        for model in cpu_models(vmm, parameters):
            by_count = _chain(start, *_registers(image, vmm, model), max(parameters.vcpus))
            yield from (
                LaunchDigest(
                    technology=self.name,
                    register=_REGISTER,
                    algorithm=_ALGORITHM,
                    digest=by_count[count - 1],
                    vmm=vmm,
                    vcpus=count,
                    cpu_model=model,
                    boot=boot_name(boot),
                )
                for count in parameters.vcpus
            )

    def steps(self, firmware: bytes, parameters: LaunchParameters) -> Iterator[LaunchStep]:
        check_parameters(parameters)
        image = _decode(firmware)
        if image is None:
            raise FormatError("the firmware is no OVMF build, so it is not made for SEV-ES")

        yield from _steps(firmware, parameters.boots[0])
        vmm = parameters.vmms[0]
        first, other = _registers(image, vmm, cpu_models(vmm, parameters)[0])
        for number in range(parameters.vcpus[0]):
            page = other if number else first
            yield LaunchStep(f"vCPU {number}", "VMSA", 0, hashlib.sha256(page).hexdigest())

    def search(self, firmware: bytes, parameters: LaunchParameters, digest: bytes) -> LaunchSearch | None:
        return _search(super().search, firmware, parameters, digest)


_Search = Callable[[bytes, LaunchParameters, bytes], LaunchSearch | None]


def _search(search: _Search, firmware: bytes, parameters: LaunchParameters, digest: bytes) -> LaunchSearch | None:
    """The base class's search among the boots that the firmware can do."""
    image = _decode(firmware)
    if len(digest) != hashlib.new(_ALGORITHM).digest_size or image is None:
        return LaunchSearch() if image is not None else None
    boots = parameters.boots if image.hash_table_address is not None else (None,)
    return search(firmware, replace(parameters, boots=boots), digest)


def _chain(start: "hashlib._Hash", first: bytes, other: bytes, most: int) -> list[str]:
    """The digests with one vCPU, with two, and so on: each goes on from the one before it."""
    stream = start.copy()
    digests = []
    for number in range(most):
        stream.update(other if number else first)
        digests.append(stream.hexdigest())
    return digests


def _decode(firmware: bytes) -> Ovmf | None:
    return ovmf.decode(Reader.of(firmware))


def _stream(firmware: bytes, boot: DirectBoot | None) -> "hashlib._Hash":
    check_firmware(firmware)
    stream = hashlib.sha256(firmware)
    stream.update(_hashes(firmware, boot))
    return stream


def _hashes(firmware: bytes, boot: DirectBoot | None) -> bytes:
    if boot is None:
        return b""
    image = _decode(firmware)
    if image is None or image.hash_table_address is None:
        raise FukiError(
            "the firmware has no place for kernel hashes: a kernel that the hypervisor boots would not be measured",
            hint="take a build that has one, such as OVMF of edk2 2026, or boot the image from a disk",
        )
    return sev_hashes.encode(boot.kernel, boot.initrd, boot.cmdline)


def _registers(image: Ovmf, vmm: str, model: str | None) -> tuple[bytes, bytes]:
    """The register pages of the first vCPU and of the others; guest features are not measured here."""
    signature = cpus.find_signature(model) if model is not None else 0
    first, other = (register_page(vmm, start, signature, 0) for start in (RESET_VECTOR, image.reset_address or 0))
    return first, other


def _steps(firmware: bytes, boot: DirectBoot | None) -> Iterator[LaunchStep]:
    start = check_firmware(firmware)
    for number, page in enumerate(pages(firmware)):
        yield LaunchStep("firmware", "bytes", start + number * PAGE, hashlib.sha256(page).hexdigest())
    if hashes := _hashes(firmware, boot):
        yield LaunchStep("kernel hashes", "bytes", 0, hashlib.sha256(hashes).hexdigest())
