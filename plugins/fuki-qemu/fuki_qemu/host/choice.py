"""Which host `--host` names, and whether this machine's QEMU is one."""

import subprocess
from enum import StrEnum
from functools import cache

from fuki_build.errors import FukiError

from fuki_qemu.tools import QEMU

_TIMEOUT = 60


class Host(StrEnum):
    """Hosts by the interface through which they take firmware."""

    VM_LAUNCH_UPDATE = "vm-launch-update"


@cache
def is_real(program: str = QEMU) -> bool:
    """Whether QEMU has the device vm-launch-update, and starts guests from IGVM files: 11.2 and later, where built in.

    It is asked, as distributions build it with more or less. Raises `FukiError`.
    """
    return "vm-launch-update" in _lines(program, "-device") and "igvm-cfg" in _lines(program, "-object")


def _lines(program: str, option: str) -> str:
    try:
        done = subprocess.run(
            [program, option, "help"],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FukiError(f"cannot ask {program} what it has: {error}") from error
    return done.stdout + done.stderr
