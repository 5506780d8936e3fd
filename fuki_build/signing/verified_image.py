"""A finished image verified in one read: its signatures, those of the kernels inside, and its PCR policies."""

from collections.abc import Sequence

from msgspec import Struct

from fuki_build.formats.uki.sbat import SbatRow
from fuki_build.image.assemble import Progress, assemble
from fuki_build.image.digest_plan import measured_in
from fuki_build.image.layout import Layout
from fuki_build.measure.registers import PHASES, split_phases
from fuki_build.signing.authenticode.signature import GOOD, SignatureVerdict
from fuki_build.signing.authenticode.trust import Trust
from fuki_build.signing.authenticode.verify import ImageReport, Verification
from fuki_build.signing.pcr_policy.report import (
    BROKEN,
    PolicyFindings,
    find_policies,
    predict_everything,
    report_policies,
)


class VerifiedImage(Struct, frozen=True):
    """What was said of an image, of the kernels inside it, and of its policies."""

    image: ImageReport
    kernels: tuple[ImageReport, ...]
    policies: PolicyFindings

    @property
    def objection(self) -> str | None:
        """Why the image is not valid; None if it is.

        A kernel inside is valid as part of the image, unless it has a signature that is broken or revoked; a policy,
        unless the key that it names is there and did not sign it.
        """
        if self.image.verdict not in GOOD:
            return f"the image is not valid: {self.image.reason}"
        for kernel in self.kernels:
            if kernel.verdict not in {*GOOD, SignatureVerdict.UNSIGNED, SignatureVerdict.UNTRUSTED}:
                return f"the kernel in {kernel.name} is not valid: {kernel.reason}"
        broken = next((policy for policy in self.policies.reports if policy.verdict in BROKEN), None)
        if broken is None:
            return None
        at = "" if broken.profile is None else f"@{broken.profile}"
        return f"a policy in .pcrsig{at} is not valid: {broken.reason}"


def verify_image(
    layout: Layout, trust: Trust, level: Sequence[SbatRow] = (), progress: Progress | None = None
) -> VerifiedImage:
    """Hold everything that is signed in an image against the image, and against what is trusted.

    Without anything in `trust`, signatures are only held against the image; `level` are the rows of an SBAT revocation
    level. Raises `FormatError` where the image has no digest that loaders agree on.
    """
    verification = Verification(layout, trust, level)
    recorded = find_policies(layout, trust.db.certificates if trust.db else ())
    assembly = assemble(layout, (), progress, measured_in(recorded.banks), also=verification.requests)

    report, kernels = verification.judge(assembly.results)
    predictions = predict_everything(layout, assembly, recorded.banks) if recorded.banks else None
    policies = report_policies(recorded, predictions, [split_phases(path) for path in PHASES])
    return VerifiedImage(report, kernels, policies)
