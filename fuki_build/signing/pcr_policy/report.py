"""What an image's signed PCR policies are worth: whether their keys made them, and where they hold."""

import base64
import binascii
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct

from fuki_build.errors import FormatError, FukiError
from fuki_build.formats.asn1 import x509
from fuki_build.formats.documents import View
from fuki_build.formats.uki import pcrsig
from fuki_build.formats.uki.pcrsig import PolicySignature, Signatures
from fuki_build.image.assembly import Assembly
from fuki_build.image.image import ImageKind
from fuki_build.image.layout import Layout
from fuki_build.measure.predict import Prediction, cases, predict
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.signing.pcr_policy.coverage import Coverage, Phase, PolicyCoverage, PolicyScope, cover
from fuki_build.signing.pcr_policy.offline_policies import public_keys

_DIGEST = "sha256"
"""What systemd verifies policies with, whatever the bank."""


class PolicyVerdict(StrEnum):
    VALID = "valid"
    """Signed by the key that it names."""
    UNSIGNED = "unsigned"
    UNKNOWN_KEY = "unknown-key"
    """Signed by a key that is not there to verify with."""
    FORGED = "forged"
    """Not signed by the key that it names."""
    UNREADABLE = "unreadable"


BROKEN = (PolicyVerdict.FORGED, PolicyVerdict.UNREADABLE)


class PolicyPlace(View, frozen=True):
    """Where a policy holds: the profile that boots, what the machine selects, and the phase path (null before any)."""

    profile: int | None
    fwid: str | None
    compatible: str | None
    phase: str | None


class PolicyReport(View, frozen=True, kw_only=True):
    """One entry of the `.pcrsig` in the base (`profile` null) or a profile; `key` and `policy` are in hex.

    It holds in `places`, null where that cannot be told; `reason` says why, or why the verdict is not valid.
    """

    profile: int | None
    verdict: PolicyVerdict
    reason: str
    bank: str | None = None
    key: str | None = None
    registers: tuple[int, ...] = ()
    policy: str | None = None
    reference: str | None = None
    places: tuple[PolicyPlace, ...] | None = None


class MissingPolicy(View, frozen=True):
    """A place where none of a key's policies in a bank holds, though it has one for that phase in another case."""

    key: str
    bank: str
    place: PolicyPlace


class FoundPolicies(Struct, frozen=True):
    """The policies of an image by base (None) or profile, the keys to verify them with, and the flaws of the others.

    `own_keys` are the fingerprints of those keys that are in the image.
    """

    sections: Mapping[int | None, Signatures]
    keys: Mapping[str, bytes]
    own_keys: frozenset[str]
    flaws: Mapping[int | None, str]

    @property
    def banks(self) -> tuple[str, ...]:
        return tuple(sorted({bank for signatures in self.sections.values() for bank in signatures}))

    def __bool__(self) -> bool:
        return bool(self.sections or self.flaws)


def find_policies(layout: Layout, certificates: Sequence[bytes] = ()) -> FoundPolicies:
    """Read every `.pcrsig` that the stub takes. The keys of `certificates` (DER) count beside those in the image."""
    sections: dict[int | None, Signatures] = {}
    flaws: dict[int | None, str] = {}
    for profile in (None, *layout.profiles):
        # Of several in one slice, the stub takes the first.
        section = next((s for s in layout.effective(profile) if s.name == pcrsig.SECTION), None)
        if section is None or section.profile != profile or not section.content.size:
            continue

        try:
            sections[profile] = pcrsig.decode(section.content.read_small(pcrsig.MAX_SIZE, "the .pcrsig section"))
        except FormatError as error:
            flaws[profile] = error.message

    keys = public_keys(layout, list(_keys(certificates)))
    return FoundPolicies(sections, keys, frozenset(public_keys(layout, ())), flaws)


def _keys(certificates: Sequence[bytes]) -> Iterator[bytes]:
    for certificate in certificates:
        try:
            yield x509.public_key_of(certificate)
        except FormatError:
            continue


def judge(policies: FoundPolicies, entry: PolicySignature) -> tuple[PolicyVerdict, str]:
    """The verdict on an entry's signature, and why it is not valid."""
    if entry.sig is None:
        return PolicyVerdict.UNSIGNED, "it has no signature yet"

    key = policies.keys.get(entry.pkfp.lower())
    if key is None:
        return PolicyVerdict.UNKNOWN_KEY, "its key is neither in .pcrpkey nor given"

    try:
        signature = base64.b64decode(entry.sig, validate=True)
    except (binascii.Error, ValueError):
        return PolicyVerdict.FORGED, "its signature is not in base64"
    if not x509.verifies(key, signature, hashlib.sha256(entry.message).digest(), _DIGEST):
        return PolicyVerdict.FORGED, "its signature was not made by its key"
    return PolicyVerdict.VALID, ""


class PolicyFindings(Struct, frozen=True):
    """The entries of every `.pcrsig` that can be read, in the order of `coverage.held`, and reports on the others."""

    entries: tuple[PolicyReport, ...]
    unreadable: tuple[PolicyReport, ...]
    missing: tuple[MissingPolicy, ...]
    coverage: Coverage

    @property
    def reports(self) -> tuple[PolicyReport, ...]:
        return (*self.unreadable, *self.entries)


def predict_everything(layout: Layout, assembly: Assembly, banks: Sequence[str]) -> tuple[Prediction, ...] | None:
    """Predictions to hold policies against, from an assembly with what is measured; None where there are none."""
    if layout.kind is not ImageKind.UKI:
        return None
    try:
        everything = cases(layout, None, layout.profiles or (None,))
        return predict(SectionDigests(layout, assembly, tuple(banks)), everything)
    except FukiError:
        return None


def report_policies(
    policies: FoundPolicies, predictions: Sequence[Prediction] | None, phases: Sequence[Phase]
) -> PolicyFindings:
    """All entries with their verdicts and where they hold, and where none does.

    `predictions` have the policies' banks; None where nothing can be predicted.
    """
    coverage = cover(policies.sections, predictions or (), phases)
    return PolicyFindings(
        entries=tuple(_entry(policies, held, predictions) for held in coverage.held),
        unreadable=tuple(
            PolicyReport(profile=p, verdict=PolicyVerdict.UNREADABLE, reason=message)
            for p, message in policies.flaws.items()
        ),
        missing=tuple(MissingPolicy(g.key, g.bank, _place(g.place, predictions or ())) for g in coverage.gaps),
        coverage=coverage,
    )


def _entry(policies: FoundPolicies, held: PolicyCoverage, predictions: Sequence[Prediction] | None) -> PolicyReport:
    entry = held.entry
    verdict, reason = judge(policies, entry)
    known = predictions is not None and held.comparable
    other = "" if held.comparable else "it is over other registers than PCR 11"

    return PolicyReport(
        profile=held.profile,
        verdict=verdict,
        reason="; ".join(filter(None, (reason, other))),
        bank=held.bank,
        key=held.key,
        registers=entry.pcrs,
        policy=entry.pol.lower(),
        reference=entry.ref,
        places=tuple(_place(place, predictions or ()) for place in held.places) if known else None,
    )


def _place(place: PolicyScope, predictions: Sequence[Prediction]) -> PolicyPlace:
    case = predictions[place.case].case
    return PolicyPlace(case.profile, case.firmware, case.devicetree, ":".join(place.phase) or None)
