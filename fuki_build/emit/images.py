"""The images of a build: signers made ready, then each image assembled and signed wherever an output wants it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from fuki_build.emit.launch import needs_image_file
from fuki_build.emit.outputs import Output
from fuki_build.emit.plan import Plan
from fuki_build.emit.runtime import runtime_banks
from fuki_build.hooks.records import BuiltImage, Finding
from fuki_build.image.assemble import Assembly, DeferredContent, Progress, assemble
from fuki_build.image.blob import Blob, FilePart
from fuki_build.image.image import ImageKind
from fuki_build.image.layout import Layout, with_contents
from fuki_build.image.output_file import OutputFile
from fuki_build.signing.request import Signer, SignRequest, open_signers

OpenFile = Callable[[Path, Output], OutputFile]


class ImageWriter:
    """Writes a plan's images. Making one opens every key that is needed, so that what is wrong with one shows first."""

    def __init__(self, plan: Plan, outputs: Sequence[Output], progress: Progress | None) -> None:
        self._plan = plan
        self._outputs = outputs
        self._progress = progress
        self._banks = {bank for output in outputs for bank in output.format.banks(output.options)}
        self._banks |= runtime_banks(plan.host, plan.resolved.launches)
        self._needs_file = any(output.format.needs_image_file for output in outputs)
        self._needs_file |= needs_image_file(plan.resolved.launches)
        self._signers = {id(signer.request): signer for signer in self._open()}
        self.findings = self._doubts()
        self._signers |= {id(signer.request): signer for signer in self._open_policies()}
        self._policies: dict[int, bytes] = {}
        self._kernels = self._sign_kernels()

    def _open(self) -> tuple[Signer, ...]:
        wanted = [output.signers for output in self._outputs if output.images]
        wanted += [self._plan.resolved.signers] * self._needs_file
        wanted += [reservation.requests for reservation in self._plan.resolved.kernels]
        requests = {id(request): request for signers in wanted for request in signers}
        signers = open_signers(tuple(requests.values()), self._plan.signing)
        if signers:
            from fuki_build.signing.authenticode.sign import check_key  # noqa: PLC0415 - cryptography is slow to load

            for signer in signers:
                check_key(signer)
        return signers

    def _open_policies(self) -> tuple[Signer, ...]:
        if self._plan.unsigned:
            return ()
        keys = [key for reservation in self._plan.resolved.policies for key in reservation.keys]
        requests = {id(key.request.signer): key.request.signer for key in keys}
        return open_signers(tuple(requests.values()), self._plan.signing)

    def _doubts(self) -> tuple[Finding, ...]:
        """What firmware may not know of the signatures that are going to be made."""
        if not self._signers:
            return ()
        from fuki_build.checks.signatures import doubts  # noqa: PLC0415 - cryptography is slow to load

        silenced = self._plan.loaded.recipe.silence
        found = [finding for signer in self._signers.values() for finding in doubts(signer)]
        return tuple(finding for finding in dict.fromkeys(found) if finding.rule not in silenced)

    def _sign_kernels(self) -> dict[int, Blob]:
        """What stands for each signed kernel in the layouts, by identity, and the kernel itself."""
        reservations = self._plan.resolved.kernels
        if not reservations:
            return {}
        from fuki_build.signing.authenticode.kernel import fill  # noqa: PLC0415 - cryptography is slow to load

        return {
            id(reservation.content): fill(reservation, self._of(reservation.requests)) for reservation in reservations
        }

    def _of(self, requests: Sequence[SignRequest]) -> list[Signer]:
        return [self._signers[id(request)] for request in requests]

    def write(self, layout: Layout, open_file: OpenFile) -> BuiltImage:
        """Assemble an image everywhere an output wants it; if none does, only for its digests."""
        content = with_contents(layout, self._kernels)
        built = None
        for output in self._outputs:
            for path, wanted in output.images.items():
                if wanted is layout:
                    file = open_file(path, output)
                    written = self._write(content, file, output.signers)
                    built = built or BuiltImage(*written, file.readable_path)
        if built is None and layout is self._plan.uki and self._needs_file:
            path = self._plan.workspace / "image.efi"
            with OutputFile(path) as file:
                written = self._write(content, file, self._plan.resolved.signers)
                file.commit()
            built = BuiltImage(*written, path)
        built = built or BuiltImage(content, self._assemble(content, None), None)
        return replace(built, layout=with_contents(built.layout, self._made(content)))

    def _assemble(self, content: Layout, file: OutputFile | None, algorithms: Collection[str] = ()) -> Assembly:
        deferred = self._deferred(content)
        banks = {
            bank
            for reservation in self._plan.resolved.policies
            for key in reservation.keys
            for bank in key.request.banks
        }
        wanted = {*self._banks, *algorithms, *(banks if deferred else ())}
        return assemble(content, file, self._progress, wanted, measured=bool(self._banks), deferred=deferred)

    def _deferred(self, content: Layout) -> Mapping[int, DeferredContent]:
        """What makes the sections with policies."""
        reservations = self._plan.resolved.policies
        if not reservations or content.kind is not ImageKind.UKI:
            return {}
        from fuki_build.signing.pcr_policy.section import deferred_sections  # noqa: PLC0415 - cryptography is slow to load

        return deferred_sections(content, reservations, lambda request: self._signers.get(id(request)), self._policies)

    def _made(self, content: Layout) -> Mapping[int, Blob]:
        """The sections with policies as they were made, by the identity of what stood for them."""
        if content.kind is not ImageKind.UKI:
            return {}
        return {id(content.sections[i].section.content): Blob.of_bytes(data) for i, data in self._policies.items()}

    def _write(self, content: Layout, file: OutputFile, requests: Sequence[SignRequest]) -> tuple[Layout, Assembly]:
        if not requests:
            return content, self._assemble(content, file)
        from fuki_build.signing.authenticode.image import write_signed  # noqa: PLC0415 - cryptography is slow to load

        def run(algorithms: Collection[str]) -> Assembly:
            return self._assemble(content, file, algorithms)

        return write_signed(content, file, self._of(requests), self._plan.signing, run=run)

    @property
    def kernel_digests(self) -> dict[Path, str]:
        """SHA-256 of each kernel that was signed, as it was before."""
        return {
            part.path: reservation.sha256
            for reservation in self._plan.resolved.kernels
            for part in (reservation.layout.file or Blob()).parts
            if isinstance(part, FilePart)
        }
