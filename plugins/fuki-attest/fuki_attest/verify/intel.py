"""Intel's verdict on a platform's TCB and its quoting enclave, by the library dcap-qvl, from collateral in files."""

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec import Struct

from fuki_attest.formats import certificate, collateral
from fuki_attest.formats.collateral import SignedCollateral
from fuki_attest.formats.td_quote import TdQuote
from fuki_attest.verify.trust import TrustStore, chain_of

UP_TO_DATE = "UpToDate"
_REVOKED = "Revoked"
_SIGNER = "Intel SGX TCB Signing"


class LibraryMissingError(Exception):
    """The library is not installed; the text says how to."""


class IntelCollateral(Struct, frozen=True, kw_only=True):
    """All that the verdict rests on, besides the quote; chains in PEM, lists in DER."""

    pck_issuers: str
    pck_revocations: bytes
    root_revocations: bytes
    signers: str
    tcb_info: SignedCollateral
    identity: SignedCollateral


class TcbStatus(Struct, frozen=True):
    """`text` is the status with advisories, or why there is none.

    `is_known_weakness` tells of a genuine platform which is out of date, or not configured as advisories ask.
    """

    is_up_to_date: bool
    is_known_weakness: bool
    text: str


def assemble(
    quote: TdQuote, documents: Sequence[SignedCollateral], trusted: TrustStore
) -> tuple[IntelCollateral | None, list[str]]:
    """The collateral for a quote, or what of it is missing."""
    chain = chain_of(certificate.decode_chain(quote.certificates)[0], trusted.pool)
    issuers = chain[1:]
    lists = {one.issuer: one for one in trusted.revocations}
    pck = lists.get(issuers[0].subject) if issuers else None
    root = lists.get(issuers[-1].subject) if issuers else None
    signers = next((chain_of(one, trusted.pool) for one in trusted.pool if certificate.name(one) == _SIGNER), None)
    tcb_info = _document(documents, collateral.TCB_INFO)
    identity = _document(documents, collateral.ENCLAVE_IDENTITY)

    if tcb_info and identity and pck is not None and root is not None and signers:
        return IntelCollateral(
            pck_issuers=_pem(issuers),
            pck_revocations=pck.public_bytes(Encoding.DER),
            root_revocations=root.public_bytes(Encoding.DER),
            signers=_pem(signers),
            tcb_info=tcb_info,
            identity=identity,
        ), []
    parts = {
        "TCB info": tcb_info,
        "QE identity": identity,
        "revocation list of the PCK's issuer": pck,
        "revocation list of the root": root,
        f"certificate '{_SIGNER}'": signers,
    }
    return None, [name for name, part in parts.items() if not part]


def _document(documents: Sequence[SignedCollateral], kind: str) -> SignedCollateral | None:
    return next((document for document in documents if document.kind == kind), None)


def _pem(chain: Sequence[x509.Certificate]) -> str:
    return "".join(link.public_bytes(Encoding.PEM).decode("ascii") for link in chain)


def status(quote: TdQuote, parts: IntelCollateral, root: bytes, at: datetime) -> TcbStatus:
    """The library's verdict on the quote as a whole. `root` is DER. Raises `LibraryMissingError`."""
    try:
        import dcap_qvl  # noqa: PLC0415 - an extra, and a large library
    except ImportError as error:
        raise LibraryMissingError("the library for that is missing: pip install 'fuki-attest[tdx]'") from error

    try:
        given = dcap_qvl.QuoteCollateralV3(
            parts.pck_issuers,
            parts.root_revocations,
            parts.pck_revocations,
            parts.signers,
            parts.tcb_info.content.decode(),
            parts.tcb_info.signature,
            parts.signers,
            parts.identity.content.decode(),
            parts.identity.signature,
        )
        verified = dcap_qvl.verify_with_root_ca(quote.raw, given, root, int(at.timestamp()))
    except ValueError as error:
        return TcbStatus(is_up_to_date=False, is_known_weakness=False, text=" ".join(str(error).split()))

    advisories = ", ".join(verified.advisory_ids)
    text = f"the status is {verified.status}" + (f" ({advisories})" if advisories else "")
    is_up_to_date = verified.status == UP_TO_DATE
    is_known_weakness = not is_up_to_date and verified.status != _REVOKED
    return TcbStatus(is_up_to_date, is_known_weakness, text)
