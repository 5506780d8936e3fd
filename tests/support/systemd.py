"""systemd's tools out of their unpacked packages."""

from pathlib import Path


def library_path(program: Path) -> str:
    """LD_LIBRARY_PATH with the libraries that stand beside a program."""
    libraries = program.parents[1] / "x86_64-linux-gnu"
    return f"{libraries}:{libraries}/systemd"
