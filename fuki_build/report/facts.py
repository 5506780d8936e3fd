"""The facts of a report, in plain, typed words: what its template shows."""

from collections.abc import Mapping

from msgspec import Struct

from fuki_build.hooks.records import Finding
from fuki_build.image.describe import LayoutView
from fuki_build.image.selection_view import HitView
from fuki_build.measure.views import BootView, EventView, RegisterView
from fuki_build.signing.authenticode.verify import ImageReport
from fuki_build.signing.pcr_policy.report import PolicyReport


class ReportFacts(Struct, frozen=True):
    pass


class ImageDigests(ReportFacts, frozen=True):
    """In hex: SHA-256 of the whole file, and the Authenticode digests by algorithm."""

    file: str
    authenticode: Mapping[str, str]


class KernelFacts(ReportFacts, frozen=True):
    """A `.linux` section: what it is, its release as `.uname` says it, and SHA-256 of the section."""

    section: str
    what: str
    release: str
    sha256: str


class SliceFacts(ReportFacts, frozen=True, kw_only=True):
    """The sections of the base (`profile` None) or a profile: their place in the file, in bytes."""

    profile: int | None
    id: str | None
    title: str | None
    offset: int
    size: int


class FirmwareFacts(ReportFacts, frozen=True, kw_only=True):
    """One firmware image; `sha256` is that of the payload, without the section's header. `machines` select it."""

    profile: int | None
    fwid: str
    what: str
    size: int
    sha256: str
    flaw: str
    machines: int


class MatchFacts(ReportFacts, frozen=True, kw_only=True):
    """Machines of one platform that select the same in the same profiles (none: the image has none)."""

    platform: str
    machines: tuple[str, ...]
    profiles: tuple[int, ...]
    firmware: HitView | None
    devicetree: HitView | None


class PlatformFacts(ReportFacts, frozen=True):
    name: str
    plugin: str
    machines: int


class CaseFacts(ReportFacts, frozen=True, kw_only=True):
    """What machines can select in a profile: the values of PCR 11 by phase, and what is measured into it."""

    fwid: str | None
    compatible: str | None
    machines: tuple[str, ...]
    registers: tuple[RegisterView, ...]
    measured: tuple[str, ...]


class ProfileFacts(ReportFacts, frozen=True, kw_only=True):
    """The predictions of a profile: registers that do not depend on what is selected, and the cases that PCR 11 has.

    `first_start` are the registers when a hand-over of the firmware resets the machine; empty where there is none.
    """

    profile: int | None
    id: str | None
    title: str | None
    registers: tuple[RegisterView, ...]
    events: tuple[EventView, ...]
    cases: tuple[CaseFacts, ...]
    first_start: tuple[RegisterView, ...] = ()


class LaunchFacts(ReportFacts, frozen=True, kw_only=True):
    """What a guest is measured as at its second start, which is on firmware of the image; `digest` in hex."""

    fwid: str
    profile: int | None
    technology: str
    register: str
    digest: str


class PredictionFacts(ReportFacts, frozen=True, kw_only=True):
    """`unknown` says why there are none. `launches` are those of the second start; none without a hand-over."""

    banks: tuple[str, ...]
    boot: BootView
    profiles: tuple[ProfileFacts, ...] = ()
    unknown: str = ""
    launches: tuple[LaunchFacts, ...] = ()


class CellFacts(ReportFacts, frozen=True):
    """Whether a policy holds in a case and phase: its verdict, or None; `gap` where there should be one."""

    verdict: str | None
    gap: bool


class CoverageRow(ReportFacts, frozen=True):
    fwid: str | None
    compatible: str | None
    cells: tuple[CellFacts, ...]


class CoverageFacts(ReportFacts, frozen=True, kw_only=True):
    """Which cases and phases of a profile one key's policies cover, the same in all of `banks`."""

    profile: int | None
    id: str | None
    key: str
    reference: str | None
    banks: tuple[str, ...]
    phases: tuple[str, ...]
    rows: tuple[CoverageRow, ...]


class KeyFacts(ReportFacts, frozen=True):
    """A key that policies name, by its fingerprint; `where` tells where it was found, if it was."""

    key: str
    where: str
    policies: int
    verdicts: Mapping[str, int]


class PolicyFacts(ReportFacts, frozen=True, kw_only=True):
    """`stray` hold in no predicted case and phase, `broken` are not what their key signed or cannot be read."""

    count: int
    signers: tuple[KeyFacts, ...]
    coverage: tuple[CoverageFacts, ...]
    gaps: int
    stray: tuple[PolicyReport, ...]
    broken: tuple[PolicyReport, ...]
    untold: str = ""


class TrustFacts(ReportFacts, frozen=True, kw_only=True):
    """What signatures were held against: subjects of trusted certificates, and how much else."""

    given: bool
    certificates: tuple[str, ...]
    digests: int
    revoked: int
    sbat_level: bool


class Report(ReportFacts, frozen=True, kw_only=True):
    """`known` machines are those of all platforms; `served` are those among them that select firmware of the image."""

    generator: str
    date: str | None
    image: LayoutView
    digests: ImageDigests
    kernels: tuple[KernelFacts, ...]
    system: str
    slices: tuple[SliceFacts, ...]
    findings: tuple[Finding, ...]
    trust: TrustFacts
    signature: ImageReport
    kernel_signatures: tuple[ImageReport, ...]
    platforms: tuple[PlatformFacts, ...]
    firmware: tuple[FirmwareFacts, ...]
    matches: tuple[MatchFacts, ...]
    known: int
    served: int
    predictions: PredictionFacts
    policies: PolicyFacts
