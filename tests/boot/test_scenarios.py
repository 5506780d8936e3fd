"""Guests measure what was predicted: each register, in each bank, or the verb ends with exit code 3.

Most images have the probe for a kernel, which measures as Linux does and is done in seconds; some have a real one.
"""

from pathlib import Path

import pytest
from fuki_qemu import session
from fuki_qemu.boot_request import BootRequest
from fuki_qemu.guest import Screen

from fuki_build import find_machines, find_profiles, inspect, new_host, predict_boot, read_boot
from fuki_build.hardware.machine import Machine, encode_file
from tests.support.bootable import CLOUD_PLUGINS, CLOUDS, build, clouds
from tests.support.signature_shapes import insert, places

OTHER_SIZE = Machine(
    name="m5.large", manufacturer="Amazon EC2", product="m5.large", baseboard_manufacturer="Amazon EC2"
)
PROFILE = """
[[fuki.profile]]
id = "other"
cmdline = "console=ttyS0 which=other panic=-1 no_timer_check tsc=reliable"
"""
ADDON = """
[[fuki.addon]]
name = "more"
cmdline = "from=addon"
"""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def cloudy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An F-UKI with firmware for five clouds."""
    directory = tmp_path_factory.mktemp("clouds")
    return build(directory, clouds(directory))


def test_a_plain_image_from_a_disk(bench, plain):
    booted = bench.boot(plain, scenario="plain image")
    assert {subject for subject, _ in booted.compared} >= {
        "PCR 4",
        "PCR 7",
        "PCR 9",
        "PCR 11",
        "PCR 12",
        "SMBIOS",
        "StubInfo",
    }
    assert {bank for _, bank in booted.compared} == {"", "sha1", "sha256", "sha384", "sha512"}


def test_an_image_with_bytes_of_no_section_and_an_odd_size(bench, plain, tmp_path):
    """Firmware hashes neither as signing tools do: PCR 4 has what edk2 makes of them."""
    data = plain.read_bytes()
    second = sorted(place for size, place in places(data) if size)[1]
    image = tmp_path / "odd.efi"
    image.write_bytes(insert(data, second, b"G" * 512) + b"T" * 1005)
    booted = bench.boot(image, scenario="a gap between sections, odd size")
    assert booted.compared["PCR 4", "sha256"]["verdict"] == "equal"


def test_a_plain_image_handed_over_directly(bench, plain):
    bench.boot(plain, "--direct", scenario="plain image, -kernel")


def test_an_image_without_console_gets_the_machines(bench, tmp_path):
    image = build(tmp_path / "silent", cmdline="root=LABEL=root")
    booted = bench.boot(image, scenario="no console= in the command line")
    assert booted.document["command-line"].endswith("console=uart,io,0x3f8 console=hvc0")


def test_passed_options_take_the_place_of_the_images(bench, plain):
    booted = bench.boot(plain, "--options", "passed=yes console=ttyS0", scenario="options passed by the boot option")
    assert booted.document["command-line"] == "passed=yes console=ttyS0"


@pytest.mark.parametrize("fwid", CLOUDS)
def test_a_platform_selects_its_firmware(fwid, bench, cloudy):
    booted = bench.boot(cloudy, "--as", CLOUDS[fwid], scenario=f"as {fwid}", plugins=CLOUD_PLUGINS)
    assert booted.document["fwid"] == fwid
    assert booted.measured(11) not in {value for other, value in predictions(cloudy).items() if other != fwid}


def predictions(image: Path) -> dict[str | None, str]:
    """PCR 11 in the bank SHA-256 on a machine of each platform, and on one of none."""
    host, layout = new_host(CLOUD_PLUGINS), inspect(image)
    machines = {fwid: find_machines(name, Path(), host, "test")[0] for fwid, name in CLOUDS.items()}
    (profile,) = find_profiles(layout, None)
    values = {}
    everywhere: list[tuple[str | None, Machine]] = [*machines.items(), (None, OTHER_SIZE)]
    for fwid, machine in everywhere:
        value = predict_boot(layout, machine, profile, read_boot(("sha256",)), ("sha256",)).value(11, "sha256")
        values[fwid] = value.hex() if value else ""
    assert len(set(values.values())) == len(values)
    return values


def test_a_machine_of_another_size_selects_none(bench, cloudy, tmp_path):
    (tmp_path / "other.toml").write_bytes(encode_file(OTHER_SIZE))
    booted = bench.boot(cloudy, "--as", tmp_path / "other.toml", scenario="as a size without firmware")
    assert booted.document["fwid"] is None
    assert booted.measured(11) == predictions(cloudy)[None]


@pytest.mark.parametrize(("profile", "number"), [("main", 0), ("other", 1)])
def test_each_profile(profile, number, bench, tmp_path):
    image = build(tmp_path / "profiles", PROFILE)
    booted = bench.boot(image, "--profile", profile, scenario=f"profile {profile}")
    assert booted.compared["StubProfile", ""]["measured"] == str(number)
    assert ("which=other" in booted.document["command-line"]) == (profile == "other")


def test_a_profile_handed_over_directly(bench, tmp_path):
    image = build(tmp_path / "profiles", PROFILE)
    bench.boot(image, "--profile", "other", "--direct", scenario="profile other, -kernel")


def test_an_addon(bench, tmp_path):
    image = build(tmp_path / "addon", ADDON)
    addon = image.with_name("boot.efi.extra.d") / "more.addon.efi"
    booted = bench.boot(image, "--addon", addon, scenario="an addon")
    assert booted.document["command-line"].endswith(" from=addon")


def test_an_older_edk2(bench, plain, part):
    bench.boot(plain, "--firmware", part("ovmf-2025"), scenario="edk2 2025.02")


def test_the_real_kernel(bench, tmp_path):
    booted = bench.boot(build(tmp_path / "real", kernel=True), scenario="real kernel")
    assert booted.document["command-line"].endswith(" rdinit=/.fuki/probe")


def test_the_real_kernel_on_a_cloud_with_an_addon(bench, tmp_path):
    directory = tmp_path / "real"
    image = build(directory, clouds(directory) + ADDON, kernel=True)
    addon = image.with_name("boot.efi.extra.d") / "more.addon.efi"
    options = ("--as", "azure", "--addon", addon)
    booted = bench.boot(image, *options, scenario="real kernel as azure, an addon", plugins=CLOUD_PLUGINS)
    assert booted.document["fwid"] == "azure"


def test_the_real_kernel_in_the_second_profile(bench, tmp_path):
    image = build(tmp_path / "real", PROFILE, kernel=True)
    booted = bench.boot(image, "--profile", "other", scenario="real kernel, profile other")
    assert "which=other" in booted.document["command-line"]


def test_the_real_kernel_under_a_stub_that_has_the_firmware_load_it(bench, tmp_path):
    image = build(tmp_path / "real", kernel=True, stub="stub-257-x64")
    bench.boot(image, scenario="real kernel, systemd-stub 257")


def test_the_real_kernel_handed_over_without_a_probe_says_its_command_line(tmp_path, part):
    """The kernel finds no first program, and with panic=-1 ends the machine."""
    image = build(tmp_path / "real", PROFILE, kernel=True)
    request = BootRequest(
        image=image,
        profile="other",
        direct=True,
        firmware=part("ovmf-code"),
        kvm=False,
        timeout=150,
        screen=Screen.NONE,
    )

    booted = session.boot(request, new_host())
    assert booted.outcome.ending == "ended"
    assert "Kernel command line: console=ttyS0 which=other" in booted.console
