"""Policies over registers: the arithmetic of TPM2_PolicyPCR."""

import hashlib
from collections.abc import Iterable, Mapping

_CC_POLICY_PCR = 0x0000017F
_ALGORITHMS = {"sha1": 0x0004, "sha256": 0x000B, "sha384": 0x000C, "sha512": 0x000D}
"""TPM_ALG_ID of the banks (TCG, "Algorithm Registry")."""
_SELECT_SIZE = 3
"""Bytes of a register selection on a PC: 24 registers."""


def policy_pcr(values: Mapping[int, bytes], bank: str, policy: bytes = bytes(32)) -> bytes:
    """The SHA-256 policy digest after TPM2_PolicyPCR with these registers of `bank`, starting from `policy`.

    `values` maps register numbers to values. Source: TCG, "TPM 2.0 Library", part 3, 23.7; like systemd's, the session
    hashes with SHA-256 whatever the bank.
    """
    chosen = sorted(values)
    composite = hashlib.sha256(b"".join(values[register] for register in chosen)).digest()
    command = _CC_POLICY_PCR.to_bytes(4, "big") + _selection(chosen, bank)
    return hashlib.sha256(policy + command + composite).digest()


def _selection(registers: Iterable[int], bank: str) -> bytes:
    """A TPML_PCR_SELECTION of one bank (part 2, 10.9.7)."""
    bits = 0
    for register in registers:
        if not 0 <= register < _SELECT_SIZE * 8:
            raise ValueError(f"there is no register {register}")
        bits |= 1 << register
    count = (1).to_bytes(4, "big")
    return count + _ALGORITHMS[bank].to_bytes(2, "big") + bytes([_SELECT_SIZE]) + bits.to_bytes(_SELECT_SIZE, "little")
