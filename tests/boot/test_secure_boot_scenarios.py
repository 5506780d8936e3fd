"""With a tenant's own keys the firmware starts what they signed, and PCR 7 is as predicted; all else is refused."""

import shutil
from pathlib import Path
from uuid import UUID

import pytest

from fuki_build import read_program
from fuki_build.formats.uefi import efi_signature_list
from fuki_build.formats.uefi.efi_signature_list import SignatureType
from fuki_build.testing import succeed
from tests.support.bootable import build

ENROLLER = ("virt-firmware",)


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys, and an image with a signature by db: `signed.efi`, of `boot.efi`."""
    directory = tmp_path_factory.mktemp("secure-boot")
    build(directory)
    succeed(directory, "keys", "generate", "keys", "--name", "Tenant")
    sign(directory, "boot.efi", "signed.efi")
    return directory


def sign(directory: Path, image: str, output: str, keys: str = "keys") -> Path:
    succeed(directory, "sign", image, "--key", f"{keys}/db.key", "--certificate", f"{keys}/db.pem", "-o", output)
    return directory / output


@pytest.fixture
def secure(tenant: Path, part) -> tuple[object, ...]:
    """Options for Secure Boot with the tenant's keys."""
    return "--firmware", part("ovmf-secboot"), "--secure-boot", tenant / "keys"


def test_a_signed_image_starts(bench, tenant, secure):
    booted = bench.boot(tenant / "signed.efi", *secure, scenario="Secure Boot, signed", plugins=ENROLLER)
    assert booted.compared["PCR 7", "sha256"]["verdict"] == "equal"


def test_a_signed_image_with_a_signed_addon_starts(bench, tenant, secure, tmp_path):
    image = build(tmp_path / "signed", '[[fuki.addon]]\nname = "more"\ncmdline = "from=addon"\n')
    (tmp_path / "signed" / "keys").symlink_to(tenant / "keys")
    sign(image.parent, "boot.efi", "signed.efi")
    addon = sign(image.parent, "boot.efi.extra.d/more.addon.efi", "signed.addon.efi")
    options = (*secure, "--addon", addon)
    booted = bench.boot(image.with_name("signed.efi"), *options, scenario="Secure Boot, an addon", plugins=ENROLLER)
    assert booted.document["command-line"].endswith(" from=addon")


def test_a_signed_image_with_the_real_kernel_starts_and_its_probe_is_trusted_by_hash(bench, tenant, secure, tmp_path):
    image = build(tmp_path / "real", kernel=True)
    (tmp_path / "real" / "keys").symlink_to(tenant / "keys")
    signed = sign(image.parent, "boot.efi", "signed.efi")
    bench.boot(signed, *secure, scenario="Secure Boot, real kernel", plugins=ENROLLER)


def test_a_store_that_has_keys_serves_too(bench, tenant, part, tmp_path):
    keys = ("--pk", "keys/PK.pem", "--kek", "keys/KEK.pem", "--db", "keys/db.pem")
    store = tmp_path / "vars.fd"
    succeed(tenant, "--plugin", "virt-firmware", "keys", "enroll", part("ovmf-vars"), "-o", store, *keys)
    bench.boot(tenant / "signed.efi", "--firmware", part("ovmf-secboot"), "--secure-boot", store)


def refused(bench, image: Path, *options: object, scenario: str) -> None:
    booted = bench.boot(image, *options, scenario=scenario, plugins=ENROLLER, code=1)
    assert booted.document["ending"] == "refused"
    assert "did not start the image: Access Denied" in booted.error


def test_an_unsigned_image_is_refused(bench, tenant, secure):
    refused(bench, tenant / "boot.efi", *secure, scenario="Secure Boot, unsigned: refused")


def test_an_image_that_was_changed_is_refused(bench, tenant, secure, tmp_path):
    data = bytearray((tenant / "signed.efi").read_bytes())
    data[data.index(b"console=ttyS0")] ^= 0x20
    (tmp_path / "changed.efi").write_bytes(data)
    refused(bench, tmp_path / "changed.efi", *secure, scenario="Secure Boot, one byte changed: refused")


def test_an_image_of_a_stranger_is_refused(bench, tenant, secure, tmp_path):
    (tmp_path / "boot.efi").write_bytes((tenant / "boot.efi").read_bytes())
    succeed(tmp_path, "keys", "generate", "others")
    signed = sign(tmp_path, "boot.efi", "signed.efi", "others")
    refused(bench, signed, *secure, scenario="Secure Boot, a stranger's key: refused")


@pytest.mark.parametrize("revoked", ["hash", "certificate"])
def test_a_revoked_image_is_refused(revoked, bench, tenant, part, tmp_path):
    """The directory of keys has a `dbx.*` beside PK, KEK and db."""
    keys = Path(shutil.copytree(tenant / "keys", tmp_path / "keys"))
    if revoked == "certificate":
        shutil.copyfile(keys / "db.pem", keys / "dbx.pem")
    else:
        digest = bytes.fromhex(read_program(tenant / "signed.efi", ("sha256",)).assembly.authenticode)
        lists = [efi_signature_list.hash_list(SignatureType.SHA256, [digest], UUID(int=1))]
        (keys / "dbx.esl").write_bytes(efi_signature_list.encode(lists))
    options = ("--firmware", part("ovmf-secboot"), "--secure-boot", keys)
    refused(bench, tenant / "signed.efi", *options, scenario=f"Secure Boot, {revoked} in dbx: refused")
