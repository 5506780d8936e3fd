"""Rules about signatures."""

from collections.abc import Iterator

from fuki_build.errors import FormatError
from fuki_build.formats.pe.authenticode import AUTHENTICODE, PADDING, uncovered
from fuki_build.formats.uki import sbat
from fuki_build.hooks.rules import CheckSubject, Finding, Problem, Problems, Rule, Severity
from fuki_build.image.signatures import certificates, read_certificate
from fuki_build.signing.request import Signer


def unknown_to_firmware(subject: CheckSubject) -> Problems:
    """What of the signatures of a finished image firmware may not know."""
    if not subject.layout.certificate_table.size:
        return
    from fuki_build.formats.asn1 import signed_data, x509  # noqa: PLC0415 - cryptography is slow to load
    from fuki_build.signing.key_requirements import firmware_doubts  # noqa: PLC0415

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
    id="signature-unusual",
    severity=Severity.WARNING,
    summary="Every firmware knows the kinds of keys and digests that the signatures are made with",
    explanation="UEFI firmware verifies RSA signatures with 2048 bits and SHA-256. Longer RSA keys are widely known, "
    "other digests and elliptic curves are not: such an image starts in tests and is refused by other machines.",
    check=unknown_to_firmware,
)


def doubts(signer: Signer) -> Iterator[Finding]:
    """The same of a signature that is going to be made."""
    from fuki_build.signing.key_requirements import firmware_doubts  # noqa: PLC0415 - cryptography is slow to load

    if signer.key is not None:
        for doubt in firmware_doubts(signer.key.public_key, signer.request.digest):
            yield Finding(rule=FIRMWARE.id, severity=FIRMWARE.severity, message=doubt, where=signer.request.where)


def disputed_digest(subject: CheckSubject) -> Problems:
    """What of an image programs hash differently, or not at all."""
    layout = subject.layout
    stray = uncovered(layout.headers)
    if stray > 0:
        yield Problem(
            f"{stray} bytes before the end of the last section belong to none: firmware, shim and sbsign do not hash "
            "them, and osslsigncode and Windows do",
            hint="the bytes can be replaced in a signed image; have the linker lay out the sections without gaps",
        )

    place = layout.headers.security
    if not place.size and layout.file_size % PADDING:
        yield Problem(
            f"its {layout.file_size} bytes are no multiple of {PADDING}: firmware hashes the file as it is, and "
            "signing tools hash it padded with zeros",
            hint="a digest for db, dbx or PCR 4 is the file's own; a signature is about the padded file",
        )

    if place.size and place.address + place.size != layout.file_size:
        yield Problem(
            "the certificate table is not at the end of the file, where programs look for it in different ways"
        )


def odd_sbat(subject: CheckSubject) -> Problems:
    """What of an image's SBAT table shim refuses, or reads otherwise than it may be meant."""
    for section in subject.layout.find(".sbat"):
        try:
            rows = sbat.decode(section.content.read_small(sbat.MAX_SIZE, "the .sbat section"))
        except FormatError as error:
            yield Problem(f"{error.message}: shim refuses the image", where=".sbat", hint=error.hint)
            continue
        for problem in sbat.problems(rows):
            yield Problem(problem, where=".sbat")


RULES = (
    FIRMWARE,
    Rule(
        id="digest-disputed",
        severity=Severity.WARNING,
        summary="All programs that verify the image make the same digest of it",
        explanation="Authenticode leaves open what is hashed of bytes that no section covers, and of an odd file's "
        "end. edk2 (HashPeImage), shim and sbsign hash headers and sections, and go on at the offset that equals the "
        "bytes so far hashed; osslsigncode and Windows hash a file from start to end. Such an image is valid for some "
        "and forged for others, and what firmware does not hash can be changed unnoticed. fuki makes firmware's "
        "digest.",
        check=disputed_digest,
    ),
    Rule(
        id="sbat-odd",
        severity=Severity.WARNING,
        summary="shim reads the SBAT table as it is meant",
        explanation="shim (csv.c, sbat.c) refuses an image with a line of fewer than six fields, takes a generation "
        "that is no number as 0 and cuts it to 16 bits, and compares every line: of two for one component the lower "
        "generation counts. Its SBAT.md asks for ASCII and for generations from 1.",
        check=odd_sbat,
    ),
)
