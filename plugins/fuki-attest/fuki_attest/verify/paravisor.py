"""HCL reports: what binds the paravisor's claims, and its attestation key, to the hardware."""

from collections.abc import Sequence

from fuki_attest.formats import paravisor
from fuki_attest.formats.paravisor import HclReport
from fuki_attest.formats.snp_report import SnpReport
from fuki_attest.formats.td_quote import TdQuote
from fuki_attest.formats.td_report import TdReport
from fuki_attest.pieces import Item
from fuki_attest.verify.steps import About, StepKind, Steps


def steps(item: Item, hardware: SnpReport | TdReport, quotes: Sequence[TdQuote]) -> Steps:
    """The claims against the report that the hardware made, and of a TDX machine against the quote."""
    report: HclReport = item.value
    about = About(item.name)
    claim = f"{report.algorithm} of the paravisor's claims"

    data = hardware.report_data if isinstance(hardware, SnpReport) else hardware.body.report_data
    yield about.step(
        StepKind.BINDING, claim, "the report data of the hardware's report", _has(data, report), f"that is {data.hex()}"
    )
    yield about.step(
        StepKind.BINDING,
        "key that signs the TPM's quotes",
        "the paravisor's claims",
        paravisor.ATTESTATION_KEY in report.keys,
        f"they have no {paravisor.ATTESTATION_KEY}",
    )

    if isinstance(hardware, SnpReport):
        yield about.step(
            StepKind.BINDING, "privilege level", "0, the paravisor's", hardware.vmpl == 0, f"it is {hardware.vmpl}"
        )
    elif quotes:
        bound = any(_has(quote.body.report_data, report) for quote in quotes)
        yield about.step(
            StepKind.BINDING, claim, "the report data of the quote", bound, "the quote is about other claims"
        )
    else:
        yield about.not_verified(
            StepKind.BINDING, claim, "the report data of a quote", "no quote of TDX was given", asked=True
        )


def _has(data: bytes, report: HclReport) -> bool:
    """Whether report data is the digest of the claims, filled up with zeros."""
    return data == report.digest.ljust(len(data), b"\0")
