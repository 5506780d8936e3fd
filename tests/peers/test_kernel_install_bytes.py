"""The image that kernel-install installs by fuki, and by ukify and 60-ukify.install: the same bytes."""

from collections.abc import Callable, Mapping

import pytest

from tests.support.installers import MACHINE_ID, RELEASE
from tests.support.kernel_install import CONF_ROOT, Machine


def _machine_id(machine: Machine) -> None:
    machine.write("etc/kernel/entry-token", f"{MACHINE_ID}\n")


def _named_machine_id(machine: Machine) -> None:
    _machine_id(machine)
    machine.write("etc/kernel/cmdline", "systemd.machine_id=own ro")


def _booted(machine: Machine) -> None:
    (machine.directory / "etc/kernel/cmdline").unlink()


def _container(machine: Machine) -> None:
    _booted(machine)
    machine.in_container(True)


def _microcode(machine: Machine) -> None:
    text = "".join(f"printf {name} >$KERNEL_INSTALL_STAGING_AREA/{name}\n" for name in STAGED)
    machine.write_program("etc/kernel/install.d/56-microcode.install", f'#!/bin/sh\n[ "$1" = add ] || exit 0\n{text}')


def _configuration(machine: Machine) -> None:
    (machine.directory / "etc/kernel/cmdline").unlink()
    machine.write("srv/more.img", b"more")
    machine.write(
        "etc/kernel/uki.conf",
        "[UKI]\nInitrd=/srv/more.img\nCmdline=quiet # a comment\nOSRelease=ID=other\nFirmware=/srv/ovmf-amdsev\n"
        "SBAT=sbat,1,x\n mine,1,x,x,1,x\nProfile=ID=base\n",
    )


def _own_directory(machine: Machine) -> None:
    machine.write("srv/conf/devicetree", "boards/machine.dtb\n")
    machine.write("srv/conf/boards/machine.dtb", DEVICETREE)
    machine.write("srv/conf/cmdline", "of=conf")
    machine.write("srv/conf/entry-token", "acme")
    machine.write("etc/kernel/uki.conf", "[UKI]\nCmdline=not=read\n")


def _own_empty_directory(machine: Machine) -> None:
    machine.write("srv/conf/entry-token", MACHINE_ID)


def _nothing(machine: Machine) -> None:
    machine.write("etc/kernel/cmdline", "")


STAGED = ("initrd-generated", "microcode-intel", "microcode-amd", "initrd-extra")
DEVICETREE = bytes.fromhex(
    "d00dfeed 00000048 00000038 00000048 00000028 00000011 00000010 00000000 00000000 00000010"
    "0000000000000000 0000000000000000 00000001 00000000 00000002 00000009"
)
"""The smallest: a root node with nothing in it."""

TREES: Mapping[str, tuple[Callable[[Machine], None], Mapping[str, str], Mapping[str, bytes]]] = {
    "cmdline": (lambda _: None, {}, {".cmdline": b"root=LABEL=root ro quiet", ".uname": RELEASE.encode()}),
    "no cmdline": (_nothing, {}, {}),
    "machine id": (_machine_id, {}, {".cmdline": f"root=LABEL=root ro quiet systemd.machine_id={MACHINE_ID}".encode()}),
    "machine id of its own": (_named_machine_id, {}, {".cmdline": b"systemd.machine_id=own ro"}),
    "as booted": (_booted, {}, {".cmdline": b"root=LABEL=booted ro"}),
    "container": (_container, {}, {}),
    "microcode": (_microcode, {}, {}),
    "uki.conf": (_configuration, {}, {".cmdline": b"quiet", ".osrel": b"ID=other", ".profile": b"ID=base"}),
    "another directory": (_own_directory, CONF_ROOT, {".cmdline": b"of=conf", ".dtb": DEVICETREE}),
    "an empty directory": (_own_empty_directory, CONF_ROOT, {".cmdline": f"systemd.machine_id={MACHINE_ID}".encode()}),
}
"""How to make a tree, variables, and what sections are to be there."""


@pytest.mark.parametrize("name", TREES)
def test_the_plugin_and_the_drop_in_make_the_bytes_of_ukify(machine, name, pe, tmp_path):
    prepare, environment, contents = TREES[name]
    prepare(machine)
    theirs = machine.image("ukify", **environment)
    assert machine.image("plugin", **environment) == theirs
    assert machine.image("drop-in", **environment) == theirs

    (tmp_path / "image.efi").write_bytes(theirs)
    image = pe(tmp_path / "image.efi")
    profile = 0 if ".profile" in contents else None
    assert {section: image.content(section, profile) for section in contents} == contents
    if ".cmdline" not in contents and name != "microcode":
        assert ".cmdline" not in image.names()


def test_microcode_comes_first_and_what_plugins_generated_last(machine, pe, tmp_path):
    _microcode(machine)
    (tmp_path / "image.efi").write_bytes(machine.image("plugin"))
    names = pe(tmp_path / "image.efi").content(".initrd").replace(b"\0", b"")
    assert names == b"microcode-amdmicrocode-intelinitrd of the callinitrd-extrainitrd-generated"
