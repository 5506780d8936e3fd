"""Pieces of evidence: what a file turned out to be."""

from enum import StrEnum
from typing import Any

from msgspec import Struct


class EvidenceKind(StrEnum):
    """What a piece of evidence is."""

    SNP_REPORT = "SNP report"
    TD_QUOTE = "TDX quote"
    TD_REPORT = "TD report"
    TPM_QUOTE = "TPM quote"
    TPM_SIGNATURE = "TPM signature"
    REGISTERS = "TPM registers"
    PUBLIC_KEY = "public key"
    HCL_REPORT = "HCL report"
    EVENT_LOG = "event log"
    CERTIFICATE = "certificate"
    REVOCATIONS = "revocation list"
    COLLATERAL = "collateral"


class Item(Struct, frozen=True):
    """A piece of evidence; `value` is what the decoder of its kind gives, `origin` says where in the file it was."""

    kind: EvidenceKind
    file: str
    value: Any
    origin: str = ""

    @property
    def name(self) -> str:
        return f"{self.file} ({self.origin})" if self.origin else self.file


class Evidence(Struct, frozen=True):
    """All that was given, in the order in which it was given."""

    items: tuple[Item, ...]

    def of(self, kind: EvidenceKind) -> list[Item]:
        return [item for item in self.items if item.kind is kind]

    def first(self, kind: EvidenceKind) -> Item | None:
        return next(iter(self.of(kind)), None)
