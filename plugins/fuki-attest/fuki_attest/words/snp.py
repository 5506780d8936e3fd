"""SEV-SNP reports in words (56860, 7.3 and 4.3)."""

from collections.abc import Iterator

from fuki_attest.formats.snp_report import SnpBuild, SnpKey, SnpReport, SnpTcb
from fuki_attest.words.fields import FieldView, bits, digest

DEBUG, MIGRATION_AGENT = 19, 18
POLICY_BITS = {
    16: "SMT allowed",
    17: "always set",
    MIGRATION_AGENT: "a migration agent may move the guest",
    DEBUG: "debugging: the host may read the guest's memory",
    20: "one socket only",
    21: "CXL allowed",
    22: "memory encrypted with AES-256-XTS only",
    23: "RAPL switched off",
    24: "ciphertext hidden from the host",
    25: "pages are not moved",
}
PLATFORM_BITS = {
    0: "SMT on",
    1: "TSME on",
    2: "ECC memory",
    3: "RAPL off",
    4: "ciphertext hidden",
    5: "memory aliases checked",
    7: "SEV-TIO on",
}
_KEYS = {
    SnpKey.VCEK: "VCEK, the chip's own key",
    SnpKey.VLEK: "VLEK, a key that AMD made for the provider",
    SnpKey.NONE: "none: the report is not signed",
}
_FAMILIES = {(0x19, 0x00): "Milan", (0x19, 0x01): "Milan", (0x19, 0x10): "Genoa", (0x19, 0x11): "Genoa"}
_FAMILIES |= {(0x19, model): "Genoa or Siena" for model in range(0xA0, 0xB0)}
_FAMILIES |= {(0x1A, model): "Turin" for model in range(0x12)}


def fields(report: SnpReport) -> Iterator[FieldView]:
    """All fields of a report, in its order."""
    policy = report.policy
    yield FieldView("version", str(report.version))
    yield FieldView("guest svn", str(report.guest_svn), "the ID block's security version")
    yield FieldView(
        "policy", f"{policy:#x}", f"firmware {policy >> 8 & 255}.{policy & 255} or later; {policy_bits(policy)}"
    )
    yield digest("family id", report.family_id)
    yield digest("image id", report.image_id)
    yield FieldView("vmpl", str(report.vmpl), "the privilege level that asked for the report")
    yield FieldView("signature algorithm", str(report.signature_algorithm), "ECDSA P-384 with SHA-384")
    yield FieldView("current tcb", tcb(report.current_tcb))
    yield FieldView("platform info", f"{report.platform_info:#x}", bits(report.platform_info, PLATFORM_BITS))
    yield FieldView("author key", "yes" if report.author_key_enabled else "no")
    yield FieldView("chip key masked", "yes" if report.chip_key_masked else "no")

    yield FieldView(
        "signing key",
        str(report.signing_key),
        _KEYS.get(SnpKey(report.signing_key), "") if (report.signing_key in set(SnpKey)) else "not known",
    )

    yield digest("report data", report.report_data)
    yield digest("measurement", report.measurement)
    yield digest("host data", report.host_data, "the host gave none")
    yield digest("id key digest", report.id_key_digest, "no ID block")
    yield digest("author key digest", report.author_key_digest, "no author's key")
    yield digest("report id", report.report_id)
    yield digest("report id of the migration agent", report.report_id_ma, "")
    yield FieldView("reported tcb", tcb(report.reported_tcb), "what the signing key was derived from")

    if report.cpuid is not None:
        family, model, stepping = report.cpuid
        yield FieldView("cpuid", f"{family:#x} {model:#x} {stepping:#x}", processor(report) or "not known")

    yield digest("chip id", report.chip_id, "masked")
    yield FieldView("committed tcb", tcb(report.committed_tcb), "the firmware cannot go back below it")
    yield FieldView("current firmware", build(report.current_build))
    yield FieldView("committed firmware", build(report.committed_build))
    yield FieldView("launch tcb", tcb(report.launch_tcb), "when the guest started")

    if report.launch_mitigations is not None and report.current_mitigations is not None:
        yield FieldView("launch mitigations", f"{report.launch_mitigations:#x}")
        yield FieldView("current mitigations", f"{report.current_mitigations:#x}")


def policy_bits(policy: int) -> str:
    """The bits of a guest policy above the firmware's version, without the one that is always set."""
    return bits(policy & ~0xFFFF & ~(1 << 17), POLICY_BITS)


def processor(report: SnpReport) -> str:
    """The processor's generation, where the report tells it; empty where it does not."""
    return "" if report.cpuid is None else _FAMILIES.get(report.cpuid[:2], "")


def tcb(value: SnpTcb) -> str:
    """Security versions, such as `boot loader 3, tee 0, snp 10, microcode 169`."""
    first = "" if value.fmc is None else f"fmc {value.fmc}, "
    return f"{first}boot loader {value.boot_loader}, tee {value.tee}, snp {value.snp}, microcode {value.microcode}"


def build(value: SnpBuild) -> str:
    return f"{value.major}.{value.minor}.{value.build}"
