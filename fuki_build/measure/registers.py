"""Register arithmetic: banks, extending, replaying (TCG, "TPM 2.0 Library", part 1, 11.4.7 and 17)."""

import hashlib
from collections.abc import Iterable, Mapping

from fuki_build.errors import RecipeError

BANKS: Mapping[str, int] = {"sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64}
"""Banks by hashlib's names, and the size of their registers in bytes."""

Digests = Mapping[str, bytes]
"""The digests of one event, by bank."""

PHASES = (
    "enter-initrd",
    "enter-initrd:leave-initrd",
    "enter-initrd:leave-initrd:sysinit",
    "enter-initrd:leave-initrd:sysinit:ready",
)
"""The phase paths that systemd-measure predicts by default."""


def digests(data: bytes, banks: Iterable[str]) -> Digests:
    """The digests of `data` in each bank."""
    return {bank: hashlib.new(bank, data, usedforsecurity=False).digest() for bank in banks}


def extend(bank: str, register: bytes, digest: bytes) -> bytes:
    """A register after it was extended with a digest."""
    return hashlib.new(bank, register + digest, usedforsecurity=False).digest()


def replay(bank: str, extended: Iterable[bytes], start: bytes | None = None) -> bytes:
    """A register after it was extended with these digests, from `start` or zeros on."""
    register = bytes(BANKS[bank]) if start is None else start
    for digest in extended:
        register = extend(bank, register, digest)
    return register


def split_phases(path: str, where: str = "--phase") -> tuple[str, ...]:
    """The words of a phase path such as `enter-initrd:leave-initrd`; empty ones do not count, as in systemd-measure.

    Raises `RecipeError` for a path without words.
    """
    words = tuple(word for word in path.split(":") if word)
    if not words:
        raise RecipeError(f"the phase path {path!r} has no word", where=where, hint=f"for instance {PHASES[1]}")
    return words


def check_banks(names: Iterable[str], where: str = "--bank") -> tuple[str, ...]:
    """The banks in their usual order, each once. Raises `RecipeError` for an unknown one."""
    wanted = {name.lower() for name in names}
    for name in sorted(wanted - set(BANKS)):
        raise RecipeError(f"there is no bank {name!r}", where=where, hint=f"there are: {', '.join(BANKS)}")
    return tuple(bank for bank in BANKS if bank in wanted)
