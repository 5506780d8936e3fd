from collections.abc import Iterator
from contextlib import suppress

from fuki_build.errors import FukiError
from fuki_build.ukify.kernel_install import Installation, installation_call

from .helper import workspace

_DIRECTORY = workspace()
_NAMES = ("cmdline", "devicetree", "uki.conf")
_MACHINE = "8f2d1f0e6d8a4ff7a1b2c3d4e5f60718"
_INSTALLATION = Installation(
    release="6.12",
    kernel="vmlinuz",
    initrds=("initrd.img",),
    staging=_DIRECTORY,
    entry_token=_MACHINE,
    machine_id=_MACHINE,
    directory=_DIRECTORY,
)


def seeds() -> Iterator[bytes]:
    yield b"# a comment\nroot=LABEL=root ro\n  quiet\n\0uki.conf\n\0[UKI]\nInitrd=more.img\nSplash=splash.bmp\n"
    yield b"\0" + b"a" * 5000 + b"\0"
    yield b"systemd.machine_id=x\0../../etc/passwd\0[UKI]\nCmdline=@cmdline\n"


def run(data: bytes) -> None:
    """The files of a configuration, separated by NUL."""
    for name, content in zip(_NAMES, data.split(b"\0", 2), strict=False):
        (_DIRECTORY / name).write_bytes(content)
    with suppress(FukiError):
        installation_call(_INSTALLATION)
