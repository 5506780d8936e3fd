"""What kernel-install cannot have made by fuki is told once, and what was installed stays."""

import sys

import pytest

from tests.support.kernel_install import RECIPE

REFUSED = {
    "firmware": ("etc/kernel/fuki.toml", RECIPE.replace("/srv/ovmf-generic", "/srv/missing"), "/srv/missing"),
    "recipe": ("etc/kernel/fuki.toml", RECIPE.replace("platforms", "platform"), "fuki.firmware[0].platform"),
    "configuration": ("etc/kernel/uki.conf", "[UKI]\nPCRBanks=md4\n", "/etc/kernel/uki.conf: [UKI] PCRBanks="),
    "initrd": ("etc/kernel/uki.conf", "[UKI]\nInitrd=/srv/missing.img\n", "/srv/missing.img"),
    "key": ("etc/kernel/uki.conf", "[UKI]\nSecureBootPrivateKey=/srv/db.key\n", "--secureboot-private-key"),
}


@pytest.mark.parametrize("by", ["plugin", "drop-in"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_told_once_and_what_was_installed_stays(machine, name, by):
    machine.add()
    before = machine.listing()
    file, content, place = REFUSED[name]
    machine.write(file, content)
    said = machine.add(by=by, code=2 if by == "plugin" else 1)
    (error,) = [line for line in said.splitlines() if "rror: " in line and "plugins" not in line]
    assert place in error
    assert machine.listing() == before


def test_files_of_the_configuration_that_are_wrong_are_named(machine):
    machine.write("etc/kernel/devicetree", "missing.dtb")
    assert "/etc/kernel/devicetree: there is no devicetree missing.dtb" in machine.add(code=2)
    machine.write("etc/kernel/devicetree", " \n")
    assert "/etc/kernel/devicetree: it names no devicetree" in machine.add(code=2)
    (machine.directory / "etc/kernel/devicetree").unlink()
    machine.write("etc/kernel/cmdline", b"\xff")
    assert "/etc/kernel/cmdline: " in machine.add(code=2)
    assert not machine.listing()


@pytest.mark.parametrize("by", ["plugin", "drop-in"])
def test_a_library_for_another_python_says_so(machine, by):
    program = machine.directory / "etc/kernel/fuki/ukify"
    source = program.read_text()
    program.write_text(source.replace(repr(tuple(sys.version_info[:2])), "(2, 7)"))
    said = machine.add(by=by, code=1)
    program.write_text(source)
    assert "is for Python 2.7" in said
    assert not machine.listing()
