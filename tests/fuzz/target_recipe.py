"""Recipes of strangers, in TOML and for mkosi, as far as a plan: texts rendered, files read, everything resolved.

A recipe may run programs and name any file of the machine; neither is done here.
"""

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import parts

from fuki_build import pipeline
from fuki_build.errors import FukiError

from .helper import image, memory_limit, tail, workspace
from .target_mkosi import seeds as mkosi_seeds
from .target_smbios import TABLE, dump

_DIRECTORY = workspace()
_EXAMPLES = Path(__file__).parents[2] / "examples"
_FILES = {
    "stub.efi": parts.get("addon-stub-x64").read_bytes,
    "vmlinuz": lambda: image([(".cmdline", b"a kernel", None)]),
    "initrd": lambda: b"\x1f\x8b\x08",
    "os-release": lambda: b"ID=acme\n",
    "a.fd": lambda: tail("ovmf-generic", 4096),
    "m.dmi": lambda: dump(TABLE),
    "x.json": lambda: b'{"type":"uefi-fw","name":"M","fwid":"a","hwids":["c7352a90-6932-5bb7-b916-d272f6e71955"]}',
    "key.pem": lambda: b"-----BEGIN PRIVATE KEY-----\n",
}
_TOML = b"""\
[fuki]
name = "acme"
version = "{{ 40 + 1 }}.3"
variables = { root = "LABEL={{ 'root' | upper }}" }
[fuki.image]
stub = "stub.efi"
linux = "vmlinuz"
initrd = ["initrd"]
uname = "6.12"
cmdline = "root={{ root }}{% for i in range(3) %} a{{ i }}=1{% endfor %}"
os-release = "os-release"
sbat = ["acme,1,Acme,acme,1,x"]
sections = { ".odd" = "initrd", ".text2" = { text = "{{ name ~ version }}" } }
[[fuki.firmware]]
id = "a"
source = "file"
path = "a.fd"
platforms = ["qemu"]
[[fuki.profile]]
id = "debug"
title = "Debug"
hwids = "x.json"
[[fuki.addon]]
name = "serial"
cmdline = "console=ttyS0"
[[fuki.expect]]
machine = "m.dmi"
firmware = "a"
[[fuki.output]]
format = "uki"
path = "{{ name }}.efi"
sign = { backend = "local", key = "key.pem", certificate = "key.pem" }
"""
_CONF = b"""\
[Fuki]
Name=acme
Stub=stub.efi
Linux=vmlinuz
Uname=6.12
OsRelease=os-release
Initrd=initrd
    initrd
Cmdline=root={{ name }}
    quiet
Firmware=source=file id=a path=a.fd platforms=qemu
Profile=id=debug title="Debug shell" cmdline=debug
Expect=machine=m.dmi firmware=a
Variables=a=b c="d e"
"""
_TOO_FAR = (b"/", b"..", b"\\", b"\0")
"""What leads out of the directory, or hides what does."""


def seeds() -> Iterator[bytes]:
    yield b"t" + _TOML
    yield b"t" + _TOML.split(b"[[fuki.output]]")[0]
    yield b"m" + _CONF
    for seed in mkosi_seeds():
        yield b"m" + seed.replace(b"boot/", b"").replace(b"/", b"")
    for path in sorted(_EXAMPLES.glob("*/fuki.toml")):
        yield b"t" + path.read_bytes().replace(b"/", b"-")


def run(data: bytes) -> None:
    kind, text = data[:1], data[1:]
    if any(sequence in text for sequence in _TOO_FAR):
        return

    for name, content in _FILES.items():
        if not (_DIRECTORY / name).exists():
            (_DIRECTORY / name).write_bytes(content())

    path = _DIRECTORY / ("mkosi.conf" if kind == b"m" else "fuki.toml")
    path.write_bytes(text)

    refused = OSError("no program is run while fuzzing")
    with (
        patch.object(subprocess, "Popen", side_effect=refused),
        memory_limit(),
        suppress(FukiError),
        pipeline.plan(path) as planned,
    ):
        assert planned.uki.file_size
