"""What a release pipeline forbids to change, by name."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from msgspec import Struct

from fuki_build.errors import RecipeError, did_you_mean
from fuki_build.image.section import ADDON_PAYLOAD, HAND_OVER, IMAGE_ORDER, STUB_MEASURED, STUB_OWN
from fuki_build.report.differences.views import Change, ImageDifferences
from fuki_build.signing.authenticode.signature import GOOD

_Reasons = Callable[[ImageDifferences], Iterable[str]]
_PCRS = {f"pcr{number}": number for number in (4, 7, 9, 11, 12)}
_SECTIONS = frozenset((*STUB_MEASURED, *IMAGE_ORDER, *ADDON_PAYLOAD, *STUB_OWN, HAND_OVER, ".pcrsig"))

NAMES: Mapping[str, str] = {
    "sections": "any section is added, removed or has other content",
    ".NAME": "the section of this name does, in the base or a profile",
    "profiles": "a profile is added or removed",
    "firmware": "a firmware image is added, removed or has other content",
    "selections": "a machine gets other firmware or another devicetree",
    "sbat": "the generation of a component falls, or the component is lost; that one rises is no fault",
    "signatures": "a signer is lost, or the verdict on the image is no longer good; more signers are no fault",
    "policies": "a signed PCR policy is lost where it held; more of them are no fault",
    "launch": "a launch measurement is another, or only one image has it",
    "pcrN": "register N (4, 7, 9, 11, 12) has another value in any case that is compared, or it cannot be told",
}


class Violation(Struct, frozen=True):
    """A name that was forbidden to change, and the first thing that changed."""

    name: str
    reason: str


def check_forbidden(names: Iterable[str], sections: Iterable[str]) -> None:
    """Raises `RecipeError` for a name that stands for nothing; `sections` are the names that the images have."""
    known = [*_REASONS, *_PCRS, *sorted({*_SECTIONS, *sections})]
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known) or f"there are: {', '.join(NAMES)}"
            raise RecipeError(f"{name!r} is nothing that can be compared", where="--forbid", hint=hint)


def violations(differences: ImageDifferences, names: Iterable[str]) -> Iterator[Violation]:
    """Each name once that the differences go against; none where the images are the same, whatever cannot be told.

    `names` have passed `check_forbidden`.
    """
    if differences.identical:
        return
    for name in dict.fromkeys(names):
        if name in _PCRS:
            reasons: Iterable[str] = _registers(differences, _PCRS[name])
        elif name.startswith("."):
            reasons = _sections(differences, name)
        else:
            reasons = _REASONS[name](differences)
        reason = next(iter(reasons), None)
        if reason is not None:
            yield Violation(name, reason)


def _sections(differences: ImageDifferences, name: str | None = None) -> Iterator[str]:
    for section in differences.sections:
        if name in (None, section.name):
            yield f"section {section.name}{_at(section.profile)} is {section.change}"


def _profiles(differences: ImageDifferences) -> Iterator[str]:
    for profile in differences.profiles:
        yield f"profile {profile.id or profile.number} is {profile.change}"


def _firmware(differences: ImageDifferences) -> Iterator[str]:
    for image in differences.firmware:
        yield f"firmware {image.fwid}{_at(image.profile)} is {image.change}"


def _selections(differences: ImageDifferences) -> Iterator[str]:
    for row in differences.selections:
        old, new = (side.fwid or side.compatible or "nothing" for side in (row.old, row.new))
        more = f" (and {len(row.machines) - 1} more)" if row.machines[1:] else ""
        yield f"{row.machines[0]}{more} gets {new} instead of {old}"


def _components(differences: ImageDifferences) -> Iterator[str]:
    for component in differences.sbat:
        if component.falls:
            below = "is lost" if component.new is None else f"falls from {component.old} to {component.new}"
            flaw = f" ({differences.sbat_flaw})" if differences.sbat_flaw else ""
            yield f"SBAT component {component.component} {below}{flaw}"


def _signatures(differences: ImageDifferences) -> Iterator[str]:
    for signature in differences.signatures:
        if signature.change is Change.REMOVED:
            yield f"the signature of {signature.of} by {signature.signer} is lost"
    if differences.old.signature in GOOD and differences.new.signature not in GOOD:
        yield f"the image's signature was {differences.old.signature}, and is {differences.new.signature}"


def _policies(differences: ImageDifferences) -> Iterator[str]:
    if differences.uncovered:
        yield f"PCR policies cannot be compared: {differences.uncovered}"
    for policy in differences.policies:
        if policy.change is Change.REMOVED:
            case = policy.fwid or policy.compatible or "no firmware"
            yield f"no policy of the key {policy.fingerprint[:16]} holds with {case}{_at(policy.profile)} any more"


def _launches(differences: ImageDifferences) -> Iterator[str]:
    for launch in differences.launches or ():
        yield f"{launch.technology} {launch.register} of firmware {launch.fwid} is another"


def _registers(differences: ImageDifferences, number: int) -> Iterator[str]:
    rows = [row for row in differences.registers if row.pcr == number]
    if not rows:
        yield f"PCR {number} cannot be told: {differences.unpredicted or 'no case is in both images'}"
    for row in rows:
        if not row.same:
            became = f"cannot be told: {row.unknown}" if row.same is None else "is another"
            yield f"PCR {number}{_at(row.profile)} {became}"


def _at(profile: int | None) -> str:
    return "" if profile is None else f" of profile @{profile}"


_REASONS: Mapping[str, _Reasons] = {
    "sections": _sections,
    "profiles": _profiles,
    "firmware": _firmware,
    "selections": _selections,
    "sbat": _components,
    "signatures": _signatures,
    "policies": _policies,
    "launch": _launches,
}
