"""One of the two images of a release: everything that is compared, from one read of its bytes."""

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from fuki_build.errors import FukiError, located
from fuki_build.formats.uki.sbat import SbatRow
from fuki_build.hardware.machine import Machine
from fuki_build.image.assemble import Progress, assemble
from fuki_build.image.digest_plan import measured_in
from fuki_build.image.firmware import Slice, slices
from fuki_build.image.image import ImageKind
from fuki_build.image.layout import Layout
from fuki_build.image.profiles import read_assignments
from fuki_build.image.sbat_table import read_sbat
from fuki_build.measure.boot import Boot
from fuki_build.measure.predict import Prediction, cases, labelled_cases, predict
from fuki_build.measure.registers import split_phases
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.measure.views import PredictionsView, predictions_view
from fuki_build.signing.authenticode.trust import Trust
from fuki_build.signing.authenticode.verify import ImageReport, Verification
from fuki_build.signing.pcr_policy.report import FoundPolicies, find_policies

_VERSIONS = ("IMAGE_VERSION", "VERSION", "VERSION_ID", "BUILD_ID")
"""In the order in which systemd-boot takes an image's version from its `.osrel` (boot.c, 262.1)."""
_SYSTEMS = ("IMAGE_ID", "ID")
"""What systemd-boot groups images by, before it looks at versions."""


class ReleasedImage(Struct, frozen=True, kw_only=True):
    """A UKI that was read. `predictions` are of every case that it allows, in the banks of its policies.

    `sbat_flaw` says why its table cannot be read; empty where it can, or there is none.
    """

    layout: Layout
    slices: tuple[Slice, ...]
    os_release: Mapping[str, str]
    sbat: tuple[SbatRow, ...]
    sbat_flaw: str
    signature: ImageReport
    policies: FoundPolicies
    predictions: tuple[Prediction, ...]
    contents: SectionDigests

    @property
    def version(self) -> str | None:
        """The version that boot menus sort by, None where the image tells none."""
        return next((self.os_release[key] for key in _VERSIONS if self.os_release.get(key)), None)

    @property
    def system(self) -> str | None:
        """The name of which this is a version, None where the image tells none."""
        return next((self.os_release[key] for key in _SYSTEMS if self.os_release.get(key)), None)

    @property
    def profiles(self) -> Sequence[int | None]:
        return self.layout.profiles or (None,)

    def reference_values(
        self,
        machines: Sequence[Machine],
        boot: Boot,
        banks: tuple[str, ...],
        phases: Sequence[str],
        *,
        only_machines: bool,
    ) -> PredictionsView:
        """What it measures: with `only_machines` on these, else in every case that it allows."""
        contents = replace(self.contents, banks=banks)
        chosen = cases(self.layout, machines, self.profiles) if only_machines else labelled_cases(self.layout, machines)
        predictions = predict(contents, chosen, boot)
        return predictions_view(self.layout, predictions, [split_phases(path) for path in phases], boot)


def read_release(
    layout: Layout,
    trust: Trust,
    level: Sequence[SbatRow],
    banks: Sequence[str],
    progress: Progress | None = None,
) -> ReleasedImage:
    """Read an image, with all it measures in `banks` and in those of its policies. Raises `FukiError` for no UKI."""
    if layout.kind is not ImageKind.UKI:
        raise FukiError("this is no UKI: it has no .linux section", where=layout.where)

    with located(layout.where or layout.name):
        verification = Verification(layout, trust, level)
        policies = find_policies(layout, trust.db.certificates if trust.db else ())
        algorithms = tuple(dict.fromkeys((*banks, *policies.banks)))
        assembly = assemble(layout, (), progress, measured_in(algorithms), also=verification.requests)
        signature, _ = verification.judge(assembly.results)

        contents = SectionDigests(layout, assembly, algorithms)
        possible = cases(layout, None, layout.profiles or (None,))
        rows, flaw = read_sbat(layout)
        return ReleasedImage(
            layout=layout,
            slices=slices(layout.plain_sections),
            os_release=_os_release(layout),
            sbat=rows,
            sbat_flaw=flaw,
            signature=signature,
            policies=policies,
            predictions=predict(replace(contents, banks=policies.banks), possible),
            contents=contents,
        )


def _os_release(layout: Layout) -> Mapping[str, str]:
    sections = layout.find(".osrel")
    return read_assignments(sections[0]) if sections else {}
