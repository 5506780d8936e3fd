"""The differences of two images in plain, typed words: what `fuki diff` shows."""

from collections.abc import Mapping
from enum import StrEnum

from fuki_build.formats.documents import Document, View
from fuki_build.image.describe import StubView


class Change(StrEnum):
    """How something in the new image differs from what stands for it in the old one."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


class ComparedImage(View, frozen=True, kw_only=True):
    """One of the images: `sha256` is that of the whole file, `authenticode` the SHA-256 that firmware looks for."""

    image: str
    kind: str
    arch: str
    stub: StubView | None
    file_size: int
    sha256: str
    authenticode: str | None
    signature: str


class ContentView(View, frozen=True):
    """What one image has: `size` in bytes, `sha256` in hex, `what` in a few words."""

    size: int
    sha256: str
    what: str


class SectionDifference(View, frozen=True, kw_only=True):
    """A section that only one image has, or that has other content; addresses do not count.

    `profile` is its number in the new image, of a section that was removed that in the old one; null in the base.
    Firmware is told apart by its `fwid` and a devicetree by its `compatible` string, both null for others.
    """

    change: Change
    name: str
    profile: int | None
    fwid: str | None
    compatible: str | None
    old: ContentView | None
    new: ContentView | None


class TextDifference(View, frozen=True, kw_only=True):
    """The words of a command line, or the lines of another text, that only one image has, in their order.

    Both are empty where the order or the space between them differs only.
    """

    section: str
    profile: int | None
    removed: tuple[str, ...]
    added: tuple[str, ...]


class ProfileDifference(View, frozen=True, kw_only=True):
    """A profile that only one image has, by its `number` there."""

    change: Change
    number: int
    id: str | None
    title: str | None


class FirmwareDifference(View, frozen=True, kw_only=True):
    """A firmware image that only one image has, or whose payload is another: `sha256` is the payload's."""

    change: Change
    profile: int | None
    fwid: str | None
    old: ContentView | None
    new: ContentView | None


class SelectedView(View, frozen=True):
    """What a machine gets: firmware by its `fwid`, a devicetree by its `compatible` string; null where it gets none."""

    fwid: str | None
    compatible: str | None


class SelectionDifference(View, frozen=True, kw_only=True):
    """Machines that get something else now, all of them the same, in these profiles of the new image."""

    machines: tuple[str, ...]
    profiles: tuple[int, ...]
    old: SelectedView
    new: SelectedView


class RegisterDifference(View, frozen=True, kw_only=True):
    """A register that is predicted for both images; `same` is null where `unknown` says why that cannot be told.

    `profile` is the new image's. A register that depends on what is selected tells what that is in each image (else
    null), and on which machines; the values are by bank, in hex, for PCR 11 after a phase path (null before any).
    """

    pcr: int
    phase: str | None
    profile: int | None
    profile_id: str | None
    selected_from_old: SelectedView | None
    selected_from_new: SelectedView | None
    machines: tuple[str, ...]
    same: bool | None
    old: Mapping[str, str]
    new: Mapping[str, str]
    unknown: str = ""


class ComponentDifference(View, frozen=True):
    """A component of `.sbat` whose generation is another; null where an image does not have it."""

    component: str
    old: int | None
    new: int | None

    @property
    def falls(self) -> bool:
        """Whether the new image is below what a level for the old one may ask for."""
        return self.old is not None and (self.new is None or self.new < self.old)


class SignatureDifference(View, frozen=True, kw_only=True):
    """A signature, unbroken, that one image has and the other has not, by its signer's certificate.

    `of` is `image`, or a kernel in it: `.linux`, `.linux@1`. `fingerprint` is the SHA-256 of the certificate.
    """

    change: Change
    of: str
    signer: str
    fingerprint: str


class PolicyDifference(View, frozen=True, kw_only=True):
    """Where signed PCR policies of a key open secrets with one image, and not with the other.

    `profile`, `fwid` and `compatible` are those of the new image; phases are null before any.
    """

    change: Change
    fingerprint: str
    reference: str | None
    profile: int | None
    fwid: str | None
    compatible: str | None
    phases: tuple[str | None, ...]
    banks: tuple[str, ...]


class LaunchDifference(View, frozen=True, kw_only=True):
    """A launch measurement that is another, or that one image has only (the other is null), in hex."""

    fwid: str
    profile: int | None
    technology: str
    register: str
    case: str
    old: str | None
    new: str | None


class ImageDifferences(Document, frozen=True, kw_only=True):
    """What `fuki diff --json` prints. `identical` images are the same byte for byte.

    `unpredicted` and `uncovered` say why registers or policies cannot be compared, and `sbat_flaw` why the new image's
    table cannot; they are empty where they can. `launches` is null where it was not asked for. `forbidden` are those
    names of `--forbid` that the differences go against.
    """

    old: ComparedImage
    new: ComparedImage
    identical: bool
    sections: tuple[SectionDifference, ...]
    texts: tuple[TextDifference, ...]
    profiles: tuple[ProfileDifference, ...]
    firmware: tuple[FirmwareDifference, ...]
    selections: tuple[SelectionDifference, ...]
    registers: tuple[RegisterDifference, ...]
    sbat: tuple[ComponentDifference, ...]
    signatures: tuple[SignatureDifference, ...]
    policies: tuple[PolicyDifference, ...]
    launches: tuple[LaunchDifference, ...] | None = None
    unpredicted: str = ""
    uncovered: str = ""
    sbat_flaw: str = ""
    forbidden: tuple[str, ...] = ()
