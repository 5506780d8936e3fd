"""Predictions by profile: what depends on the selected firmware apart from what does not."""

from collections.abc import Mapping, Sequence
from itertools import groupby

from fuki_build.image.layout import Layout
from fuki_build.measure import pcr11
from fuki_build.measure.boot import Boot
from fuki_build.measure.predict import Prediction
from fuki_build.measure.views import CaseView, predictions_view
from fuki_build.report.facts import CaseFacts, ProfileFacts
from fuki_build.signing.pcr_policy.coverage import Phase


def profile_facts(
    layout: Layout,
    predictions: Sequence[Prediction],
    phases: Sequence[Phase],
    boot: Boot,
    titles: Mapping[int | None, str | None],
) -> tuple[ProfileFacts, ...]:
    """The predictions of each profile. What a machine selects changes nothing but PCR 11."""
    view = predictions_view(layout, predictions, phases, boot)
    pairs = list(zip(view.predictions, predictions, strict=True))

    facts = []
    for profile, members in groupby(pairs, key=lambda pair: pair[0].profile):
        own = list(members)
        first = own[0][0]
        facts.append(
            ProfileFacts(
                profile=profile,
                id=first.profile_id,
                title=titles.get(profile),
                registers=tuple(register for register in first.registers if register.pcr != pcr11.PCR),
                events=tuple(event for event in first.events if event.pcr != pcr11.PCR),
                cases=tuple(_case(shown, prediction) for shown, prediction in own),
                first_start=next((tuple(shown.first_start) for shown, _ in own if shown.first_start), ()),
            )
        )

    return tuple(facts)


def _case(shown: CaseView, prediction: Prediction) -> CaseFacts:
    return CaseFacts(
        fwid=shown.fwid,
        compatible=shown.compatible,
        machines=tuple(shown.machines),
        registers=tuple(register for register in shown.registers if register.pcr == pcr11.PCR),
        measured=tuple(section.name for section in prediction.case.measured),
    )
