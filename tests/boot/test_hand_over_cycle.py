"""Images whose own firmware is started: the whole cycle on a model of QEMU's vm-launch-update."""

from pathlib import Path

import parts
import pytest
from fuki_qemu.host.launch_update import Control

from fuki_build.formats.confidential import igvm
from fuki_build.formats.confidential.igvm import native_context
from fuki_build.formats.confidential.igvm.native_context import NativeRegisters
from fuki_build.testing import succeed
from tests.boot.conftest import Bench
from tests.support.bootable import CLOUD_PLUGINS, CLOUDS, build
from tests.support.hand_over import outcome_of, report_of

PLUGINS = (*CLOUD_PLUGINS, "hand-over")
THE_HOSTS = "the host's"
BUILDS = {"aws": "ovmf-generic", "azure": "ovmf-2025", "gcp": "ovmf-2025", "vmware": "ovmf-generic"}
"""What the image brings for a cloud."""


def host(part: str = "ovmf-2025") -> tuple[object, ...]:
    """A host with firmware of its own: a build of another year than what it is given."""
    return ("--host", "vm-launch-update", "--firmware", parts.get(part))


def wrapped(directory: Path, part: str) -> Path:
    path = directory / f"{part}.igvm"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        succeed(directory, "firmware", "wrap", parts.get(part), "-o", path, "--platform", "native")
    return path


def firmware(fwid: str, path: Path, platform: str) -> str:
    return f'[[fuki.firmware]]\nsource = "file"\nid = "{fwid}"\npath = "{path}"\nplatforms = ["{platform}"]\n'


def hand_over(more: str = "") -> str:
    return f'[fuki.hand-over]\ninterface = "vm-launch-update"\n{more}\n'


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("hand-over")
    text = hand_over()
    for fwid, part in BUILDS.items():
        text += firmware(fwid, wrapped(directory, part), CLOUDS[fwid])
    return build(directory / "image", text, plugins=PLUGINS)


@pytest.mark.parametrize("fwid", BUILDS)
def test_each_cloud_gets_its_own_firmware_running(fwid: str, bench: Bench, image: Path) -> None:
    machine = ("--as", CLOUDS[fwid])
    others = next(part for part in BUILDS.values() if part != BUILDS[fwid])
    booted = bench.boot(image, *host(others), *machine, scenario=f"handed over as {fwid}", plugins=PLUGINS)
    assert [start["firmware"] for start in booted.document["starts"]] == [THE_HOSTS, fwid]
    assert booted.document["hand-over"] == "handed-over"


def test_the_second_start_measures_what_a_guest_does_that_was_started_on_that_firmware(
    bench: Bench, image: Path
) -> None:
    """All of it, of which much cannot be predicted: register 0 tells the firmware's own version and volumes."""
    machine = ("--as", CLOUDS["aws"])
    bench.boot(image, *host(), *machine, plugins=PLUGINS)
    after = report_of(bench).registers["sha256"]
    bench.boot(image, "--firmware", parts.get(BUILDS["aws"]), *machine, plugins=PLUGINS)
    # Register 1 tells of boot options in their order, and of tables of the hypervisor's, which a reset changes.
    assert {pcr: after[pcr] for pcr in range(13) if pcr != 1} == {
        pcr: value for pcr, value in report_of(bench).registers["sha256"].items() if pcr < 13 and pcr != 1
    }


def test_a_machine_that_nothing_is_for_boots_on_on_the_hosts(bench: Bench, image: Path) -> None:
    booted = bench.boot(image, *host(), "--as", "openstack", scenario="no firmware for the machine", plugins=PLUGINS)
    assert [start["firmware"] for start in booted.document["starts"]] == [THE_HOSTS]
    assert booted.document["hand-over"] == "nothing-selected"


def dead() -> bytes:
    """Firmware that resets the machine as its first and last deed: `mov dx, 0xcf9; mov al, 6; out dx, al; hlt`."""
    page = bytearray(igvm.PAGE)
    page[0xFF0:0xFF8] = bytes.fromhex("66baf90cb006eef4")
    flat = NativeRegisters(
        rip=0xFFFFFFF0,
        rflags=2,
        cr0=0x31,
        code_selector=8,
        code_attributes=0xC09B,
        code_limit=0xFFFFFFFF,
        data_selector=16,
        data_attributes=0xC093,
        data_limit=0xFFFFFFFF,
    )
    context = native_context.encode(flat).ljust(igvm.PAGE, b"\0")

    def headers(start: int) -> list[igvm.Directive]:
        return [
            igvm.SupportedPlatform(
                mask=1, highest_vtl=2, platform=igvm.IgvmPlatform.NATIVE, version=1, shared_gpa_boundary=0
            ),
            igvm.PageData(gpa=0xFFFFF000, mask=1, file_offset=start, flags=0, kind=igvm.PageKind.NORMAL),
            igvm.VpContext(0, 1, start + igvm.PAGE, 0),
        ]

    start = igvm.data_offset(headers(0))
    return igvm.encode(headers(start), bytes(page) + context)


def test_dead_firmware_is_left_at_its_reset_and_not_tried_again(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "dead.igvm"
    path.write_bytes(dead())
    text = hand_over() + firmware("dead", path, "qemu")
    image = build(tmp_path / "image", text, plugins=PLUGINS)
    booted = bench.boot(image, *host(), scenario="dead firmware", plugins=PLUGINS, code=3)
    assert [start["firmware"] for start in booted.document["starts"]] == [THE_HOSTS, "dead", THE_HOSTS]
    assert booted.document["hand-over"] == "guard"


def test_a_file_with_a_wrong_checksum_is_refused_and_the_image_boots_on(bench: Bench, image: Path) -> None:
    data = image.read_bytes()
    # The last header's checksum: the firmware of the last cloud that the image brings some for.
    at = data.rindex(b"IGVM\1\0\0\0") + 20
    broken = bench.directory / "broken.efi"
    broken.write_bytes(data[:at] + bytes(byte ^ 0xFF for byte in data[at : at + 4]) + data[at + 4 :])
    machine = ("--as", CLOUDS[[*BUILDS][-1]])
    booted = bench.boot(broken, *host(), *machine, scenario="refused firmware", plugins=PLUGINS)
    assert [start["firmware"] for start in booted.document["starts"]] == [THE_HOSTS]
    assert booted.document["hand-over"] == "refused"


def test_a_host_that_is_locked_says_so_to_the_firmware_that_locked_it(bench: Bench, tmp_path: Path) -> None:
    text = hand_over("lock = true\nlasting = true") + firmware("own", wrapped(tmp_path, "ovmf-generic"), "qemu")
    image = build(tmp_path / "image", text, plugins=PLUGINS)
    booted = bench.boot(image, *host(), scenario="handed over and locked", plugins=PLUGINS)
    assert [start["firmware"] for start in booted.document["starts"]] == [THE_HOSTS, "own"]
    assert outcome_of(bench).device_control == Control.DISABLE


def test_linux_reaches_its_first_program_on_its_own_firmware(bench: Bench, tmp_path: Path) -> None:
    text = hand_over() + firmware("own", wrapped(tmp_path, "ovmf-generic"), "qemu")
    image = build(tmp_path / "image", text, kernel=True, plugins=PLUGINS)
    booted = bench.boot(image, *host(), scenario="handed over, real kernel", plugins=PLUGINS)
    assert [start["firmware"] for start in booted.document["starts"]] == [THE_HOSTS, "own"]
    assert booted.document["command-line"].startswith("console=ttyS0")
