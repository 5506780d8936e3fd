"""Facts that take long to find in some content, kept by its digest in the user's cache directory.

A fact follows from the content alone, so that what is kept changes nothing but the time. Where there is no cache, or it
cannot be read or written, facts are found anew.
"""

import hashlib
from collections.abc import Callable
from contextlib import suppress

from fuki_build.image.cache_directory import cache_directory, read_entry, write_entry

_ANSWERS = {True: b"yes\n", False: b"no\n", None: b"unknown\n"}
_VALUES = {answer: value for value, answer in _ANSWERS.items()}


def remembered(fact: str, content: bytes, find: Callable[[bytes], bool | None]) -> bool | None:
    """What `find` says of the content, or has said before; `fact` names what that is, and the version of its rules."""
    directory = cache_directory()
    if directory is None:
        return find(content)

    path = directory / f"{fact}-{hashlib.sha256(content).hexdigest()}"
    with suppress(OSError, KeyError):
        return _VALUES[read_entry(path, 16)]

    value = find(content)
    with suppress(OSError):
        write_entry(path, _ANSWERS[value])
    return value
