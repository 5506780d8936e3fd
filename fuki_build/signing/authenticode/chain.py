"""Chains of certificates as firmware builds and verifies them: by OpenSSL, as edk2's Pkcs7Verify calls it."""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from OpenSSL import crypto

from fuki_build.errors import FormatError

_NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME, for which pyOpenSSL has no name."""
_FLAGS = crypto.X509StoreFlags.PARTIAL_CHAIN | _NO_CHECK_TIME


class _Prepared(NamedTuple):
    certificate: crypto.X509
    others: list[crypto.X509]


class Chains:
    """The chains that start at a signer's certificate, through those that came with it; all in DER."""

    def __init__(self, certificate: bytes, others: Sequence[bytes]) -> None:
        self._certificate, self._others = certificate, others

    @cached_property
    def _prepared(self) -> _Prepared:
        return _Prepared(_load(self._certificate), [_load(other) for other in self._others])

    def lead_to(self, anchor: bytes) -> bool:
        """Whether a chain that OpenSSL accepts ends in `anchor`, which may be the certificate itself.

        As in firmware, `anchor` need not be a root, and times are not looked at; path lengths, constraints and
        critical extensions are. Each certificate of db and dbx is asked alone. An anchor that cannot be read leads
        nowhere; raises `FormatError` where the signature's own certificates cannot be read.
        """
        prepared = self._prepared
        store = crypto.X509Store()
        store.set_flags(_FLAGS)
        try:
            store.add_cert(_load(anchor))
            crypto.X509StoreContext(store, prepared.certificate, prepared.others).verify_certificate()
        except (crypto.X509StoreContextError, crypto.Error, FormatError):
            return False
        return True


def _load(certificate: bytes) -> crypto.X509:
    try:
        return crypto.load_certificate(crypto.FILETYPE_ASN1, certificate)
    except (crypto.Error, ValueError) as error:
        raise FormatError("a certificate of the signature cannot be read") from error
