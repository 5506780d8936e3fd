from collections.abc import Iterator
from contextlib import suppress

from fuki_build.errors import FukiError
from fuki_build.recipe.lines import locate
from fuki_build.recipe.load import load_recipe

from .helper import workspace

_DIRECTORY = workspace()

_CONF = b"""\
[Distribution]
Distribution=debian

[Fuki]
Recipe=fuki.toml
Name=acme
Version=41.3
Plugins=aws,azure
Linux=boot/vmlinuz
Initrd=boot/initrd.img
    boot/extra.img
Cmdline="root=LABEL=root ro" quiet
Firmware=source=directory path=firmware/ovmf platforms=qemu
Profile=id=debug title="Debug shell" cmdline=debug
Output=format=uki path=out/acme.efi
Variables=a=b c="d e"
"""
_TOML = b"""\
[fuki]
name = "other"
[fuki.image]
linux = "vmlinuz"
[[fuki.firmware]]
source = "file"
path = "x.fd"
"""


def seeds() -> Iterator[bytes]:
    yield _CONF.replace(b"Recipe=fuki.toml\n", b"")
    yield _CONF + b"\0" + _TOML


def run(data: bytes) -> None:
    if b"{{" in data or b"{%" in data:
        return  # templates are programs, and may run for long
    conf, _, toml = data.partition(b"\0")
    (_DIRECTORY / "mkosi.conf").write_bytes(conf)
    (_DIRECTORY / "fuki.toml").write_bytes(toml)
    locate("fuki.firmware[0].path", [_DIRECTORY / "mkosi.conf"])
    with suppress(FukiError):
        load_recipe(_DIRECTORY / "mkosi.conf")
