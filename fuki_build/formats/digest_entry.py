"""An entry of the cache of digests: what was computed of one file while it was in one state.

Lines of text: the format's name with that of the state, a digest a line under the name of what it is of, and the
SHA-256 of all that precedes. Names are SHA-256 in hex.
"""

import hashlib
import re
from collections.abc import Mapping

MAX_SIZE = 64 * 1024
"""Bytes of an entry at most: some 400 digests."""
_FORMAT = "fuki-digests-1"
_SEAL_SIZE = 64
_LINE = re.compile(r"([0-9a-f]{64}) ((?:[0-9a-f]{2}){1,64})")


def encode(state: str, digests: Mapping[str, bytes]) -> bytes:
    """The entry of a state."""
    lines = (f"{name} {digest.hex()}\n" for name, digest in sorted(digests.items()))
    text = f"{_FORMAT} {state}\n{''.join(lines)}".encode()
    return text + hashlib.sha256(text).hexdigest().encode()


def decode(state: str, data: bytes) -> dict[str, bytes]:
    """The digests in an entry by their names; none in what is no entry of that state, cut short or damaged."""
    text, seal = data[:-_SEAL_SIZE], data[-_SEAL_SIZE:]
    if hashlib.sha256(text).hexdigest().encode() != seal:
        return {}

    head, *lines = text.decode("ascii", "replace").split("\n")
    matches = [_LINE.fullmatch(line) for line in lines[:-1]]
    if head != f"{_FORMAT} {state}" or lines[-1:] != [""]:
        return {}
    digests = {match[1]: bytes.fromhex(match[2]) for match in matches if match}
    return digests if len(digests) == len(matches) else {}
