"""TDX quotes and reports in words."""

from collections.abc import Iterator

from fuki_attest.formats import td_quote
from fuki_attest.formats.td_quote import TdQuote
from fuki_attest.formats.td_report import TdBody, TdReport
from fuki_attest.words.fields import FieldView, bits, digest

DEBUG, MIGRATABLE = 0, 29
ATTRIBUTES = {
    DEBUG: "debugging: the host may read the guest's memory",
    4: "hardened against late microcode",
    27: "locked performance counters",
    28: "pages with #VE disabled",
    MIGRATABLE: "the guest may be moved",
    30: "protection keys for supervisors",
    31: "key locker",
    63: "performance counters",
}


def quote_fields(quote: TdQuote) -> Iterator[FieldView]:
    """All fields of a quote, the enclave's last."""
    yield FieldView("version", str(quote.version))
    yield FieldView("quoting enclave's vendor", quote.vendor.hex(), "Intel" if quote.vendor == td_quote.INTEL else "")
    yield digest("user data", quote.user_data)
    yield from body_fields(quote.body)
    enclave = quote.qe_report
    yield digest("attestation key", quote.key)
    yield digest("enclave's measurement", enclave.mr_enclave)
    yield digest("enclave's signer", enclave.mr_signer)
    yield FieldView("enclave's product", str(enclave.product))
    yield FieldView("enclave's svn", str(enclave.svn))
    yield digest("enclave's cpu svn", enclave.cpu_svn)
    yield digest("enclave's attributes", enclave.attributes)
    yield digest("enclave's report data", enclave.report_data)

    if quote.rest:
        yield FieldView("behind the quote", f"{len(quote.rest)} bytes", "nothing vouches for them")


def report_fields(report: TdReport) -> Iterator[FieldView]:
    """All fields of a bare report."""
    yield FieldView("version", f"{report.subtype}.{report.version}")
    yield digest("cpu svn", report.cpu_svn)
    yield from body_fields(report.body)
    yield digest("hash of the tcb's part", report.tcb_hash)
    yield digest("hash of the guest's part", report.info_hash)
    yield FieldView("mac", report.mac.hex(), "only the processor that made it can check it")


def body_fields(body: TdBody) -> Iterator[FieldView]:
    """The measurements of a guest, and those of what it rests on."""
    yield FieldView("tee tcb svn", body.tee_tcb_svn.hex(), f"TDX module {body.tee_tcb_svn[1]}.{body.tee_tcb_svn[0]}")
    yield digest("mrseam", body.mr_seam)
    yield digest("mrsignerseam", body.mr_signer_seam, "Intel's own module")
    yield FieldView("seam attributes", f"{body.seam_attributes:#x}")
    yield FieldView("td attributes", f"{body.td_attributes:#x}", bits(body.td_attributes, ATTRIBUTES))
    yield FieldView("xfam", f"{body.xfam:#x}")
    yield FieldView("mrtd", body.mr_td.hex(), "what the guest was made of at launch")
    yield digest("mrconfigid", body.mr_config_id, "the host gave none")
    yield digest("mrowner", body.mr_owner, "the host gave none")
    yield digest("mrownerconfig", body.mr_owner_config, "the host gave none")

    for number, value in enumerate(body.rtmrs):
        yield digest(f"rtmr{number}", value, "nothing was measured into it")

    yield digest("report data", body.report_data)
    if body.tee_tcb_svn_2 is not None and body.mr_service_td is not None:
        yield digest("tee tcb svn 2", body.tee_tcb_svn_2)
        yield digest("mrservicetd", body.mr_service_td, "no service guest")
