"""Two images held against each other, as a document."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from fuki_build.formats.documents import Document, View
from fuki_build.formats.uki.sbat import SbatRow, generations
from fuki_build.hardware.machine import Machine
from fuki_build.hooks.launch import LaunchDocument
from fuki_build.measure.boot import Boot
from fuki_build.measure.registers import PHASES
from fuki_build.measure.views import PredictionsView
from fuki_build.release.objections import Objection, object_to
from fuki_build.release.released import ReleasedImage
from fuki_build.release.served import served_machines
from fuki_build.signing.key_requirements import source_date


class ReleaseView(View, frozen=True, kw_only=True):
    """One of the images: `system` and `image-version` are what boot menus sort by, null where it tells none.

    `authenticode` is its SHA-256 in hex, which db and dbx may list.
    """

    image: str
    system: str | None
    image_version: str | None
    signature: str
    authenticode: str


class RevocationView(View, frozen=True, kw_only=True):
    """What refuses the old image and not the new one.

    `sbat_level` are the lines of a level for shim, which keeps what the level before it revoked; empty where no
    generation rises. `dbx` are SHA-256 digests.
    """

    sbat_level: tuple[str, ...]
    dbx: tuple[str, ...]


class ReleaseDocument(Document, frozen=True, kw_only=True):
    """What `fuki release --json` prints: why not to release, what to learn before, and what to revoke after.

    `launches` are what confidential guests measure at launch that start with the firmware of the old image, and of the
    new one; empty where no technology was asked for.
    """

    old: ReleaseView
    new: ReleaseView
    objections: tuple[Objection, ...]
    before: tuple[PredictionsView, ...]
    launches: tuple[LaunchDocument, ...] = ()
    after: RevocationView


class ReleaseOptions(Struct, frozen=True, kw_only=True):
    """How images are compared: `machines` beside those that the old image lists, alone in reference values if `named`.

    `trusted` tells that signatures were held against what firmware trusts; `allowed` are reasons that do not count;
    `level` is the revocation level of today.
    """

    machines: Sequence[Machine]
    named: bool
    trusted: bool
    allowed: Collection[str]
    level: Sequence[SbatRow]
    boot: Boot
    banks: tuple[str, ...]
    phases: Sequence[str] = PHASES


def compare(old: ReleasedImage, new: ReleasedImage, options: ReleaseOptions) -> ReleaseDocument:
    """Everything about the update from one image to the other. Raises `FukiError` where it cannot be predicted."""
    served = served_machines(old, new, options.machines)
    reasons = object_to(old, new, served, trusted=options.trusted)

    return ReleaseDocument(
        old=_view(old),
        new=_view(new),
        objections=tuple(
            Objection(
                id=reason.id, message=reason.message, machines=reason.machines, allowed=reason.id in options.allowed
            )
            for reason in reasons
        ),
        before=tuple(
            image.reference_values(
                options.machines, options.boot, options.banks, options.phases, only_machines=options.named
            )
            for image in (old, new)
        ),
        after=_revocation(old, new, options.level),
    )


def _view(image: ReleasedImage) -> ReleaseView:
    return ReleaseView(
        image=image.layout.name,
        system=image.system,
        image_version=image.version,
        signature=image.signature.verdict.value,
        authenticode=image.signature.authenticode,
    )


def _revocation(old: ReleasedImage, new: ReleasedImage, level: Sequence[SbatRow]) -> RevocationView:
    before, after = generations(old.sbat), generations(new.sbat)
    raised = {name: after[name] for name, number in before.items() if after.get(name, number) > number}

    # A later level takes the place of the one before, and must not lose what that revoked.
    needed: dict[str, int] = {}
    for name, number in (*((row.component, row.generation) for row in level[1:]), *raised.items()):
        needed[name] = max(number, needed.get(name, 0))

    digest = old.signature.authenticode
    return RevocationView(
        sbat_level=(_level_header(), *(f"{name},{number}" for name, number in needed.items())) if raised else (),
        dbx=(digest,) if digest != new.signature.authenticode else (),
    )


def _level_header() -> str:
    """The first line of a level, with its date, by which shim takes the later one (SBAT.md)."""
    date = source_date() or datetime.now(UTC)
    return f"sbat,1,{date:%Y%m%d}00"
