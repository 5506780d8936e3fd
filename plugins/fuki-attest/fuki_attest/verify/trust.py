"""Roots that are trusted, and chains of certificates up to them.

The roots are pinned by SHA-256; their certificates are in the package, as the vendors publish them: AMD's in its key
distribution service (`vcek/v1/PRODUCT/cert_chain`, "VCEK Certificate and KDS Interface Specification", 57230), Intel's
at the end of the chain in every quote, and in "SGX Root CA" of its Provisioning Certification Service.
"""

from collections.abc import Iterator, Sequence
from importlib import resources
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fuki_build.errors import FormatError
from fuki_build.formats.asn1.x509 import UNREADABLE
from msgspec import Struct

from fuki_attest.formats import certificate
from fuki_attest.verify.steps import About, AppraisalPolicy, EvidenceStep, StepKind, Steps
from fuki_attest.words.fields import time

PINNED = {
    "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd": "AMD's root for Milan",
    "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1": "AMD's root for Genoa",
    "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a": "AMD's root for Turin",
    "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3": "Intel's root for SGX and TDX",
}
"""SHA-256 of root certificates in DER."""
_FILES = ("amd-milan.pem", "amd-genoa.pem", "amd-turin.pem", "intel-sgx.pem")
_MAX_LENGTH = 6
_DAMAGED = (InvalidSignature, *UNREADABLE)


class TrustStore(Struct, frozen=True):
    """Roots by fingerprint, with what to call them; certificates to build chains of; lists of revoked ones."""

    roots: dict[str, str]
    pool: tuple[x509.Certificate, ...]
    revocations: tuple[x509.CertificateRevocationList, ...]


def trust(
    policy: AppraisalPolicy, given: Sequence[x509.Certificate], revocations: Sequence[x509.CertificateRevocationList]
) -> TrustStore:
    """What is trusted: the user's roots where there are any, else the pinned ones."""
    if policy.roots:
        roots = {certificate.fingerprint(root): certificate.name(root) for root in policy.roots}
        return TrustStore(roots, (*policy.roots, *given), tuple(revocations))
    return TrustStore(PINNED, (*packaged(), *given), tuple(revocations))


def packaged() -> Iterator[x509.Certificate]:
    """The vendors' certificates that the package brings: roots, and what they signed."""
    folder = resources.files("fuki_attest") / "roots"
    for name in _FILES:
        yield from certificate.decode_chain((folder / name).read_bytes())


def chain_of(leaf: x509.Certificate, pool: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """The leaf and those above it, as far as there are any; each signed the one before it."""
    chain = [leaf]
    while len(chain) < _MAX_LENGTH:
        # The path length is how many authorities may stand below.
        below = len(chain) - 1
        issuer = next((other for other in pool if other not in chain and issued(chain[-1], other, below)), None)
        if issuer is None:
            break
        chain.append(issuer)
    return chain


def issued(subject: x509.Certificate, issuer: x509.Certificate, below: int) -> bool:
    """Whether a certificate authority signed a certificate, and may stand above `below` others."""
    try:
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
        subject.verify_directly_issued_by(issuer)
    except (x509.ExtensionNotFound, *_DAMAGED):
        return False
    return constraints.ca and (constraints.path_length is None or constraints.path_length >= below)


def chain_steps(about: About, leaf: x509.Certificate, trusted: TrustStore, policy: AppraisalPolicy) -> Steps:
    """Whether the leaf comes from a trusted root, is valid at the time, and not revoked."""
    chain = chain_of(leaf, trusted.pool)
    names = " < ".join(certificate.name(link) for link in chain)
    root = trusted.roots.get(certificate.fingerprint(chain[-1]))
    yield about.step(
        StepKind.ENDORSEMENT,
        f"chain of {certificate.name(leaf)}",
        root or "the trusted roots",
        root is not None,
        f"{names} ends with no trusted root",
    )

    outside = [link for link in chain if not certificate.is_valid_at(link, policy.at)]
    yield about.step(
        StepKind.ENDORSEMENT,
        "validity of the chain",
        time(policy.at),
        not outside,
        "; ".join(
            f"{certificate.name(link)} is valid from {time(link.not_valid_before_utc)}"
            f" until {time(link.not_valid_after_utc)}"
            for link in outside
        ),
    )
    yield _revocation_step(about, chain, trusted, policy)


def _revocation_step(
    about: About, chain: Sequence[x509.Certificate], trusted: TrustStore, policy: AppraisalPolicy
) -> EvidenceStep:
    claim, against = "revocation", "the issuers' lists"
    missing: list[str] = []
    problems: list[str] = []
    for link, issuer in pairwise(chain):
        lists = [one for one in trusted.revocations if _is_list_of(one, issuer)]
        if not lists:
            missing.append(certificate.name(issuer))
        for revocations in lists:
            problems += _problems(link, revocations, policy)

    if problems:
        return about.step(StepKind.REVOCATION, claim, against, holds=False, detail="; ".join(problems))
    if missing or len(chain) < 2:
        why = f"there is no list of {', '.join(missing)}" if missing else "the chain has no issuer"
        return about.not_verified(StepKind.REVOCATION, claim, against, why, asked=policy.collateral)
    return about.step(StepKind.REVOCATION, claim, against, holds=True)


def _is_list_of(revocations: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    if revocations.issuer != issuer.subject:
        return False
    key = issuer.public_key()
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return False
    try:
        return revocations.is_signature_valid(key)
    except _DAMAGED:
        return False


def _problems(
    link: x509.Certificate, revocations: x509.CertificateRevocationList, policy: AppraisalPolicy
) -> Iterator[str]:
    try:
        revoked = revocations.get_revoked_certificate_by_serial_number(link.serial_number)
    except UNREADABLE as error:
        raise FormatError("a list of revoked certificates cannot be read") from error
    if revoked is not None:
        yield f"{certificate.name(link)} is revoked since {time(revoked.revocation_date_utc)}"

    until = revocations.next_update_utc
    if not revocations.last_update_utc <= policy.at or (until is not None and policy.at > until):
        end = f" until {time(until)}" if until is not None else ""
        yield f"the list is out of date: it is of {time(revocations.last_update_utc)}{end}"
