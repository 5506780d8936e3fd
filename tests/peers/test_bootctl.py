"""What bootctl of systemd 262.1 says of our images."""

import re

import pytest

from fuki_build.testing import recipe

RECIPE = recipe(
    """
[[fuki.firmware]]
source = "directory"
path = "firmware/ovmf-amdsev"
hwids = "machines/a.json"
[[fuki.profile]]
id = "debug"
cmdline = "systemd.debug_shell=1"
[[fuki.addon]]
name = "on-stub"
stub = "addon-stub"
cmdline = "console=ttyS0"
[[fuki.addon]]
name = "bare"
cmdline = "console=ttyS0"
""",
    initrd=["early.img"],
    os_release="os-release",
    cmdline="root=LABEL=root ro",
)


@pytest.fixture(scope="module")
def image(tmp_path_factory, lay_out, build):
    directory = lay_out(tmp_path_factory.mktemp("bootctl"))
    (directory / "fuki.toml").write_text(RECIPE)
    return build(directory)


def test_bootctl_takes_an_image_for_a_uki(image, bootctl):
    assert bootctl("kernel-identify", image).strip() == "uki"


@pytest.mark.parametrize("name", ["on-stub", "bare"])
def test_bootctl_takes_an_addon_for_one(image, bootctl, name):
    addon = image.with_name("image.efi.extra.d") / f"{name}.addon.efi"
    assert bootctl("kernel-identify", addon).strip() == "addon"
    assert "Cmdline: console=ttyS0" in bootctl("kernel-inspect", addon)


def test_bootctl_tells_the_same_release_command_line_and_name_of_an_image(image, bootctl, inspect):
    told = dict(re.findall(r"^ *([A-Za-z ]+): (.*)$", bootctl("kernel-inspect", image), re.MULTILINE))
    ours = {s["name"]: s["what"] for s in inspect(image)["sections"] if s["profile"] is None}
    assert told == {
        "Kernel Type": "uki",
        "Cmdline": ours[".cmdline"],
        "Version": ours[".uname"],
        "OS": ours[".osrel"],
    }
    assert told["OS"] == "Acme édition"


@pytest.mark.parametrize("name", ["stub", "vmlinuz", "image.efi", "image.efi.extra.d/bare.addon.efi"])
def test_bootctl_and_inspect_agree_on_what_a_file_is(image, bootctl, inspect, name):
    words = {"uki": "uki", "addon": "addon", "other": "pe"}
    assert bootctl("kernel-identify", image.parent / name).strip() == words[inspect(image.parent / name)["kind"]]
