"""kernel-install 262.1 with the plugin of `fuki integrate kernel-install`: recipes, addons, and what is left alone.

Everything runs in a root directory of the test's own.
"""

import pytest

from fuki_build.testing import partial_recipe
from tests.support.installers import RELEASE
from tests.support.kernel_install import ADDON, CONF_ROOT, KERNEL, RECIPE, UKI


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
