"""Programs on a terminal of a given size."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

ROWS = 24


def on_terminal(directory: Path, columns: int, *arguments: object, **environment: str) -> str:
    """What `fuki` writes on a terminal with so many columns, with its lines ending as in a file."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    inherited = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
    process = subprocess.Popen(
        [sys.executable, "-m", "fuki_build", *map(str, arguments)],
        cwd=directory,
        env={**inherited, "TERM": "xterm", **environment},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)

    text = b""
    while True:
        try:
            piece = os.read(controller, 64 * 1024)
        except OSError:  # how Linux tells that the other side is closed
            break
        if not piece:
            break
        text += piece
    os.close(controller)
    process.wait()
    return text.decode().replace("\r\n", "\n")
