"""What the image's own firmware, with the tenant's keys, starts and refuses after a hand-over.

The host's firmware of these tests has no Secure Boot, and starts all of it.
"""

from pathlib import Path

import parts
import pytest
from fuki_qemu import session
from fuki_qemu.guest import Ending, Screen
from fuki_qemu.host.choice import Host
from fuki_qemu.host.verdict import compare_starts
from fuki_qemu.session import Booted

from fuki_build import new_host
from fuki_build.testing import succeed
from tests.boot.conftest import Bench
from tests.boot.test_hand_over_cycle import PLUGINS, THE_HOSTS, firmware, hand_over, host, wrapped
from tests.support.bootable import build
from tests.support.rich import sections
from tests.support.shim import REFUSED, behind_shim, put_level

OWN = "own"
HOSTS_BUILD = "ovmf-2025"
"""Without Secure Boot."""


BUILDS = ["ovmf-2022", "ovmf-inteltdx"]
"""Of Debian's builds, those that enforce Secure Boot without flash and SMM, as they copy the variables of their own
image. The second has no driver for TPMs, as guests with TDX have other registers."""


def with_keys(directory: Path, part: str, *more: str) -> Path:
    """The firmware with the tenant's keys below `directory`, as an IGVM file; `more` are options of `keys enroll`."""
    names = {"pk": "PK", "kek": "KEK", "db": "db"}
    keys = [word for option, name in names.items() for word in (f"--{option}", f"keys/{name}.pem")]
    plugin = ("--plugin", "virt-firmware")
    succeed(directory, *plugin, "keys", "enroll", parts.get(part), "-o", f"{part}.fd", *keys, "--secure-boot", *more)
    return directory / f"{part}.fd"


def image_with(directory: Path, own: Path, sbat: str = "") -> Path:
    """An image that is not signed, which hands over to the firmware `own`."""
    succeed(directory, "firmware", "wrap", own, "-o", own.with_suffix(".igvm"), "--platform", "native")
    text = hand_over() + firmware(OWN, own.with_suffix(".igvm"), "qemu")
    return build(directory / f"image-{own.stem}", text, sbat=sbat, plugins=PLUGINS)


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the tenant's keys, and those of others."""
    directory = tmp_path_factory.mktemp("tenant")
    for name in ("keys", "others"):
        succeed(directory, "keys", "generate", name, "--name", name)
    return directory


@pytest.fixture(scope="module")
def image(tenant: Path) -> Path:
    """An image that is not signed, whose firmware trusts the tenant's keys."""
    return image_with(tenant, with_keys(tenant, BUILDS[0]))


def signed(tenant: Path, image: Path, target: Path, keys: str = "keys") -> Path:
    succeed(tenant, "sign", image, "--key", f"{keys}/db.key", "--certificate", f"{keys}/db.pem", "-o", target)
    return target


def test_an_image_that_the_tenant_signed_starts_on_firmware_with_the_tenants_keys(
    bench: Bench, tenant: Path, image: Path, tmp_path: Path
) -> None:
    """All that can be predicted of both starts is as predicted: register 7 tells the tenant's keys at the second."""
    image = signed(tenant, image, tmp_path / "signed.efi")
    booted = bench.boot(image, *host(), scenario="handed over, Secure Boot by the own firmware", plugins=PLUGINS)
    first, second = booted.document["starts"]
    assert [first["firmware"], second["firmware"]] == [THE_HOSTS, OWN]
    assert booted.document["hand-over"] == "handed-over"

    before = {row["what"]: row["measured"] for row in first["compared"] if row["bank"] == "sha256"}
    assert before["PCR 4"] == booted.measured(4)
    assert before["PCR 7"] != booted.measured(7)
    assert {"PCR 4", "PCR 7", "PCR 9", "PCR 11", "PCR 12"} <= {
        row["what"] for row in booted.document["compared"] if row["bank"] == "sha256" and row["verdict"] == "equal"
    }


def test_firmware_without_a_driver_for_the_tpm_starts_what_the_tenant_signed_too(
    bench: Bench, tenant: Path, tmp_path: Path
) -> None:
    image = signed(tenant, image_with(tenant, with_keys(tenant, BUILDS[1])), tmp_path / "signed.efi")
    scenario = "handed over, Secure Boot by edk2 2026.08 for TDX"
    booted = bench.boot(image, *host(), scenario=scenario, plugins=PLUGINS, code=3)
    assert [start["firmware"] for start in booted.document["starts"]] == [THE_HOSTS, OWN]
    assert booted.document["hand-over"] == "handed-over"
    rows = [*booted.document["starts"][0]["compared"], *booted.document["compared"]]
    assert [row["what"] for row in rows if row["verdict"] not in ("equal", "unknown")] == ["registers"]


