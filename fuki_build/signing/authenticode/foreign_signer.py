"""What a program did to an image that it was to sign."""

from fuki_build.errors import SigningError
from fuki_build.formats.asn1 import signed_data
from fuki_build.formats.pe.authenticode import AUTHENTICODE, WinCertificate
from fuki_build.image.layout import Layout
from fuki_build.image.signatures import certificates, read_certificate, read_table
from fuki_build.signing.authenticode.signature import GOOD
from fuki_build.signing.authenticode.trust import Trust
from fuki_build.signing.authenticode.verify import verify
from fuki_build.signing.key_requirements import check_usable


def check_foreign_signature(name: str, before: Layout, after: Layout, digest: str) -> None:
    """Raise `SigningError` unless `name` added signatures that hold, made with a usable certificate, and nothing else.

    `digest` is the SHA-256 digest of the image that was to be signed, in hex. Not every program looks whether key and
    certificate belong together (systemd-sbsign 262.1 does not), and none whether the certificate has expired.
    """
    report = verify(after, Trust())
    if report.authenticode != digest:
        raise SigningError(f"{name} changed more of the image than its signature")
    if not read_table(after).startswith(read_table(before)):
        raise SigningError(f"{name} did not keep the signatures that the image had")

    had = len(_signatures(before))
    added = report.signatures[had:]
    if not added:
        raise SigningError(f"{name} did not add a signature")
    for signature_report in added:
        if signature_report.verdict not in GOOD:
            hint = "do key and certificate belong together?"
            raise SigningError(f"{name} has signed, but {signature_report.reason}", hint=hint)

    for entry in _signatures(after)[had:]:
        signature = signed_data.decode(read_certificate(after, entry))
        for own in filter(None, map(signature.certificate_of, signature.signers)):
            check_usable(own)


def _signatures(layout: Layout) -> list[WinCertificate]:
    return [entry for entry in certificates(layout) if entry.kind == AUTHENTICODE]
