"""The launch model `acme-seal`: what Acme's hardware measures of the firmware that a guest starts with."""

import hashlib
from collections.abc import Iterator

from fuki_build.hooks import LaunchDigest, LaunchModel, LaunchParameters, LaunchPrediction, LaunchStep

PAGE = 4096


class AcmeSeal(LaunchModel):
    """The register SEAL: extended with the digest of each page, then with that of the number of vCPUs.

    >>> AcmeSeal().predict(b"firmware", LaunchParameters(vcpus=(1, 2))).digests[1].vcpus
    2
    """

    name = "acme-seal"
    title = "Acme Seal"
    vmms = ("qemu",)

    def predict(self, firmware: bytes, parameters: LaunchParameters) -> LaunchPrediction | None:
        pages = bytes(48)
        for step in page_steps(firmware):
            pages = extended(pages, step)

        digests = [
            LaunchDigest(
                technology=self.name,
                register="SEAL",
                algorithm="sha384",
                digest=extended(pages, vcpu_step(vcpus)).hex(),
                vmm="qemu",
                vcpus=vcpus,
            )
            for vcpus in parameters.vcpus
        ]
        return LaunchPrediction(tuple(digests))

    def steps(self, firmware: bytes, parameters: LaunchParameters) -> Iterator[LaunchStep]:
        yield from page_steps(firmware)
        yield vcpu_step(parameters.vcpus[0])


def page_steps(firmware: bytes) -> Iterator[LaunchStep]:
    for at in range(0, len(firmware), PAGE):
        yield LaunchStep("firmware", "page", at, hashlib.sha384(firmware[at : at + PAGE]).hexdigest())


def vcpu_step(count: int) -> LaunchStep:
    return LaunchStep("vCPUs", "number", 0, hashlib.sha384(count.to_bytes(4, "little")).hexdigest())


def extended(register: bytes, step: LaunchStep) -> bytes:
    return hashlib.sha384(register + bytes.fromhex(step.content)).digest()
