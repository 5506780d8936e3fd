"""What two images are trusted for: SBAT generations, signatures, and signed PCR policies."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from fuki_build.formats.uki import sbat
from fuki_build.formats.uki.sbat import SbatRow
from fuki_build.report.differences.boots import CasePair
from fuki_build.report.differences.compared import Compared
from fuki_build.report.differences.views import (
    Change,
    ComponentDifference,
    PolicyDifference,
    SelectedView,
    SignatureDifference,
)
from fuki_build.signing.authenticode.signature import GOOD, SignatureVerdict
from fuki_build.signing.authenticode.verify import ImageReport
from fuki_build.signing.pcr_policy.report import PolicyVerdict

_UNBROKEN = (*GOOD, SignatureVerdict.UNTRUSTED)
_OPENING = (PolicyVerdict.VALID, PolicyVerdict.UNKNOWN_KEY)
"""Verdicts on policies that may open a secret; whose key nobody has here counts as signed."""


def component_differences(old: Sequence[SbatRow], new: Sequence[SbatRow]) -> Iterator[ComponentDifference]:
    """Components whose generation is another, those of the old image first."""
    before, after = sbat.generations(old), sbat.generations(new)
    for component in dict.fromkeys((*before, *after)):
        if before.get(component) != after.get(component):
            yield ComponentDifference(component, before.get(component), after.get(component))


def signature_differences(old: Compared, new: Compared) -> Iterator[SignatureDifference]:
    """Signers who signed one image only, or a kernel in one only; what is broken, or refused, counts for nothing."""
    before, after = _signers(old), _signers(new)
    for change, signers, others in ((Change.REMOVED, before, after), (Change.ADDED, after, before)):
        for (name, fingerprint), subject in signers.items():
            if (name, fingerprint) not in others:
                yield SignatureDifference(change=change, of=name, signer=subject, fingerprint=fingerprint)


def _signers(side: Compared) -> Mapping[tuple[str, str], str]:
    signers: dict[tuple[str, str], str] = {}
    image = ("image", side.report.signature)
    for name, report in (image, *((kernel.name, kernel) for kernel in side.report.kernel_signatures)):
        for fingerprint, subject in _unbroken(report):
            signers[name, fingerprint] = subject
    return signers


def _unbroken(report: ImageReport) -> Iterator[tuple[str, str]]:
    if report.verdict in _UNBROKEN:
        for signature in report.signatures:
            if signature.verdict in _UNBROKEN and signature.certificate:
                yield signature.certificate.fingerprint, signature.certificate.subject


class _Opening(NamedTuple):
    """How a secret is opened: by a policy of a key (and reference) over a bank, after a phase path."""

    fingerprint: str
    reference: str | None
    bank: str
    phase: str


_Case = tuple[int | None, SelectedView]


def policy_differences(old: Compared, new: Compared, cases: Sequence[CasePair]) -> Iterator[PolicyDifference]:
    """In each case that is compared: what opens secrets with one image only."""
    before, after = _openings(old), _openings(new)
    for case in cases:
        one = before.get((case.profiles[0], case.old), {})
        other = after.get((case.profiles[1], case.new), {})
        for change, openings, others in ((Change.REMOVED, one, other), (Change.ADDED, other, one)):
            rest = [opening for opening in openings if opening not in others]
            yield from _grouped(change, rest, (case.profiles[1], case.new))


def _openings(side: Compared) -> Mapping[_Case, Mapping[_Opening, None]]:
    openings: dict[_Case, dict[_Opening, None]] = {}
    for table in side.report.policies.coverage:
        for row in table.rows:
            own = openings.setdefault((table.profile, SelectedView(row.fwid, row.compatible)), {})
            for phase, cell in zip(table.phases, row.cells, strict=True):
                if cell.verdict in _OPENING:
                    own |= {_Opening(table.key, table.reference, bank, phase): None for bank in table.banks}
    return openings


def _grouped(change: Change, openings: Sequence[_Opening], case: _Case) -> Iterator[PolicyDifference]:
    """One difference for all phases and banks of a key."""
    by_key: dict[tuple[str, str | None], list[_Opening]] = {}
    for opening in openings:
        by_key.setdefault((opening.fingerprint, opening.reference), []).append(opening)
    for (fingerprint, reference), same in by_key.items():
        yield PolicyDifference(
            change=change,
            fingerprint=fingerprint,
            reference=reference,
            profile=case[0],
            fwid=case[1].fwid,
            compatible=case[1].compatible,
            phases=tuple(dict.fromkeys(opening.phase or None for opening in same)),
            banks=tuple(dict.fromkeys(opening.bank for opening in same)),
        )
