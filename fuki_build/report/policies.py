"""Policies by key: which cases and phases they cover in which banks, and those that are of no use."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from fuki_build.measure.predict import Prediction
from fuki_build.measure.registers import BANKS
from fuki_build.report.facts import CellFacts, CoverageFacts, CoverageRow, KeyFacts, PolicyFacts
from fuki_build.signing.pcr_policy.coverage import Phase, PolicyCoverage, PolicyScope
from fuki_build.signing.pcr_policy.report import BROKEN, FoundPolicies, PolicyFindings, report_policies

_MAX_KEYS = 64
"""Most keys whose coverage is told apart; real images have one or two."""
_Rows = tuple[CoverageRow, ...]


def policy_facts(
    policies: FoundPolicies,
    predictions: Sequence[Prediction] | None,
    phases: Sequence[Phase],
    ids: Mapping[int | None, str | None],
) -> PolicyFacts:
    """The policies of an image, held against predictions in their banks (None where nothing can be predicted)."""
    findings = report_policies(policies, predictions, phases)
    signers = tuple(_keys(policies, findings))

    untold = ""
    if policies.sections and predictions is None:
        untold = "nothing can be predicted of this image"
    elif len(signers) > _MAX_KEYS:
        untold = f"they name {len(signers)} keys, too many to tell apart"

    return PolicyFacts(
        count=len(findings.reports),
        signers=signers[:_MAX_KEYS],
        coverage=() if untold else tuple(_tables(findings, predictions or (), phases, ids)),
        gaps=len(findings.missing),
        stray=tuple(entry for entry in findings.entries if entry.places == ()),
        broken=tuple(report for report in findings.reports if report.verdict in BROKEN),
        untold=untold,
    )


def _keys(policies: FoundPolicies, findings: PolicyFindings) -> Iterator[KeyFacts]:
    keys: dict[str, Counter[str]] = {}
    for held, entry in zip(findings.coverage.held, findings.entries, strict=True):
        keys.setdefault(held.key, Counter())[entry.verdict.value] += 1

    for key, verdicts in keys.items():
        where = "" if key not in policies.keys else ".pcrpkey" if key in policies.own_keys else "a given certificate"
        yield KeyFacts(key, where, verdicts.total(), dict(verdicts))


def _tables(
    findings: PolicyFindings,
    predictions: Sequence[Prediction],
    phases: Sequence[Phase],
    ids: Mapping[int | None, str | None],
) -> Iterator[CoverageFacts]:
    """One table for each profile, key and reference; banks whose tables are equal share one."""
    columns = _columns(findings.coverage.held, phases)
    gaps = {(gap.key, gap.bank, gap.place) for gap in findings.coverage.gaps}
    shared: dict[tuple[int | None, str, str | None, _Rows], list[str]] = {}

    for profile in dict.fromkeys(prediction.case.profile for prediction in predictions):
        indices = [index for index, prediction in enumerate(predictions) if prediction.case.profile == profile]
        for (key, reference, bank), verdicts in _verdicts(findings, profile, predictions).items():
            rows = tuple(
                CoverageRow(
                    predictions[index].case.firmware,
                    predictions[index].case.devicetree,
                    tuple(
                        CellFacts(
                            verdicts.get(PolicyScope(index, phase)), (key, bank, PolicyScope(index, phase)) in gaps
                        )
                        for phase in columns
                    ),
                )
                for index in indices
            )
            shared.setdefault((profile, key, reference, rows), []).append(bank)

    for (profile, key, reference, rows), banks in shared.items():
        words = tuple(":".join(phase) for phase in columns)
        ordered = tuple(bank for bank in BANKS if bank in banks)
        yield CoverageFacts(
            profile=profile, id=ids.get(profile), key=key, reference=reference, banks=ordered, phases=words, rows=rows
        )


def _columns(held: Sequence[PolicyCoverage], phases: Sequence[Phase]) -> tuple[Phase, ...]:
    """The phases that were asked for, and others that some policy is for."""
    used = {place.phase for one in held for place in one.places}
    early = [()] if () in used else []
    return tuple(dict.fromkeys([*early, *phases, *sorted(used)]))


def _verdicts(
    findings: PolicyFindings, profile: int | None, predictions: Sequence[Prediction]
) -> dict[tuple[str, str | None, str], dict[PolicyScope, str]]:
    """By key, reference and bank: the verdict on the policy that holds in each place of a profile."""
    verdicts: dict[tuple[str, str | None, str], dict[PolicyScope, str]] = {}
    for held, report in zip(findings.coverage.held, findings.entries, strict=True):
        if held.comparable and profile in held.seen_by:
            own = verdicts.setdefault((held.key, held.entry.ref, held.bank), {})
            for place in held.places:
                if predictions[place.case].case.profile == profile:
                    own.setdefault(place, report.verdict.value)
    return verdicts
