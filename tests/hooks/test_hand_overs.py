"""Another hypervisor's interface comes as a plugin: an image starts in its program, which is told of its options."""

from pathlib import Path

import pefile
import pytest

from fuki_build.testing import install_plugin

PLUGIN = """
from fuki_build.hooks import HandOver, Options, hookimpl


class AcmeOptions(Options, frozen=True):
    port: int


class AcmeUpdate(HandOver):
    name = "acme-update"
    Options = AcmeOptions

    def program(self, options):
        numbers = (1).to_bytes(2, "little") + (48).to_bytes(2, "little") + (56).to_bytes(4, "little") + bytes(12)
        table = b"FUKIHAND" + numbers + self.name.encode().ljust(20, b"\\0")
        return table + options.port.to_bytes(8, "little") + b"\\xc3"


@hookimpl
def fuki_hand_overs():
    return [AcmeUpdate]
"""
RECIPE = """\
[fuki]
name = "acme"
plugins = ["acme"]

[fuki.image]
stub = "stub"
linux = "vmlinuz"
os-release = "os-release"

[fuki.hand-over]
interface = "acme-update"
port = 1234
lasting = true
"""

pytestmark = pytest.mark.workshop(recipe=RECIPE)


@pytest.fixture
def acme(tmp_path: Path) -> str:
    return install_plugin(tmp_path / "site", "acme", PLUGIN)


def test_an_image_starts_in_the_program_of_a_plugins_interface(fuki, acme, workshop):
    fuki("build", PYTHONPATH=acme)
    image = pefile.PE(workshop / "acme.efi", fast_load=True)
    (section,) = [section for section in image.sections if section.Name == b".fuki\0\0\0"]
    assert image.OPTIONAL_HEADER.AddressOfEntryPoint == section.VirtualAddress + 56

    content = section.get_data()[: section.Misc_VirtualSize]
    stub = pefile.PE(workshop / "stub", fast_load=True).OPTIONAL_HEADER.AddressOfEntryPoint
    assert content[16:24] == stub.to_bytes(4, "little") + (1).to_bytes(4, "little")
    assert content[48:] == (1234).to_bytes(8, "little") + b"\xc3"


def test_the_options_of_an_interface_are_checked(fuki, acme, workshop):
    (workshop / "fuki.toml").write_text(RECIPE.replace("port", "prt"))
    done = fuki("plan", code=2, PYTHONPATH=acme)
    assert "fuki.hand-over.prt: unknown key 'prt'" in done.stderr
    assert "did you mean 'port'?" in done.stderr
