"""Firmware with keys that fuki made and enrolled starts what is signed with them, and nothing else.

The guest has no root file system; with panic=-1 its kernel ends the machine.
"""

import json
import lzma
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import parts
import pytest

from fuki_build.formats.reader import Reader
from fuki_build.formats.uefi import authenticated_variable as auth
from fuki_build.formats.uefi import variable_store
from fuki_build.testing import recipe, succeed

_TOO_LONG = 300
"""Seconds that no boot takes, even on a busy machine."""

CPU = "qemu64,-cx16"
"""QEMU 7.2 emulates cmpxchg16b wrongly now and then on a busy host, and kernels use it to allocate memory."""

CMDLINE = "console=ttyS0 panic=-1 from=tenant no_timer_check tsc=reliable mitigations=off cryptomgr.notests=1"
REFUSED = "Access Denied"

RECIPE = recipe(
    """
[[fuki.firmware]]
source = "file"
path = "OVMF.fd"
id = "tenant"
platforms = ["qemu"]
enroll = { pk = "keys/PK.pem", kek = ["keys/KEK.pem"], db = ["keys/db.pem"] }
""",
    name="boot",
    plugins=["virt-firmware"],
    cmdline=CMDLINE,
    os_release="os-release",
)
"""Intel's TDX build of OVMF takes its variables from the image itself, as confidential guests have it."""


@pytest.fixture(scope="module")
def tenant(tmp_path_factory, part) -> Path:
    """Keys; boot.efi without and signed.efi with a signature by db; tenant.fd, the firmware that boot.efi carries."""
    directory = tmp_path_factory.mktemp("secure-boot")
    for name, real in (("stub", "stub-x64"), ("vmlinuz", "kernel-x64"), ("OVMF.fd", "ovmf-inteltdx")):
        (directory / name).symlink_to(part(real))

    (directory / "os-release").write_text("ID=boot\n")
    (directory / "fuki.toml").write_text(RECIPE)
    succeed(directory, "keys", "generate", "--name", "Tenant")
    succeed(directory, "build")
    keys = ("--key", "keys/db.key", "--certificate", "keys/db.pem")
    succeed(directory, "sign", "boot.efi", *keys, "-o", "signed.efi")
    succeed(directory, "inspect", "boot.efi", "--extract", ".efifw", "-o", "section")
    section = (directory / "section").read_bytes()
    (directory / "tenant.fd").write_bytes(section[-part("ovmf-inteltdx").stat().st_size :])
    return directory


def disk(path: Path, files: Mapping[str, Path]) -> tuple[str, ...]:
    """QEMU's options for a disk whose files, with the directories that they stand in, are these."""
    with path.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    subprocess.run(["mformat", "-i", path, "-F", "::"], check=True)
    directories = {str(parent): None for name in files for parent in reversed(Path(name).parents[:-1])}
    subprocess.run(["mmd", "-i", path, *(f"::/{name}" for name in directories)], check=True)
    for name, source in files.items():
        subprocess.run(["mcopy", "-i", path, source, f"::/{name}"], check=True)
    return "-drive", f"if=none,format=raw,file={path},id=esp", "-device", "virtio-blk-pci,drive=esp,bootindex=1"


def flash(part, store: Path) -> tuple[str, ...]:
    """QEMU's options for code and variables in flash that only the firmware writes, by way of SMM."""
    return (
        *("-machine", "q35,smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on"),
        *("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={part('ovmf-secboot')}"),
        *("-drive", f"if=pflash,unit=1,format=raw,file={store}"),
    )


def boot(*options: str, until: str = "") -> str:
    """What the machine says until it ends, or says `until`."""
    command = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", CPU, "-m", "1G", "-nodefaults", "-display", "none"]
    command = ["timeout", str(_TOO_LONG), *command, "-serial", "stdio", "-no-reboot", *options]
    console = ""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout
        for line in process.stdout:
            console += line.decode(errors="replace")
            if until and until in console:
                process.terminate()
                return console

    assert process.returncode == 0, console[-2000:]
    return console


def is_booted(console: str) -> bool:
    return "secureboot: Secure boot enabled" in console and "from=tenant" in console


DBX = "/sys/firmware/efi/efivars/dbx-d719b2cb-3d3a-4596-a3bc-dad00e67656f"
INIT = f"""#!/bin/busybox sh
/bin/busybox mkdir -p /sys
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox insmod /efivarfs.ko
/bin/busybox mount -t efivarfs efivarfs /sys/firmware/efi/efivars
/bin/busybox chattr -i {DBX}
for key in db KEK; do
    /bin/busybox dd if=/by-$key of={DBX} bs=64k && echo "DBX taken from $key" || echo "DBX refused from $key"
done
/bin/busybox reboot -f
"""