def test_a_host_that_enforces_secure_boot_starts_what_the_tenant_signed_and_is_handed_over(
    bench: Bench, tenant: Path, tmp_path: Path
) -> None:
    """Register 7 of the first start tells the host's keys."""
    (tmp_path / "keys").symlink_to(tenant / "keys")
    options = ("--host", "vm-launch-update", "--firmware", with_keys(tmp_path, BUILDS[0]))
    text = hand_over() + firmware(OWN, wrapped(tmp_path, "ovmf-generic"), "qemu")
    image = signed(tmp_path, build(tmp_path / "image", text, plugins=PLUGINS), tmp_path / "signed.efi")

    booted = bench.boot(image, *options, scenario="handed over, Secure Boot by the host's firmware", plugins=PLUGINS)
    assert [start["firmware"] for start in booted.document["starts"]] == [THE_HOSTS, OWN]
    assert "PCR 7" in {row["what"] for row in booted.document["starts"][0]["compared"] if row["verdict"] == "equal"}


def start(image: Path, keep: Path, taker: Host | None = None) -> Booted:
    """Boot an image on the host's firmware, without a comparison; on a `taker` of firmware, also on the image's own."""
    request = session.BootRequest(
        image=image,
        firmware=parts.get(HOSTS_BUILD),
        host=taker,
        kvm=False,
        verify=True,
        timeout=150,
        screen=Screen.NONE,
    )
    return session.boot(request, new_host(), keep)


def refused(bench: Bench, image: Path, scenario: str) -> None:
    """Refused by the own firmware, and started by the host's where that stays: the image's program tells of itself."""
    assert start(image, bench.directory / "hosts").report is not None
    booted = bench.boot(image, *host(), scenario=scenario, plugins=PLUGINS, code=1)
    assert [start["firmware"] for start in booted.document["starts"]] == [THE_HOSTS, OWN]
    assert "Access Denied" in booted.document["reason"], booted


def test_an_image_that_others_signed_is_refused(bench: Bench, tenant: Path, image: Path, tmp_path: Path) -> None:
    theirs = signed(tenant, image, tmp_path / "signed.efi", "others")
    refused(bench, theirs, "handed over, signed by others")


@pytest.mark.parametrize("section", ["linux", "initrd", "cmdline"])
def test_a_signed_image_that_was_changed_is_refused(
    section: str, bench: Bench, tenant: Path, image: Path, tmp_path: Path
) -> None:
    image = signed(tenant, image, tmp_path / "signed.efi")
    data = bytearray(image.read_bytes())
    at = next(offset for name, _, offset, *_ in sections(image) if name == f".{section}")
    data[at + 40] ^= 1
    image.write_bytes(data)
    refused(bench, image, f"handed over, another {section}")


@pytest.mark.parametrize("generation", [1, 2])
def test_an_image_below_the_level_of_the_tenants_firmware_is_refused_by_shim(
    generation: int, tenant: Path, tmp_path: Path
) -> None:
    """The tenant signed both, and the host's firmware starts both: its shim has no level to enforce."""
    (tmp_path / "keys").symlink_to(tenant / "keys")
    own = with_keys(tmp_path, BUILDS[0], "--microsoft")
    put_level(own, b"sbat,1,2026110100\nacme,2\n")
    sbat = f"acme,{generation},Acme,acme,{generation},https://acme.example/"
    image = signed(tmp_path, image_with(tmp_path, own, sbat), tmp_path / "signed.efi")

    with behind_shim():
        booted = start(image, tmp_path / "handed-over", Host.VM_LAUNCH_UPDATE)
        on_hosts = start(image, tmp_path / "hosts")
    assert booted.hosted is not None
    assert [start.firmware for start in compare_starts(booted.hosted)] == [THE_HOSTS, OWN]
    refusal = (booted.outcome.ending is Ending.REFUSED, REFUSED in booted.console)
    assert refusal == ((True, True) if generation == 1 else (False, False)), booted.console[-2000:]
    # The image's own program tells of itself, unless it was not started.
    assert (booted.report is not None) == (generation == 2)
    assert on_hosts.report is not None, on_hosts.console[-2000:]


def test_firmware_starts_the_image_that_its_file_carries(bench: Bench, tmp_path: Path) -> None:
    """Without a signature and without keys: the launch measurement of a confidential guest covers the whole file."""
    inner = build(tmp_path / "inner")
    own = parts.get("ovmf-generic")
    carrying = ("--platform", "native", "--data", f"kernel={inner}")
    succeed(tmp_path, "firmware", "wrap", own, "-o", "own.igvm", *carrying)
    image = build(tmp_path / "image", hand_over() + firmware(OWN, tmp_path / "own.igvm", "qemu"), plugins=PLUGINS)
    scenario = "handed over to a file that carries its image"
    booted = bench.boot(image, *host(), scenario=scenario, plugins=PLUGINS, carried=inner)
    assert [start["firmware"] for start in booted.document["starts"]] == [THE_HOSTS, OWN]
    assert booted.document["hand-over"] is None
