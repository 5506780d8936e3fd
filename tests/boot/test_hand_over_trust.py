"""What the image's own firmware, with the tenant's keys, starts and refuses after a hand-over.

The host's firmware of these tests has no Secure Boot, and starts all of it: the first start of each shows that.
"""

from pathlib import Path

import parts
import pytest

from fuki_build.testing import succeed
from tests.boot.conftest import Bench
from tests.boot.test_hand_over_cycle import PLUGINS, THE_HOSTS, firmware, hand_over, host
from tests.support.bootable import build
from tests.support.rich import sections

OWN = "own"


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an image that is not signed, whose firmware trusts the keys beside it, and those of others."""
    directory = tmp_path_factory.mktemp("tenant")
    for name in ("keys", "others"):
        succeed(directory, "keys", "generate", name, "--name", name)
    # Of Debian's builds, that for TDX is the one that enforces Secure Boot without flash and SMM: it copies the
    # variables of its own image.
    names = {"pk": "PK", "kek": "KEK", "db": "db"}
    keys = [word for option, name in names.items() for word in (f"--{option}", f"keys/{name}.pem")]
    plugin = ("--plugin", "virt-firmware")
    succeed(directory, *plugin, "keys", "enroll", parts.get("ovmf-inteltdx"), "-o", "own.fd", *keys, "--secure-boot")
    succeed(directory, "firmware", "wrap", "own.fd", "-o", "own.igvm", "--platform", "native")
    build(directory / "image", hand_over() + firmware(OWN, directory / "own.igvm", "qemu"), plugins=PLUGINS)
    return directory


def signed(tenant: Path, image: Path, target: Path, keys: str = "keys") -> Path:
    succeed(tenant, "sign", image, "--key", f"{keys}/db.key", "--certificate", f"{keys}/db.pem", "-o", target)
    return target


def test_an_image_that_the_tenant_signed_starts_on_firmware_with_the_tenants_keys(
    bench: Bench, tenant: Path, tmp_path: Path
) -> None:
    image = signed(tenant, tenant / "image" / "boot.efi", tmp_path / "signed.efi")
    scenario = "handed over, Secure Boot by the own firmware"
    booted = bench.boot(image, *host(), scenario=scenario, plugins=PLUGINS, code=3)
    assert [start["firmware"] for start in booted.document["starts"]] == [THE_HOSTS, OWN]
    assert booted.document["hand-over"] == "handed-over"
    # This build has no driver for TPMs, as guests with TDX have other registers: nothing else is missing.
    rows = [*booted.document["starts"][0]["compared"], *booted.document["compared"]]
    assert [row["what"] for row in rows if row["verdict"] not in ("equal", "unknown")] == ["registers"]


def refused(bench: Bench, image: Path, scenario: str) -> None:
    booted = bench.boot(image, *host(), scenario=scenario, plugins=PLUGINS, code=1)
    assert [start["firmware"] for start in booted.document["starts"]] == [THE_HOSTS, OWN]
    assert "Access Denied" in booted.document["reason"], booted


def test_an_image_that_others_signed_is_refused(bench: Bench, tenant: Path, tmp_path: Path) -> None:
    image = signed(tenant, tenant / "image" / "boot.efi", tmp_path / "signed.efi", "others")
    refused(bench, image, "handed over, signed by others")


@pytest.mark.parametrize("section", ["linux", "initrd", "cmdline"])
def test_a_signed_image_that_was_changed_is_refused(section: str, bench: Bench, tenant: Path, tmp_path: Path) -> None:
    image = signed(tenant, tenant / "image" / "boot.efi", tmp_path / "signed.efi")
    data = bytearray(image.read_bytes())
    at = next(offset for name, _, offset, *_ in sections(image) if name == f".{section}")
    data[at + 40] ^= 1
    image.write_bytes(data)
    refused(bench, image, f"handed over, another {section}")


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