def updater(tenant: Path, part, directory: Path) -> Path:
    """A signed image that hands firmware two updates of dbx: one that db's key signed, which may not, and KEK's."""
    digest = json.loads(succeed(tenant, "inspect", "signed.efi", "--digests", "--json").out)["authenticode"]
    files = {"init": INIT.encode(), "bin/busybox": part("busybox").read_bytes()}
    files["efivarfs.ko"] = lzma.decompress(part("efivarfs-x64").read_bytes())
    for key in ("db", "KEK"):
        keys = ("--key", f"keys/{key}.key", "--certificate", f"keys/{key}.pem")
        succeed(tenant, "keys", "update", "dbx", digest, "--append", "-o", directory / "dbx.auth", *keys)
        attributes = auth.SECURE_BOOT_ATTRIBUTES | auth.Attributes.APPEND_WRITE
        files[f"by-{key}"] = attributes.to_bytes(4, "little") + (directory / "dbx.auth").read_bytes()

    (directory / "initrd").write_bytes(parts.initrd(files))
    base, _, _ = RECIPE.partition("[[fuki.firmware]]")
    (directory / "fuki.toml").write_text(f'{base}initrd = "initrd"\n')

    for name in ("stub", "vmlinuz", "os-release"):
        (directory / name).symlink_to(tenant / name)

    succeed(directory, "build")
    succeed(tenant, "sign", directory / "boot.efi", "--key", "keys/db.key", "--certificate", "keys/db.pem")
    return directory / "boot.efi"


def test_an_enrolled_store_starts_what_is_signed_until_its_dbx_revokes_it(tenant, part, tmp_path):
    store = tmp_path / "vars.fd"
    keys = ("--pk", "keys/PK.pem", "--kek", "keys/KEK.pem", "--db", "keys/db.pem")
    succeed(tenant, "--plugin", "virt-firmware", "keys", "enroll", part("ovmf-vars"), "-o", store, *keys)
    before = {one.name: one.data for one in variable_store.decode(Reader.of(store.read_bytes())) or ()}

    image = updater(tenant, part, tmp_path)
    console = boot(*flash(part, store), *disk(tmp_path / "esp.img", {"EFI/BOOT/BOOTX64.EFI": image}))
    assert is_booted(console), console[-2000:]
    assert re.findall(r"DBX (\w+ from \w+)", console) == ["refused from db", "taken from KEK"], console[-2000:]
    after = {one.name: one.data for one in variable_store.decode(Reader.of(store.read_bytes())) or ()}
    value = auth.decode((tmp_path / "dbx.auth").read_bytes()).payload
    assert after["dbx"] == before["dbx"] + value

    revoked = disk(tmp_path / "revoked.img", {"EFI/BOOT/BOOTX64.EFI": tenant / "signed.efi"})
    console = boot(*flash(part, store), *revoked, until=REFUSED)
    assert REFUSED in console, console[-2000:]
    assert "from=tenant" not in console


def test_the_firmware_of_an_image_starts_what_is_signed(tenant, tmp_path):
    esp = disk(tmp_path / "esp.img", {"EFI/BOOT/BOOTX64.EFI": tenant / "signed.efi"})
    console = boot("-machine", "q35", "-bios", str(tenant / "tenant.fd"), *esp)
    assert is_booted(console), console[-2000:]


def test_the_firmware_of_an_image_refuses_what_is_not_signed(tenant, tmp_path):
    esp = disk(tmp_path / "esp.img", {"EFI/BOOT/BOOTX64.EFI": tenant / "boot.efi"})
    console = boot("-machine", "q35", "-bios", str(tenant / "tenant.fd"), *esp, until=REFUSED)
    assert REFUSED in console, console[-2000:]
    assert "from=tenant" not in console


def test_firmware_in_setup_mode_takes_the_auth_files(tenant, part, tmp_path):
    """systemd-boot hands them to SetVariable(), and resets the machine; no store here was written by anything else."""
    (tmp_path / "loader.conf").write_text("timeout 0\nsecure-boot-enroll if-safe\n")
    names = ("PK", "KEK", "db")
    files = {f"loader/keys/auto/{name}.auth": tenant / f"keys/{name}.auth" for name in names}
    files |= {"loader/loader.conf": tmp_path / "loader.conf", "EFI/BOOT/BOOTX64.EFI": part("boot-x64")}
    store = Path(shutil.copyfile(part("ovmf-vars"), tmp_path / "vars.fd"))
    console = boot(*flash(part, store), *disk(tmp_path / "esp.img", files))
    assert "successfully enrolled" in console, console[-2000:]
    variables = {one.name: one.data for one in variable_store.decode(Reader.of(store.read_bytes())) or ()}
    assert variables["SecureBootEnable"] == b"\1"
    for name in names:
        assert variables[name] == (tenant / f"keys/{name}.esl").read_bytes()
