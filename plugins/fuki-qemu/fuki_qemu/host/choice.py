"""Which host `--host` names, and whether this machine's QEMU is one."""

from enum import StrEnum
from functools import cache

from fuki_build import programs
from fuki_build.errors import FukiError, raised_as

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
    with raised_as(FukiError, about=f"cannot ask {program} what it has"):
        answer = programs.run([program, option, "help"], environment=programs.environment(), timeout=_TIMEOUT)

    return (answer.stdout + answer.stderr).decode(errors="replace")
