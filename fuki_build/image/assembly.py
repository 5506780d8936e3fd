"""Assembly: the digests of one pass over an image."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from msgspec import Struct

from fuki_build.formats.hashes import Hash
from fuki_build.image.blob import FilePart
from fuki_build.image.digest import Request
from fuki_build.image.digest_plan import DigestPlan

T = TypeVar("T")


class Assembly(Struct, frozen=True):
    """The hashes of one pass over an image: those that were asked for, which can be extended by copying them.

    `results` has the hash of each request, those of the plan and any others of the same pass. What nobody asked for
    raises `LookupError`. Algorithms have hashlib's names, sections their index in the layout.
    """

    digest_plan: DigestPlan
    results: Mapping[Request, Hash]

    def section_hash(self, index: int, algorithm: str) -> Hash:
        """Over a section's content."""
        return self.results[_planned(self.digest_plan.sections, algorithm, "sections")[index]]

    def image_hash(self, algorithm: str) -> Hash:
        """Over what Authenticode covers of the file in its present form."""
        return self.results[_planned(self.digest_plan.image, algorithm, "image")]

    def kernel_hash(self, index: int, algorithm: str) -> Hash | None:
        """Over what Authenticode covers of the kernel in a section; None if it is not an EFI executable."""
        request = _planned(self.digest_plan.kernels, algorithm, "measured").get(index)
        return None if request is None else self.results[request]

    def initrd_hash(self, indices: tuple[int, int], algorithm: str) -> Hash | None:
        """Over a `.ucode` section, padded, and an `.initrd`; None if the microcode is too large."""
        request = _planned(self.digest_plan.initrds, algorithm, "measured").get(indices)
        return None if request is None else self.results[request]

    @property
    def image_digests(self) -> Mapping[str, str]:
        """Authenticode digests in hex, by algorithm, as firmware computes them for the file in its present form."""
        return {name: self.results[request].hexdigest() for name, request in self.digest_plan.image.items()}

    def digest_to_sign(self, algorithm: str) -> str:
        """The digest, in hex, of the image padded for a signature: another only if its size is no multiple of 8."""
        return self.results[_planned(self.digest_plan.to_sign, algorithm, "to_sign")].hexdigest()

    @property
    def sections(self) -> tuple[str, ...]:
        """The SHA-256 of sections' contents in the layout's order, in hex."""
        requests = _planned(self.digest_plan.sections, "sha256", "sections")
        return tuple(self.results[request].hexdigest() for request in requests)

    @property
    def authenticode(self) -> str:
        """The Authenticode digest in SHA-256, in hex."""
        return self.image_hash("sha256").hexdigest()

    @property
    def inputs(self) -> tuple[tuple[FilePart, str], ...]:
        """The parts of input files, with the SHA-256, in hex, of each as it was read."""
        return tuple((part, self.results[request].hexdigest()) for part, request in self.digest_plan.inputs)


def _planned(requests: Mapping[str, T], algorithm: str, need: str) -> T:
    """The requests in an algorithm, if somebody asked for them."""
    if algorithm not in requests:
        raise LookupError(f"nobody asked for the digests {need!r} in {algorithm}")
    return requests[algorithm]


DeferredContent = Callable[[Assembly], bytes]
"""Produces a section's content, of the planned size, from the digests of all sections before it in the file."""
