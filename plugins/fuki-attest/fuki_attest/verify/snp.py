"""SEV-SNP reports: the chip's or the provider's key, what it certifies, and the guest's policy."""

from collections.abc import Sequence

from cryptography import x509

from fuki_attest.formats import certificate
from fuki_attest.formats.certificate import AmdExtensions
from fuki_attest.formats.snp_report import SnpKey, SnpReport
from fuki_attest.pieces import Item
from fuki_attest.verify.signatures import verifies_p384
from fuki_attest.verify.steps import (
    About,
    AppraisalPolicy,
    EvidenceStep,
    StepKind,
    Steps,
    confidentiality_step,
)
from fuki_attest.verify.trust import TrustStore, chain_steps
from fuki_attest.words import snp as words

_KEYS = {SnpKey.VCEK: "VCEK", SnpKey.VLEK: "VLEK"}


def steps(item: Item, certificates: Sequence[x509.Certificate], trusted: TrustStore, policy: AppraisalPolicy) -> Steps:
    """All that can be said of one report. Raises `FormatError` for a certificate with damaged extensions."""
    report: SnpReport = item.value
    about = About(item.name)
    name = _KEYS.get(SnpKey(report.signing_key)) if report.signing_key in set(SnpKey) else None
    if name is None:
        yield about.step(
            StepKind.SIGNATURE, "signature", "AMD's keys", holds=False, detail="the report says that it is not signed"
        )
    else:
        yield from _signature_steps(about, report, name, certificates, trusted, policy)
    yield from _policy_steps(about, report, policy)
    yield _minimum_step(about, report, policy)


def _signature_steps(
    about: About,
    report: SnpReport,
    name: str,
    certificates: Sequence[x509.Certificate],
    trusted: TrustStore,
    policy: AppraisalPolicy,
) -> Steps:
    candidates = [
        (one, extensions) for one in certificates if (extensions := certificate.amd_extensions(one)) is not None
    ]
    if not candidates:
        yield about.not_verified(StepKind.SIGNATURE, "signature", f"the {name}", f"no {name} was given", asked=True)
        return

    signers = [pair for pair in candidates if verifies_p384(pair[0].public_key(), report.signature, report.signed)]
    signer, extensions = (signers or candidates)[0]
    against = f"{certificate.name(signer)} for {extensions.product}"
    yield about.step(
        StepKind.SIGNATURE, "signature", against, bool(signers), "another key made it, or the report was changed"
    )

    yield about.step(
        StepKind.PLATFORM,
        "kind of key",
        f"the {name} that the report names",
        _kind(extensions) == name,
        f"it is a {_kind(extensions)}",
    )
    yield _chip_step(about, report, extensions)
    yield about.step(
        StepKind.PLATFORM,
        "reported TCB",
        f"{certificate.name(signer)}'s extensions",
        extensions.tcb == report.reported_tcb,
        f"the report has {words.tcb(report.reported_tcb)}, the certificate {words.tcb(extensions.tcb)}",
    )
    yield _processor_step(about, report, extensions, certificate.name(signer))
    yield from chain_steps(about, signer, trusted, policy)


def _processor_step(about: About, report: SnpReport, extensions: AmdExtensions, signer: str) -> EvidenceStep:
    processor, against = words.processor(report), f"{signer}'s product"
    if not processor:
        why = "reports of version 2 do not tell it" if report.cpuid is None else "its family and model are not known"
        return about.not_verified(StepKind.PLATFORM, "processor", against, why, asked=False)
    return about.step(
        StepKind.PLATFORM,
        "processor",
        against,
        extensions.product.partition("-")[0] in processor.split(" or "),
        f"the report is of {processor}, the certificate of {extensions.product}",
    )


def _kind(extensions: AmdExtensions) -> str:
    return "VLEK" if extensions.provider is not None and not extensions.chip_id else "VCEK"


def _chip_step(about: About, report: SnpReport, extensions: AmdExtensions) -> EvidenceStep:
    if _kind(extensions) == "VLEK":
        why = f"a VLEK is the provider's ({extensions.provider}), not one chip's"
        return about.not_verified(StepKind.PLATFORM, "chip", "the certificate", why, asked=False)
    if report.chip_key_masked or not any(report.chip_id):
        return about.not_verified(
            StepKind.PLATFORM, "chip", "the certificate", "the host masks the chip's id", asked=False
        )

    # Turin's id has 8 bytes; the report fills it up with zeros.
    chip_id = (extensions.chip_id or b"").ljust(len(report.chip_id), b"\0")
    return about.step(
        StepKind.PLATFORM, "chip", "the certificate", chip_id == report.chip_id, "the key is another chip's"
    )


def _policy_steps(about: About, report: SnpReport, policy: AppraisalPolicy) -> Steps:
    debug, migration = (bool(report.policy >> bit & 1) for bit in (words.DEBUG, words.MIGRATION_AGENT))
    why = "the host may read and change the guest's memory"
    yield confidentiality_step(about, "policy: debugging", "off", why if debug else "", allowed=policy.allow_debug)
    why = "an agent may move the guest elsewhere"
    allowed = policy.allow_migration
    yield confidentiality_step(about, "policy: migration agent", "none", why if migration else "", allowed=allowed)


def _minimum_step(about: About, report: SnpReport, policy: AppraisalPolicy) -> EvidenceStep:
    minimum = policy.minimum_tcb
    if minimum is None:
        why = f"no minimum was given; the report has {words.tcb(report.reported_tcb)}"
        return about.not_verified(StepKind.PLATFORM, "reported TCB", "a minimum", why, asked=False)
    return about.step(
        StepKind.PLATFORM,
        "reported TCB",
        f"at least {words.tcb(minimum)}",
        report.reported_tcb.covers(minimum),
        f"it is {words.tcb(report.reported_tcb)}",
    )
