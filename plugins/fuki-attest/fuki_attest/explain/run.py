"""Evidence explained: each launch digest, register and log by what the images may have measured."""

from collections.abc import Iterator, Mapping, Sequence

from fuki_build import (
    DigestQuestion,
    RegisterQuestion,
    RegisterValue,
    asked_of_recipe,
    reasons_of_log,
    search_in_log,
    search_launches,
    search_registers,
)
from fuki_build.formats.hashes import SIZES

from fuki_attest.explain.question import ExplainQuestion
from fuki_attest.explain.views import (
    ExplainDocument,
    ExplainedLaunchView,
    ExplainedLogView,
    ExplainedRegisterView,
    LogReasonView,
)
from fuki_attest.formats.td_report import TdBody
from fuki_attest.image.registers import REGISTERS, quoted_values
from fuki_attest.pieces import Evidence, EvidenceKind, Item
from fuki_attest.verify.replay import Values
from fuki_attest.verify.run import is_bound, tpm_context
from fuki_attest.words import snp as snp_words

_PARAVISOR = "the hardware measured the paravisor, which no image has; the image is in the TPM's registers"
_SECURE_BOOT = 7
_NOT_QUOTED = "no list of registers and no log has the quote's digest, so that there are no values to explain"
_BANKS = ("sha256", "sha384", "sha512", "sha1")


def explain(evidence: Evidence, question: ExplainQuestion) -> ExplainDocument:
    """What all of the evidence was made of. Raises `FukiError` where nothing can be predicted."""
    launches: list[ExplainedLaunchView] = []
    registers: list[ExplainedRegisterView] = []
    logs: list[ExplainedLogView] = []
    notes: list[str] = []
    for item in evidence.items:
        if item.kind is EvidenceKind.SNP_REPORT:
            launches += _snp(item, evidence, question, notes)
        elif item.kind in (EvidenceKind.TD_QUOTE, EvidenceKind.TD_REPORT):
            body: TdBody = item.value.body
            if is_bound(evidence, body.report_data):
                notes.append(f"{item.name}: {_PARAVISOR}")
                continue
            launches.append(_launch(item.name, body.mr_td, "tdx", question))
            registers += _rtmrs(item.name, body, evidence, question)
        elif item.kind is EvidenceKind.EVENT_LOG:
            logs += _logs(item, question)

    for name, values in _tpm_values(evidence, notes):
        registers += _pcrs(name, values, evidence, question)
    if not (launches or registers or logs or notes):
        notes.append("there is no report, no quote, no log and no list of registers: nothing was measured")
    return ExplainDocument(tuple(launches), tuple(registers), tuple(logs), tuple(notes))


def _snp(item: Item, evidence: Evidence, question: ExplainQuestion, notes: list[str]) -> Iterator[ExplainedLaunchView]:
    report = item.value
    if is_bound(evidence, report.report_data):
        notes.append(f"{item.name}: {_PARAVISOR}")
        return
    if report.vmpl and question.svsm is None:
        text = f"the report is of VMPL {report.vmpl}: an SVSM or a paravisor stands below the guest; give --svsm"
        notes.append(f"{item.name}: {text}")
    launch = _launch(item.name, report.measurement, "sev-snp", question)
    processor = snp_words.processor(report)
    if processor and not launch.search.found:
        notes.append(f"{item.name}: the processor is {processor}, which QEMU's vCPU model need not be")
    yield launch


def _launch(name: str, digest: bytes, technology: str, question: ExplainQuestion) -> ExplainedLaunchView:
    asked = () if question.recipe is None else asked_of_recipe(question.host, question.recipe)
    about = DigestQuestion(
        digest=digest,
        technology=technology,
        files=question.files,
        asked=tuple(one for one in asked if not one.technologies or technology in one.technologies),
        texts=question.texts,
        svsm=question.svsm,
    )
    return ExplainedLaunchView(name, search_launches(question.host, about))


def _rtmrs(name: str, body: TdBody, evidence: Evidence, question: ExplainQuestion) -> Iterator[ExplainedRegisterView]:
    values = tuple(
        RegisterValue(register=f"RTMR{number}", bank="sha384", value=body.rtmrs[number])
        for number in (1, 2)
        if any(body.rtmrs[number])
    )
    yield from _registers(name, values, evidence, question)


def _tpm_values(evidence: Evidence, notes: list[str]) -> Iterator[tuple[str, Values]]:
    """The registers that quotes vouch for; without any quote, those that are listed."""
    quotes = evidence.of(EvidenceKind.TPM_QUOTE)
    context = tpm_context(evidence)
    for quote in quotes:
        values = quoted_values(quote.value, context)
        if values is None:
            notes.append(f"{quote.name}: {_NOT_QUOTED}")
            continue
        selected = {(bank, number) for bank, numbers in quote.value.selection for number in numbers}
        yield quote.name, {key: value for key, value in values.items() if key in selected}
    if not quotes:
        yield from context.registers


def _pcrs(name: str, values: Values, evidence: Evidence, question: ExplainQuestion) -> Iterator[ExplainedRegisterView]:
    """The image's own registers, in one bank: the same is measured into all of them."""
    bank = next((bank for bank in _BANKS if any(bank == one for one, _ in values)), None)
    ours = tuple(
        RegisterValue(register=f"PCR {number}", bank=bank, value=values[bank, number])
        for number in sorted((*REGISTERS, *((_SECURE_BOOT,) if question.tells_secure_boot else ())))
        if bank is not None and (bank, number) in values
    )
    yield from _registers(name, ours, evidence, question)


def _registers(
    name: str, values: Sequence[RegisterValue], evidence: Evidence, question: ExplainQuestion
) -> Iterator[ExplainedRegisterView]:
    """What the images measure; where that does not give a value as it is, the logs before it."""
    if not values or not question.ukis:
        return
    searched = search_registers(
        RegisterQuestion(
            values=tuple(values),
            images=question.ukis,
            machines=question.machines,
            boot=question.boot([one.bank for one in values]),
            texts=question.texts,
        )
    )
    for value, view in zip(values, searched, strict=True):
        if not any(not match.changes for match in view.matches):
            for log in evidence.of(EvidenceKind.EVENT_LOG):
                of_log = search_in_log(log.value, value)
                if of_log is not None:
                    yield ExplainedRegisterView(name, of_log, log.name)
        yield ExplainedRegisterView(name, view)


def _logs(item: Item, question: ExplainQuestion) -> Iterator[ExplainedLogView]:
    """A log by the image that explains most of it."""
    log = item.value
    boot = question.boot([bank for bank in log.banks if bank in SIZES])
    reasons: Mapping[str, Sequence[tuple[str, str]]] = {
        image.name: reasons_of_log(log, image, question.machines, boot) for image in question.ukis
    }
    if reasons:
        image = min(reasons, key=lambda name: len(reasons[name]))
        yield ExplainedLogView(item.name, image, tuple(LogReasonView(*reason) for reason in reasons[image]))
