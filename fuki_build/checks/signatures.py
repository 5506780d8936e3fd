"""Rules about signatures."""

from collections.abc import Iterator

from fuki_build.errors import FormatError
from fuki_build.formats.authenticode import AUTHENTICODE
from fuki_build.hooks.records import Finding, Problem, Problems, Rule, Severity, Subject
from fuki_build.image.signatures import certificates, read_certificate
from fuki_build.signing.request import Signer


def unknown_to_firmware(subject: Subject) -> Problems:
    """What of the signatures of a finished image firmware may not know."""
    if not subject.layout.certificate_table.size:
        return
    from fuki_build.formats import signed_data, x509  # noqa: PLC0415 - cryptography is slow to load
    from fuki_build.signing.suitability import firmware_doubts  # noqa: PLC0415

    try:
        for entry in certificates(subject.layout):
            if entry.kind != AUTHENTICODE:
                continue
            signature = signed_data.decode(read_certificate(subject.layout, entry))
            for certificate in filter(None, map(signature.certificate_of, signature.signers)):
                for doubt in firmware_doubts(x509.public_key_of(certificate), signature.algorithm):
                    yield Problem(doubt, where=x509.subject(certificate))
    except FormatError as error:
        yield Problem(f"a signature cannot be read: {error.message}")


FIRMWARE = Rule(
    "signature-unusual",
    Severity.WARNING,
    "Every firmware knows the kinds of keys and digests that the signatures are made with",
    "UEFI firmware verifies RSA signatures with 2048 bits and SHA-256. Longer RSA keys are widely known, other digests "
    "and elliptic curves are not: such an image starts in tests and is refused by other machines.",
    unknown_to_firmware,
)


def doubts(signer: Signer) -> Iterator[Finding]:
    """The same of a signature that is going to be made."""
    from fuki_build.signing.suitability import firmware_doubts  # noqa: PLC0415 - cryptography is slow to load

    if signer.key is not None:
        for doubt in firmware_doubts(signer.key.public_key, signer.request.digest):
            yield Finding(FIRMWARE.id, FIRMWARE.severity, doubt, signer.request.where)


RULES = (FIRMWARE,)
