"""`.sdmagic`: how systemd's EFI programs name themselves and their version."""

import re
from typing import NamedTuple

_PATTERN = re.compile(rb"#### LoaderInfo: (systemd-[a-z]+) (\S{1,64}) ####")
_NUMBERS = re.compile(r"(\d{1,6})(?:\.(\d{1,6}))?")


class LoaderInfo(NamedTuple):
    program: str
    version: str

    @property
    def numbers(self) -> tuple[int, int]:
        """Major and minor version, `(262, 1)` of `262.1-1`; zeros where there are none."""
        found = _NUMBERS.match(self.version)
        return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


def decode(data: bytes) -> LoaderInfo | None:
    """The program and its version, or None where the text is not systemd's."""
    found = _PATTERN.search(data[:1024])
    return LoaderInfo(found[1].decode(), found[2].decode("ascii", "backslashreplace")) if found else None
