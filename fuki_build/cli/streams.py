"""Standard streams that take whatever is written to them, however the program was started."""

import io
import os
import sys
from typing import Any, TextIO


class _Output(io.FileIO):
    """Standard output, which names itself when it takes no more."""

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - any buffer
        try:
            return super().write(data)
        except BlockingIOError:
            raise
        except OSError as error:
            raise OSError(error.errno, error.strerror, "standard output") from error


class _Talk(io.FileIO):
    """Standard error: what it does not take is lost, and ends nothing. A build is not worse for an unread message."""

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - any buffer
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def prepare() -> None:
    """Make the three standard streams usable: open, and without characters that they cannot encode.

    A closed standard output fails when something is written to it, as a full disk does; a closed standard error does
    not. No file that is opened later gets the number of one of them.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is the one that is missing.
            os.set_inheritable(os.open(os.devnull, flags), True)
    sys.stdin = sys.stdin or io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), encoding="utf-8")
    sys.stdout = _text(_Output(1, "w", closefd=False), sys.stdout)
    sys.stderr = _text(_Talk(2, "w", closefd=False), sys.stderr)


def _text(file: io.FileIO, before: TextIO | None) -> TextIO:
    """Text into a file, encoded as Python had chosen for this stream; what that has no code for is escaped."""
    encoding = before.encoding if before else "utf-8"
    lines = file.isatty() or isinstance(file, _Talk)
    return io.TextIOWrapper(io.BufferedWriter(file), encoding, "backslashreplace", line_buffering=lines)
