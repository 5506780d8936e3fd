"""Register arithmetic: banks, extending, replaying (TCG, "TPM 2.0 Library", part 1, 11.4.7 and 17)."""

from collections.abc import Iterable, Mapping

from fuki_build.errors import RecipeError, did_you_mean
from fuki_build.formats.hashes import SIZES, new_hash

BANKS: Mapping[str, int] = {bank: SIZES[bank] for bank in ("sha1", "sha256", "sha384", "sha512")}
"""The banks that machines usually have, by hashlib's names, and the size of their registers in bytes.

Other algorithms of `SIZES`, such as SM3, are computed on request, or if a log has them.
"""

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
    return {bank: new_hash(bank, data).digest() for bank in banks}


def extend(bank: str, register: bytes, digest: bytes) -> bytes:
    """A register's value after extending it with a digest."""
    return new_hash(bank, register + digest).digest()


def replay(bank: str, extended: Iterable[bytes], start: bytes | None = None) -> bytes:
    """A register's value after extending it with these digests, starting from `start` or zeros."""
    register = bytes(SIZES[bank]) if start is None else start
    for digest in extended:
        register = extend(bank, register, digest)
    return register


def split_phases(path: str, where: str = "--phase") -> tuple[str, ...]:
    """The words of a phase path such as `enter-initrd:leave-initrd`; empty ones are ignored, as in systemd-measure.

    Raises `RecipeError` for a path without words.
    """
    words = tuple(word for word in path.split(":") if word)
    if not words:
        raise RecipeError(f"the phase path {path!r} has no word", where=where, hint=f"for instance {PHASES[1]}")
    return words


def check_banks(names: Iterable[str], where: str = "--bank", known: Mapping[str, int] = BANKS) -> tuple[str, ...]:
    """The banks in their usual order, each once. Raises `RecipeError` for an unknown one."""
    requested = {name.lower() for name in names}
    for name in sorted(requested - set(known)):
        hint = did_you_mean(name, known) or f"there are: {', '.join(known)}"
        raise RecipeError(f"there is no bank {name!r}", where=where, hint=hint)
    return tuple(bank for bank in known if bank in requested)
