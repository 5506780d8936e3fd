"""The keys of a build, opened before anything is written, and what they sign inside its images."""

from collections.abc import Iterable, Mapping, Sequence

from fuki_build.emit.plan import Plan
from fuki_build.hooks.rules import Finding
from fuki_build.image.assembly import DeferredContent
from fuki_build.image.blob import Blob, FilePart
from fuki_build.image.image import ImageKind
from fuki_build.image.layout import Layout, with_contents
from fuki_build.signing.request import Signer, Signers, SignRequest, open_signers


class BuildSigning:
    """Signs kernels and policies of a plan's image. Making one opens every key, so that what is wrong shows first.

    `requests` are those that sign whole images; one may be there several times. `findings` are about what firmware
    may not know of the signatures that are going to be made.
    """

    def __init__(self, plan: Plan, requests: Iterable[SignRequest]) -> None:
        self._plan = plan
        self._signers = Signers(self._open(requests))
        self.findings = self._doubts()
        # None where policies are to be signed elsewhere.
        self._policy_signers = None if plan.offline_policies else Signers(self._open_policies())
        self._policies: dict[int, bytes] = {}
        self._kernels = self._sign_kernels()

    def _open(self, requests: Iterable[SignRequest]) -> tuple[Signer, ...]:
        kernels = [request for reservation in self._plan.resolved.kernels for request in reservation.requests]
        # One request can be that of several outputs and kernels: its key is opened once.
        by_place = {request.where: request for request in (*requests, *kernels)}
        signers = open_signers(tuple(by_place.values()), self._plan.signing)
        if signers:
            from fuki_build.signing.authenticode.sign import check_key  # noqa: PLC0415 - cryptography is slow to load

            for signer in signers:
                check_key(signer)
        return signers

    def _open_policies(self) -> tuple[Signer, ...]:
        keys = [key for reservation in self._plan.resolved.policies for key in reservation.keys]
        by_place = {key.request.signer.where: key.request.signer for key in keys}
        return open_signers(tuple(by_place.values()), self._plan.signing)

    def _doubts(self) -> tuple[Finding, ...]:
        signers = tuple(self._signers)
        if not signers:
            return ()
        from fuki_build.checks.signatures import doubts  # noqa: PLC0415 - cryptography is slow to load

        silenced = self._plan.loaded.recipe.silence
        findings = dict.fromkeys(finding for signer in signers for finding in doubts(signer))
        return tuple(finding for finding in findings if finding.rule not in silenced)

    def _sign_kernels(self) -> Mapping[int, Blob]:
        """The signed kernels, by the indices of their sections in the image."""
        reservations = self._plan.resolved.kernels
        if not reservations:
            return {}
        from fuki_build.signing.authenticode.kernel import fill  # noqa: PLC0415 - cryptography is slow to load

        kernels = {}
        for reservation in reservations:
            (section,) = self._plan.uki.find(".linux", reservation.profile)
            kernels[section.index] = fill(reservation, self._signers)
        return kernels

    def signers(self, requests: Sequence[SignRequest]) -> list[Signer]:
        """The open signers of these requests."""
        return [self._signers.of(request) for request in requests]

    def with_kernels(self, layout: Layout) -> Layout:
        """The layout with the kernels that were signed in place of what was planned."""
        return with_contents(layout, self._kernels) if layout.kind is ImageKind.UKI else layout

    def policies(self, layout: Layout) -> Mapping[int, DeferredContent]:
        """What makes the sections with policies while the layout is assembled, by their indices."""
        reservations, kept = self._plan.resolved.policies, self._plan.resolved.kept_policies
        if not (reservations or kept) or layout.kind is not ImageKind.UKI:
            return {}
        # cryptography is slow to load.
        from fuki_build.signing.pcr_policy.kept import deferred_kept  # noqa: PLC0415
        from fuki_build.signing.pcr_policy.section import deferred_sections  # noqa: PLC0415

        sections = deferred_sections(layout, reservations, self._policy_signers, self._policies)
        return {**sections, **deferred_kept(layout, kept, self._policies)}

    def with_policies(self, layout: Layout) -> Layout:
        """The layout with the policies that were made when it was assembled."""
        if layout.kind is not ImageKind.UKI:
            return layout
        return with_contents(layout, {index: Blob.of_bytes(data) for index, data in self._policies.items()})

    @property
    def policy_banks(self) -> frozenset[str]:
        """The banks that the image's policies are about."""
        keys = [key for reservation in self._plan.resolved.policies for key in reservation.keys]
        kept = [bank for policies in self._plan.resolved.kept_policies for bank in policies.signatures]
        return frozenset([*kept, *(bank for key in keys for bank in key.request.banks)])

    @property
    def kernel_digests(self) -> Mapping[FilePart, str]:
        """SHA-256 of each kernel that was signed, as it was before."""
        return {
            part: reservation.sha256
            for reservation in self._plan.resolved.kernels
            for part in (reservation.layout.file or Blob()).parts
            if isinstance(part, FilePart)
        }
