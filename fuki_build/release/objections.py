"""Reasons not to release an image after another one."""

from collections.abc import Iterator, Mapping, Sequence

from fuki_build.formats import version_order
from fuki_build.formats.documents import View
from fuki_build.formats.uki.sbat import generations
from fuki_build.image.profiles import profile_ids, successors
from fuki_build.image.selection import Hit
from fuki_build.release.policies import policy_objections
from fuki_build.release.reason import Reason, place
from fuki_build.release.released import ReleasedImage
from fuki_build.release.served import ServedMachine
from fuki_build.signing.authenticode.signature import GOOD, SignatureReport, SignatureVerdict

REASONS: Mapping[str, str] = {
    "version-not-newer": "the new image's version is not above that of the old one, or one of them tells none",
    "other-system": "boot menus take the new image for another system, and not for a newer version of the old one",
    "profile-lost": "a profile of the old image is not in the new one",
    "firmware-lost": "a machine that selected firmware from the old image selects none from the new one",
    "devicetree-lost": "a machine that selected a devicetree from the old image selects none from the new one",
    "sbat-generation-falls": "a component has a lower generation than in the old image",
    "sbat-component-lost": "a component of the old image's .sbat is not in that of the new one",
    "policies-lost": "the old image has signed PCR policies, and the new one has none",
    "policy-key-lost": "a key that signed policies of the old image signed none of the new one",
    "policy-gap": "no policy of a key holds on what the new image measures where one held with the old image",
    "signature-invalid": "the new image's signature is broken, or not trusted by what is given",
    "signer-lost": "nobody signed the new image whom those trust that take the old one for its signature",
}


class Objection(View, frozen=True, kw_only=True):
    """A reason not to release: `machines` are those that it is about, `allowed` tells that it was accepted."""

    id: str
    message: str
    machines: tuple[str, ...] = ()
    allowed: bool = False


def object_to(
    old: ReleasedImage, new: ReleasedImage, served: Sequence[ServedMachine], *, trusted: bool
) -> tuple[Reason, ...]:
    """All reasons against the new image; `trusted` tells that its verdict says whether firmware trusts it."""
    return (
        *_version(old, new),
        *_profiles(old, new),
        *_selections(served),
        *_sbat(old, new),
        *policy_objections(old, new, served),
        *_signers(old, new, trusted=trusted),
    )


def _version(old: ReleasedImage, new: ReleasedImage) -> Iterator[Reason]:
    rule = "version-not-newer"
    if old.version is None or new.version is None:
        which = "neither image tells" if old.version == new.version else "one of the images does not tell"
        yield Reason(rule, f"{which} its version: .osrel has IMAGE_VERSION= or VERSION_ID=")
    elif version_order.compare(new.version, old.version) <= 0:
        yield Reason(rule, f"version {new.version} is not newer than {old.version}")

    if old.system != new.system:
        yield Reason("other-system", f"the old image is of {old.system or 'no system'}, the new one of {new.system}")


def _profiles(old: ReleasedImage, new: ReleasedImage) -> Iterator[Reason]:
    ids, following = profile_ids(old.layout), successors(old.layout, new.layout)
    for number in old.profiles:
        if number not in following:
            name = place(number, None if number is None else ids.get(number))
            yield Reason("profile-lost", f"the new image has no {name}")


def _selections(served: Sequence[ServedMachine]) -> Iterator[Reason]:
    lost: dict[tuple[str, str, int | None], dict[str, None]] = {}
    for one in served:
        for kind, before, after in (
            ("firmware", one.before.firmware, one.after.firmware),
            ("devicetree", one.before.devicetree, one.after.devicetree),
        ):
            key = _key(before)
            if key is not None and _key(after) is None:
                lost.setdefault((kind, key, one.before.profile), {})[one.machine] = None

    for (kind, key, profile), machines in lost.items():
        at = "" if profile is None else f" in {place(profile)}"
        yield Reason(f"{kind}-lost", f"{kind} {key} was selected{at}, and none is now", tuple(machines))


def _key(hit: Hit | None) -> str | None:
    return hit.key if hit else None


def _sbat(old: ReleasedImage, new: ReleasedImage) -> Iterator[Reason]:
    before, after = generations(old.sbat), generations(new.sbat)
    flaw = f" ({new.sbat_flaw})" if new.sbat_flaw else ""
    for component, generation in before.items():
        if component not in after:
            yield Reason("sbat-component-lost", f"{component} is not in the new image's .sbat{flaw}")
        elif after[component] < generation:
            text = f"{component} falls from generation {generation} to {after[component]}"
            yield Reason("sbat-generation-falls", text)


_UNBROKEN = (*GOOD, SignatureVerdict.UNTRUSTED)


def _signers(old: ReleasedImage, new: ReleasedImage, *, trusted: bool) -> Iterator[Reason]:
    verdict, reason = new.signature.verdict, new.signature.reason
    if verdict not in (*_UNBROKEN, SignatureVerdict.UNSIGNED) or (trusted and verdict not in GOOD):
        yield Reason("signature-invalid", f"the new image's signature is {verdict}: {reason}")
        return
    if trusted:
        # What firmware trusts was given, and it takes the new image, whoever signed the old one.
        return

    own = [report for report in new.signature.signatures if report.verdict in _UNBROKEN]
    for report in old.signature.signatures:
        if report.verdict in _UNBROKEN and not any(_stands_for(one, report) for one in own):
            subject = report.certificate.subject if report.certificate else "somebody"
            yield Reason(
                "signer-lost", f"{subject} signed the old image, and neither they nor their issuer the new one"
            )


def _stands_for(new: SignatureReport, old: SignatureReport) -> bool:
    """Whether a signature is by the same certificate, or by another one of the same issuer."""
    if new.certificate is None or old.certificate is None:
        return False
    if new.certificate.fingerprint == old.certificate.fingerprint:
        return True
    return old.certificate.issuer == new.certificate.issuer != new.certificate.subject
