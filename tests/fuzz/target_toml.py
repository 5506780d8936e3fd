from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fuki_build.errors import FukiError
from fuki_build.recipe.lines import locate
from fuki_build.recipe.load import load_recipe

from .helper import workspace

_FILE = workspace() / "fuki.toml"
_EXAMPLES = Path(__file__).parents[2] / "examples"

_FULL = b"""\
[fuki]
name = "acme"
version = "41.3"
plugins = ["aws"]
variables = { root = "LABEL=root" }
[fuki.image]
linux = "boot/vmlinuz"
initrd = ["boot/initrd.img"]
cmdline = "root=LABEL=root ro"
os-release = "boot/os-release"
[[fuki.firmware]]
id = "ovmf-aws"
source = "directory"
path = "firmware/ovmf-aws"
chids = ["c7352a90-6932-5bb7-b916-d272f6e71955"]
[[fuki.profile]]
id = "debug"
title = "Debug"
[[fuki.addon]]
name = "serial"
cmdline = "console=ttyS0"
[[fuki.output]]
format = "uki"
path = "out/acme.efi"
"""


def seeds() -> Iterator[bytes]:
    yield _FULL
    for path in sorted(_EXAMPLES.glob("*/fuki.toml")):
        yield path.read_bytes()


def run(data: bytes) -> None:
    _FILE.write_bytes(data)
    with suppress(FukiError):
        load_recipe(_FILE)
    locate("fuki.firmware[0].path", [_FILE])
