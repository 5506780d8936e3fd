"""What a policy says of an event log, as plain values."""

from collections import Counter
from collections.abc import Sequence

from fuki_build.formats.documents import View
from fuki_build.measure.log_policy import LogJudgement


class JudgedView(View, frozen=True, kw_only=True):
    """The ruling on the event of this number, why, and what in a policy would accept it; null where nothing need be."""

    number: int
    ruling: str
    because: str
    remedy: str | None


class LogPolicyView(View, frozen=True, kw_only=True):
    """A log judged in one bank; `missing` says what the policy names and the log does not have."""

    policy: str
    bank: str
    image: str | None
    holds: bool
    events: Sequence[JudgedView]
    missing: Sequence[str]

    @property
    def counts(self) -> Counter[str]:
        return Counter(event.ruling for event in self.events)


def log_policy_view(policy: str, bank: str, image: str | None, judgement: LogJudgement) -> LogPolicyView:
    events = [
        JudgedView(number=item.number, ruling=item.ruling.value, because=item.because, remedy=item.remedy or None)
        for item in judgement.events
    ]
    return LogPolicyView(
        policy=policy, bank=bank, image=image, holds=judgement.holds, events=events, missing=judgement.missing
    )
