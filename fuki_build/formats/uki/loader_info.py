"""`.sdmagic`: the name and version that systemd's EFI programs carry."""

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
        match = _NUMBERS.match(self.version)
        return (int(match[1]), int(match[2] or 0)) if match else (0, 0)


def decode(data: bytes) -> LoaderInfo | None:
    """The program and its version, or None where the text is not in systemd's format."""
    match = _PATTERN.search(data[:1024])
    return LoaderInfo(match[1].decode(), match[2].decode("ascii", "backslashreplace")) if match else None
