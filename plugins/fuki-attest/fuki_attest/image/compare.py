"""All steps of evidence against an image."""

from collections.abc import Sequence
from pathlib import Path

from fuki_build import LoadedRecipe, Machine, PluginHost, launches_of_image
from fuki_build.hooks import LaunchRecord
from msgspec import Struct
from msgspec.structs import replace

from fuki_attest.image import registers
from fuki_attest.image.expectations import ImageExpectations
from fuki_attest.image.launches import Launches
from fuki_attest.image.shown import ShownView
from fuki_attest.pieces import Evidence, EvidenceKind, Item
from fuki_attest.verify.run import is_bound, tpm_context
from fuki_attest.verify.steps import About, EvidenceStep, StepKind


class ImageComparison(Struct, frozen=True, kw_only=True):
    """What evidence is held against."""

    image: Path
    host: PluginHost
    recipe: LoadedRecipe | None
    machines: Sequence[Machine] | None
    expected: ImageExpectations


def compare(evidence: Evidence, comparison: ImageComparison) -> tuple[list[EvidenceStep], list[ShownView]]:
    """The steps, and which machine each piece of evidence shows. Raises `FukiError` where nothing can be predicted."""
    steps: list[EvidenceStep] = []
    shown: list[ShownView] = []
    for item in evidence.items:
        about = About(item.name)
        if item.kind in (EvidenceKind.SNP_REPORT, EvidenceKind.TD_QUOTE):
            steps += _launch_steps(about, item, evidence, comparison, shown)
        elif item.kind is EvidenceKind.TPM_QUOTE:
            context = tpm_context(evidence)
            steps += registers.tpm_steps(about, item.value, context, comparison.image, comparison.machines, shown)
        elif item.kind is EvidenceKind.EVENT_LOG:
            steps += registers.log_steps(about, item.value, comparison.image, comparison.machines)

    if not steps:
        against = f"the predictions for {comparison.image.name}"
        why = "there is no report, no quote and no log"
        steps.append(About("all evidence").not_verified(StepKind.BOOT, "measurements", against, why, asked=True))
    return steps, shown


def _launch_steps(
    about: About, item: Item, evidence: Evidence, comparison: ImageComparison, shown: list[ShownView]
) -> list[EvidenceStep]:
    is_snp = item.kind is EvidenceKind.SNP_REPORT
    data = item.value.report_data if is_snp else item.value.body.report_data
    if is_bound(evidence, data):
        why = "the hardware measured the paravisor; the image is in the TPM's registers"
        against = f"the predictions for {comparison.image.name}"
        return [about.not_verified(StepKind.FIRMWARE, "launch measurement", against, why, asked=False)]

    technology = "sev-snp" if is_snp else "tdx"
    records = launches_of_image(comparison.image, comparison.host, technology, comparison.recipe)
    launches = Launches(records, comparison.image.name)
    if is_snp:
        expected = replace(comparison.expected, policies=_policies(records))
        steps = list(launches.snp_steps(about, item.value, expected))
    else:
        steps = list(launches.tdx_steps(about, item.value.body, comparison.expected))
    shown += launches.shown
    return steps


def _policies(records: Sequence[LaunchRecord]) -> frozenset[int]:
    return frozenset(record.policy for record in records if record.policy is not None)
