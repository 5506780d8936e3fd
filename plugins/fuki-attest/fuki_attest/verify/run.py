"""All steps for all that was given."""

from collections.abc import Iterator, Sequence

from fuki_build.formats.tcg.event_log import EventLog, LogKind

from fuki_attest.formats import paravisor as hcl
from fuki_attest.formats.snp_report import SnpReport
from fuki_attest.formats.td_report import TdBody, TdReport
from fuki_attest.pieces import Evidence, EvidenceKind, Item
from fuki_attest.verify import paravisor, replay, snp, tdx, tpm
from fuki_attest.verify.steps import About, AppraisalPolicy, EvidenceStep, StepKind, Steps, nonce_step
from fuki_attest.verify.tpm import AttestationKey, TpmContext
from fuki_attest.verify.trust import trust

_SIGNED = {EvidenceKind.SNP_REPORT, EvidenceKind.TD_QUOTE, EvidenceKind.TPM_QUOTE}


def verify(evidence: Evidence, policy: AppraisalPolicy) -> list[EvidenceStep]:
    """The steps, in the order of the evidence. Raises `FormatError` for certificates that cannot be read."""
    certificates = [item.value for item in evidence.of(EvidenceKind.CERTIFICATE)]
    trusted = trust(policy, certificates, [item.value for item in evidence.of(EvidenceKind.REVOCATIONS)])
    quotes = [item.value for item in evidence.of(EvidenceKind.TD_QUOTE)]
    documents = [item.value for item in evidence.of(EvidenceKind.COLLATERAL)]

    steps: list[EvidenceStep] = []
    for item in evidence.items:
        if item.kind is EvidenceKind.SNP_REPORT:
            steps += snp.steps(item, certificates, trusted, policy)
        elif item.kind is EvidenceKind.TD_QUOTE:
            steps += tdx.quote_steps(item, documents, trusted, policy)
        elif item.kind is EvidenceKind.TD_REPORT:
            steps += tdx.report_steps(item, quotes)
        elif item.kind is EvidenceKind.HCL_REPORT:
            steps += paravisor.steps(item, _hardware(evidence, item), quotes)
        elif item.kind is EvidenceKind.TPM_QUOTE:
            steps += tpm.steps(item, tpm_context(evidence), trusted, policy)
        elif item.kind is EvidenceKind.EVENT_LOG:
            steps += _log_steps(evidence, item)
        steps += _nonce_steps(evidence, item, policy)

    steps += _nothing_signed(evidence)
    steps += _nowhere(evidence, policy)
    return steps


def _hardware(evidence: Evidence, item: Item) -> SnpReport | TdReport:
    """The hardware's report that stands in an HCL report: the piece that was decoded next."""
    hardware: SnpReport | TdReport = evidence.items[evidence.items.index(item) + 1].value
    return hardware


def _nonce_steps(evidence: Evidence, item: Item, policy: AppraisalPolicy) -> Steps:
    """A challenge is answered by the report data, or where a paravisor has that for its claims, by the TPM's quote."""
    if item.kind is EvidenceKind.SNP_REPORT:
        data = item.value.report_data
    elif item.kind is EvidenceKind.TD_QUOTE:
        data = item.value.body.report_data
    else:
        return
    if not is_bound(evidence, data):
        yield nonce_step(About(item.name), "the report data", data, policy)


def is_bound(evidence: Evidence, report_data: bytes) -> bool:
    """Whether a report or quote is a paravisor's: its report data are the digest of the claims of an HCL report."""
    return any(report_data.startswith(claims.value.digest) for claims in evidence.of(EvidenceKind.HCL_REPORT))


def tpm_context(evidence: Evidence) -> TpmContext:
    """What TPM quotes are held against."""
    return TpmContext(
        keys=list(_keys(evidence)),
        signatures=[item.value for item in evidence.of(EvidenceKind.TPM_SIGNATURE)],
        registers=[(item.name, item.value) for item in evidence.of(EvidenceKind.REGISTERS)],
        logs=[
            (item.name, item.value) for item in evidence.of(EvidenceKind.EVENT_LOG) if item.value.kind is LogKind.TPM
        ],
    )


def _keys(evidence: Evidence) -> Iterator[AttestationKey]:
    for item in evidence.of(EvidenceKind.HCL_REPORT):
        key = item.value.keys.get(hcl.ATTESTATION_KEY)
        if key is not None:
            yield AttestationKey(f"{hcl.ATTESTATION_KEY} of {item.name}", key, vouched=True)
    for item in evidence.of(EvidenceKind.PUBLIC_KEY):
        yield AttestationKey(item.name, item.value)
    for item in evidence.of(EvidenceKind.CERTIFICATE):
        yield tpm.of_certificate(item)


def _log_steps(evidence: Evidence, item: Item) -> Steps:
    log: EventLog = item.value
    if log.kind is LogKind.CC:
        bodies: dict[str, TdBody] = {quote.name: quote.value.body for quote in evidence.of(EvidenceKind.TD_QUOTE)}
        yield from replay.rtmr_steps(item, bodies)
        return
    about = About(item.name)
    if not evidence.of(EvidenceKind.TPM_QUOTE):
        yield about.not_verified(
            StepKind.BINDING, "events", "the registers of a TPM quote", "no quote was given", asked=True
        )
    if log.flaw:
        yield about.step(
            StepKind.BINDING,
            "log",
            "its format",
            holds=False,
            detail=f"it is damaged behind byte {log.end}: {log.flaw}",
        )


def _nothing_signed(evidence: Evidence) -> Steps:
    """Certificates and collateral prove nothing by themselves."""
    kinds = {item.kind for item in evidence.items}
    if not kinds & (_SIGNED | {EvidenceKind.TD_REPORT, EvidenceKind.EVENT_LOG}):
        names: Sequence[str] = sorted({item.file for item in evidence.items})
        yield About(", ".join(names)).not_verified(
            StepKind.SIGNATURE, "evidence", "a key", "none of it is signed evidence", asked=True
        )


def _nowhere(evidence: Evidence, policy: AppraisalPolicy) -> Steps:
    """What was asked for, and has no place in this evidence: it is not fine because nothing was looked at."""
    about = About("all evidence")
    if policy.minimum_tcb is not None and not evidence.of(EvidenceKind.SNP_REPORT):
        yield about.not_verified(StepKind.PLATFORM, "reported TCB", "a minimum", "there is no SNP report", asked=True)

    quotes = evidence.of(EvidenceKind.TPM_QUOTE)
    if policy.keys and not quotes:
        yield about.not_verified(
            StepKind.ENDORSEMENT, "attestation key", "the keys that you trust", "there is no TPM quote", asked=True
        )
    if policy.collateral and not evidence.of(EvidenceKind.TD_QUOTE) and not evidence.of(EvidenceKind.SNP_REPORT):
        yield about.not_verified(
            StepKind.ADVISORY, "evidence", "the collateral", "there is no quote and no report", asked=True
        )

    if policy.nonce is not None and evidence.of(EvidenceKind.HCL_REPORT) and not quotes:
        why = "an HCL report answers no challenge; there is no TPM quote"
        yield about.not_verified(StepKind.FRESHNESS, "it answers the challenge", "the nonce", why, asked=True)
    elif policy.nonce is not None and not {item.kind for item in evidence.items} & _SIGNED:
        yield about.not_verified(
            StepKind.FRESHNESS, "it answers the challenge", "the nonce", "nothing carries a nonce", asked=True
        )
