"""`fuki integrate kernel-install`, and kernel-install 262.1 after it, beside what 60-ukify.install and ukify make.

Everything runs in a root directory of the test's own.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import parts
import pytest

from fuki_build.testing import partial_recipe
from tests.support.installers import MACHINE_ID, RELEASE, KernelInstallRoot
from tests.support.scratch_root import inside

KERNEL = "/srv/vmlinuz"
UKI = f"EFI/Linux/acme-{RELEASE}.efi"
ADDON = f"{UKI}.extra.d/serial.addon.efi"
RECIPE = partial_recipe(
    """
[[fuki.firmware]]
source = "directory"
path = "/srv/ovmf-generic"
platforms = ["qemu:q35"]

[[fuki.addon]]
name = "serial"
cmdline = "console=ttyS0"
""",
    version="1",
)
GENERATORS = {
    "plugin": ("fuki", {}),
    "ukify": ("ukify", {"KERNEL_INSTALL_UKIFY": inside(parts.get("ukify"))}),
    "drop-in": ("ukify", {"KERNEL_INSTALL_UKIFY": "/etc/kernel/fuki/ukify"}),
}
"""What makes the image: the generator of install.conf, and variables."""


class Machine(KernelInstallRoot):
    """A machine, whose configuration a test changes."""

    def reset(self) -> None:
        """Forget what a test configured and installed."""
        kernel = self.directory / "etc/kernel"
        for path in (*kernel.iterdir(), kernel / "install.d/56-microcode.install", self.directory / "etc/fuki"):
            if path.is_file():
                path.unlink()
        for name in ("boot", "etc/fuki", "srv/conf"):
            shutil.rmtree(self.directory / name, ignore_errors=True)
        (self.directory / "boot").mkdir()
        self.write("etc/kernel/entry-token", "acme\n")
        self.write("etc/kernel/cmdline", "# a comment\nroot=LABEL=root ro\n  quiet\n")
        self.in_container(False)

    def in_container(self, answer: bool) -> None:
        self.write_program("opt/bin/systemd-detect-virt", f"#!/bin/sh\nexit {0 if answer else 1}\n")

    def configure(self, generator: str, layout: str = "uki", directory: str = "etc/kernel") -> None:
        self.write(f"{directory}/install.conf", f"BOOT_ROOT=/boot\nlayout={layout}\nuki_generator={generator}\n")

    def integrate(self, code: int = 0) -> str:
        command = [
            sys.executable,
            "-m",
            "fuki_build",
            "integrate",
            "kernel-install",
            str(self.directory / "etc/kernel"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        return done.stderr

    def ended(self, *arguments: str, code: int = 0, **environment: str) -> str:
        """Run kernel-install; what it says."""
        ended = self.kernel_install(*arguments, **environment)
        assert ended.code == code, ended.err + ended.out
        assert "Traceback" not in ended.err
        return ended.err + ended.out

    def add(self, *options: str, by: str = "plugin", code: int = 0, **environment: str) -> str:
        """Install the kernel with an image that one of GENERATORS makes."""
        generator, variables = GENERATORS[by]
        self.configure(generator, directory=environment.get("KERNEL_INSTALL_CONF_ROOT", "etc/kernel").lstrip("/"))
        arguments = (*options, "add", RELEASE, KERNEL, "/srv/initrd.img")
        return self.ended(*arguments, code=code, **variables, **environment)

    def image(self, by: str, **environment: str) -> bytes:
        """The image that one of GENERATORS makes."""
        shutil.rmtree(self.directory / "boot/EFI", ignore_errors=True)
        self.add(by=by, code=0, **environment)
        (path,) = (self.directory / "boot/EFI/Linux").glob("*.efi")
        return path.read_bytes()


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Machine:
    machine = Machine(tmp_path_factory.mktemp("machine") / "root")
    machine.lay_out()
    machine.integrate()
    return machine


@pytest.fixture
def machine(installed) -> Machine:
    installed.reset()
    return installed


def test_the_machine_is_read_only_where_the_tests_run(machine):
    script = """\
    for file in /usr/fuki-test /usr/lib/kernel/fuki-test /opt/parts/fuki-test; do
        if touch $file 2>/dev/null; then echo "wrote $file"; fi
    done
    while read -r _ _ _ _ place options _; do
        case $place:$options in
            /:* | /proc* | /dev*) ;;
            *:ro | *:ro,*) ;;
            *) echo "$place is $options" ;;
        esac
    done </proc/self/mountinfo
    """

    ended = machine.run("sh", "-c", script)
    assert (ended.out, ended.code) == ("", 0)
    assert "/boot" in machine.ended("inspect", RELEASE, KERNEL, KERNEL_INSTALL_CONF_ROOT="/srv/empty")
    machine.configure("fuki")
    assert "Boot Root: /boot" in machine.ended("inspect", RELEASE, KERNEL)
    assert not machine.listing()


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
CONF_ROOT = {"KERNEL_INSTALL_CONF_ROOT": "/srv/conf"}
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


@pytest.mark.parametrize("by", ["plugin", "drop-in"])
def test_firmware_and_addons_of_a_partial_recipe_are_installed_and_removed(machine, inspect, by):
    machine.write("etc/kernel/fuki.toml", RECIPE)
    machine.add(by=by)
    assert list(machine.listing()) == [UKI, ADDON]
    told = inspect(machine.directory / "boot" / UKI)
    assert [(f["fwid"], len(f["chids"])) for f in told["firmware"]] == [("ovmf-generic", 1)]
    assert inspect(machine.directory / "boot" / ADDON)["kind"] == "addon"

    machine.ended("remove", RELEASE)
    assert not machine.listing()
    assert not (machine.directory / "boot" / ADDON).parent.exists()


def test_the_recipe_is_that_of_the_named_directory_or_of_etc_kernel_or_of_etc_fuki(machine, inspect):
    def firmware(**environment: str) -> list[str]:
        machine.image("plugin", **environment)
        return [f["fwid"] for f in inspect(machine.directory / "boot" / UKI)["firmware"]]

    recipes = {
        place: partial_recipe(
            f'[[fuki.firmware]]\nid = "{place}"\nsource = "directory"\npath = "/srv/ovmf-generic"\n'
            f'platforms = ["qemu:q35"]\n'
        )
        for place in ("conf", "kernel", "fuki")
    }
    machine.write("srv/conf/entry-token", "acme")
    machine.write("etc/fuki/fuki.toml", recipes["fuki"])
    assert firmware() == ["fuki"]
    machine.write("etc/kernel/fuki.toml", recipes["kernel"])
    assert firmware() == ["kernel"]
    assert firmware(**CONF_ROOT) == ["fuki"]
    machine.write("srv/conf/fuki.toml", recipes["conf"])
    assert firmware(**CONF_ROOT) == ["conf"]


def test_a_recipe_s_command_line_stands_behind_that_of_the_configuration_and_before_that_of_the_running_kernel(
    machine, pe
):
    machine.write("etc/kernel/fuki.toml", partial_recipe(cmdline="of=recipe"))

    def command_line() -> bytes:
        machine.image("plugin")
        return pe(machine.directory / "boot" / UKI).content(".cmdline")

    assert command_line() == b"root=LABEL=root ro quiet"
    (machine.directory / "etc/kernel/cmdline").unlink()
    assert command_line() == b"of=recipe"
    machine.write("etc/kernel/uki.conf", "[UKI]\nCmdline=of=configuration\n")
    assert command_line() == b"of=configuration"


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


def test_other_generators_and_layouts_are_left_alone(machine):
    machine.write("etc/kernel/fuki.toml", "not a recipe")
    for generator, layout in (("dracut", "uki"), ("", "bls"), ("fuki", "bls"), ("fuki", "other")):
        machine.configure(generator, layout)
        said = machine.ended("--verbose", "add", RELEASE, KERNEL, "/srv/initrd.img", code=1 if layout == "uki" else 0)
        assert "60-fuki: not for this" in said
    assert not [name for name in machine.listing() if name.startswith("EFI")]


def test_a_kernel_that_is_an_image_already_is_installed_as_it_is(machine):
    machine.add()
    (image,) = machine.listing().values()
    machine.write("srv/own.efi", image)
    machine.write("etc/kernel/fuki.toml", "not a recipe")
    machine.ended("remove", RELEASE)
    machine.ended("add", RELEASE, "/srv/own.efi")
    assert list(machine.listing().values()) == [image]


@pytest.mark.parametrize("by", ["plugin", "drop-in"])
def test_a_library_for_another_python_says_so(machine, by):
    program = machine.directory / "etc/kernel/fuki/ukify"
    source = program.read_text()
    program.write_text(source.replace(repr(tuple(sys.version_info[:2])), "(2, 7)"))
    said = machine.add(by=by, code=1)
    program.write_text(source)
    assert "is for Python 2.7" in said
    assert not machine.listing()


def test_outputs_and_addons_that_kernel_install_does_not_care_for_are_told(machine):
    manifest = '[[fuki.output]]\nformat = "manifest"\n'
    addon = '[[fuki.output]]\nformat = "addon"\n'
    machine.write("etc/kernel/fuki.toml", f"{RECIPE}{addon}{manifest}")
    assert "uki.manifest.json goes away with the staging area" in machine.add()
    machine.write("etc/kernel/fuki.toml", partial_recipe(f'{manifest}path = "/srv/manifest.json"'))
    said = machine.add()
    assert "goes away" not in said
    assert f"/boot/{ADDON} is not of this image, and stays" in said
    assert (machine.directory / "srv/manifest.json").exists()


def test_integrating_says_what_install_conf_still_needs_and_what_is_wrong_in_the_recipe(machine):
    machine.configure("ukify")
    said = machine.integrate()
    assert "still to do: uki_generator=fuki in" in said
    assert "layout" not in said
    machine.configure("fuki")
    assert "still to do" not in machine.integrate()
    machine.write("etc/kernel/fuki.toml", RECIPE.replace("fuki.firmware", "fuki.firmwear"))
    assert "fuki.firmwear" in machine.integrate(code=2)


def test_a_plugin_that_was_switched_off_or_is_another_s_stays(machine):
    plugin = machine.directory / "etc/kernel/install.d/60-fuki.install"
    ours = plugin.read_text()
    plugin.unlink()
    plugin.symlink_to("/dev/null")
    assert "60-fuki.install: it is not as fuki writes it" in machine.integrate(code=2)
    assert plugin.is_symlink()
    plugin.unlink()
    machine.write("etc/kernel/install.d/60-fuki.install", "#!/bin/sh\n")
    machine.integrate(code=2)
    assert plugin.read_text() == "#!/bin/sh\n"
    plugin.unlink()
    assert machine.integrate().splitlines()[0] == f"wrote {plugin}"
    assert plugin.read_text() == ours

    assert "has all of it already" in machine.integrate()


def test_nothing_is_written_over_that_is_not_fuki_s(tmp_path):
    def integrate(directory: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "fuki_build", "integrate", "ukify", str(directory)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    for name, kept in (("library", "lib/precious"), ("program", "ukify")):
        directory = tmp_path / name
        (directory / kept).parent.mkdir(parents=True)
        (directory / kept).write_text("precious")
        done = integrate(directory)
        assert done.returncode == 2
        assert "is not fuki's" in done.stderr
        assert (directory / kept).read_text() == "precious"
        assert [path for path in directory.rglob("*") if path.is_file()] == [directory / kept]

    (tmp_path / "link").mkdir()
    (tmp_path / "link/ukify").symlink_to("../own/ukify")
    assert integrate(tmp_path / "own").returncode == 0
    assert integrate(tmp_path / "link").returncode == 2
    assert integrate(tmp_path / "own").returncode == 0
