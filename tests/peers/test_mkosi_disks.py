"""Unchanged builds of mkosi 27.1 with a tools tree: a disk with verity, which boots, and policies signed elsewhere."""

import base64
import fcntl
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import parts
import pytest

from tests.docs.pages import blocks
from tests.support import guests, mkosi_projects
from tests.support.mkosi_projects import Mkosi

PAGE = "docs/how-to/recipe-in-mkosi.md"
"""Has the files of the project: what stands there is what is tried."""
OPTIONS = (
    *("--distribution=custom", "--output-directory=output"),
    f"--kernel-command-line=console=ttyS0 panic=-1 {guests.CALM}",
)
"""What is different here: nothing is installed into the image, so that it needs no package manager."""
INIT = """\
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
echo "The root is $(/bin/busybox grep ' / ' /proc/mounts)"
"""
"""What the root file system starts, before it tells what was measured."""
Q35 = UUID("817fca52-ae83-52f5-8642-9497f79d49d0")
"""The hardware id of type 9 that `systemd-analyze chid` gives for QEMU's q35."""
OUTSIDE = (Path("/var/cache/mkosi"), Path.home() / ".cache/mkosi")
"""Where mkosi writes if it is not told otherwise."""


def _listing(places: Sequence[Path]) -> dict[str, int]:
    """All files below these, with the time of their last change."""
    files = [path for place in places if place.exists() for path in (place, *place.rglob("*"))]
    return {str(path): path.lstat().st_mtime_ns for path in files}


class Disk(NamedTuple):
    """What mkosi made of a project: a disk, the UKI beside it, and the files that were there before and afterwards."""

    project: Path
    before: dict[str, int]
    after: dict[str, int]

    def artifact(self, extension: str) -> Path:
        return self.project / f"output/acme_7.{extension}"

    @property
    def image(self) -> Path:
        return self.artifact("efi")


def _lay_out(directory: Path, tool) -> Path:
    """The project of the page."""
    files = {block.directives["file"]: block.text for block in blocks(PAGE) if "file" in block.directives}
    own = {name.removeprefix("disk/"): text for name, text in files.items() if name.startswith("disk/")}
    assert len(own) == 5
    project = mkosi_projects.lay_out(directory, own)
    for suffix in ("key", "crt"):
        (project / f"db.{suffix}").rename(project / f"mkosi.{suffix}")
    (project / "output").mkdir()
    tool(sys.executable, "-m", "fuki_build", "integrate", "mkosi", project, "--python", mkosi_projects.tools_python())
    return project


@pytest.fixture(scope="session")
def disk(tmp_path_factory, tool) -> Disk:
    """A disk with an ESP, and a root file system with verity whose first program tells what was measured.

    It is built once, whichever processes share the tests.
    """
    base = tmp_path_factory.getbasetemp()
    scratch = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "mkosi-disk"
    scratch.mkdir(exist_ok=True)
    with (scratch / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (scratch / "outside.json").exists():
            before = _listing(OUTSIDE)
            _build_disk(scratch, tool)
            (scratch / "outside.json").write_text(json.dumps([before, _listing(OUTSIDE)]))
    return Disk(scratch / "project", *json.loads((scratch / "outside.json").read_text()))


def _build_disk(scratch: Path, tool) -> None:
    project = _lay_out(scratch / "project", tool)
    skeleton = project / "mkosi.skeleton"
    for name in ("dev", "efi", "proc", "sys"):
        (skeleton / name).mkdir()
    mkosi_projects.write_program(skeleton / "usr/sbin/init", INIT + guests.TELL)
    (project / "initrd.img").write_bytes(mkosi_projects.verity_initrd())

    tools = f"--tools-tree={parts.get('mkosi-tools')}"
    Mkosi(scratch, project, tools_tree=True).build(*OPTIONS, tools, "--initrd=initrd.img", "--kernel-modules-initrd=no")


def test_the_root_hash_of_a_disk_is_on_its_command_line(disk, pe):
    root_hash = disk.artifact("roothash").read_text().strip()
    assert len(bytes.fromhex(root_hash)) == 32
    image = pe(disk.image)
    words = image.content(".cmdline").rstrip(b"\0").decode().split()
    assert words[:3] == [f"roothash={root_hash}", "console=ttyS0", "panic=-1"]
    assert f"roothash={root_hash} " in image.content(".cmdline", 1).decode()
    assert image.content(".linux") == disk.artifact("vmlinuz").read_bytes()
    assert image.content(".initrd") == (disk.project / "initrd.img").read_bytes()


def test_the_image_on_a_disk_is_the_one_beside_it(disk):
    partition = f"{disk.artifact('raw')}@@{_start_of_esp(disk.artifact('raw'))}"
    command = ["mtype", "-i", partition, "::/EFI/BOOT/BOOTX64.EFI"]
    on_disk = subprocess.run(command, capture_output=True, check=True).stdout
    assert hashlib.sha256(on_disk).digest() == hashlib.sha256(disk.image.read_bytes()).digest()


def _start_of_esp(path: Path) -> int:
    """Where sfdisk says that the first partition begins, in bytes."""
    listed = subprocess.run(["sfdisk", "--json", path], capture_output=True, check=True).stdout
    table = json.loads(listed)["partitiontable"]
    (esp,) = [p for p in table["partitions"] if p["type"] == "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"]
    start: int = esp["start"] * table["sectorsize"]
    return start


def test_a_disk_has_the_firmware_of_the_section_and_of_its_profile(disk, inspect, pe):
    report = inspect(disk.image)
    assert [(p["id"], p["title"]) for p in report["profiles"]] == [("main", None), ("debug", "Debug")]
    assert [(f["profile"], f["fwid"], len(f["chids"])) for f in report["firmware"]] == [
        *((None, "ovmf-generic", 1), (1, "ovmf-amdsev", 1))
    ]
    image = pe(disk.image)
    for profile, name in ((None, "ovmf-generic"), (1, "ovmf-amdsev")):
        assert (disk.project / "firmware" / name / "OVMF.fd").read_bytes() in image.content(".efifw", profile)
        assert Q35.bytes_le in image.content(".hwids", profile)


def test_a_disk_s_image_and_kernel_are_signed_with_the_keys_of_mkosi(disk):
    for path in (disk.image, disk.artifact("vmlinuz")):
        assert _verifies(disk.project, path)


def _verifies(directory: Path, path: Path) -> bool:
    command: list[str | Path] = ["sbverify", "--cert", directory / "mkosi.crt", path]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_build_writes_nothing_where_mkosi_writes_by_default(disk):
    assert disk.after == disk.before


def test_a_disk_boots_to_its_root_under_secure_boot_with_the_registers_that_were_predicted(disk, tmp_path, tool, pe):
    store = tmp_path / "store.fd"
    keys = [word for name in ("pk", "kek", "db") for word in (f"--{name}", disk.project / "mkosi.crt")]
    fuki = (sys.executable, "-m", "fuki_build")
    tool(*fuki, "--plugin", "virt-firmware", "keys", "enroll", parts.get("ovmf-vars"), "-o", store, *keys)
    command = ("measure", disk.image, "--platform", "qemu:q35", "--pcr", "7", "--pcr", "11", "--variables", store)
    predicted = tool(*fuki, *command, "--json")

    flash = (
        *("-machine", "q35,smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on"),
        *("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={parts.get('ovmf-secboot')}"),
        *("-drive", f"if=pflash,unit=1,format=raw,file={store}"),
    )
    drive = f"if=none,format=raw,file={disk.artifact('raw')},id=disk,snapshot=on"
    device = ("-device", "virtio-blk-pci,drive=disk,bootindex=1")
    with guests.only_guest():
        measured = guests.boot(tmp_path, *flash, "-drive", drive, *device)
    assert "secureboot: Secure boot enabled" in measured.console
    assert "The root is /dev/mapper/root / ext4 ro" in measured.console
    for pcr in (7, 11):
        assert measured.registers["sha256", pcr].hex() in predicted, predicted

    # What the guest had then opens secrets later, too: by the signed policy of its next phase.
    register = measured.registers["sha256", 11]
    policy = _policy(hashlib.sha256(register + hashlib.sha256(b"enter-initrd").digest()).digest())
    signed = json.loads(pe(disk.image).content(".pcrsig", 0).rstrip(b"\0"))["sha256"]
    (entry,) = [entry for entry in signed if entry["pol"] == policy.hex() and not entry.get("ref")]
    assert _is_signed(disk.project, policy, base64.b64decode(entry["sig"]))


def _policy(register: bytes) -> bytes:
    """The digest of TPM2_PolicyPCR over PCR 11 of SHA-256 (TPM 2.0, part 3)."""
    selection = bytes.fromhex("00000001000b03000800")
    return hashlib.sha256(
        bytes(32) + bytes.fromhex("0000017f") + selection + hashlib.sha256(register).digest()
    ).digest()


def _is_signed(directory: Path, message: bytes, signature: bytes) -> bool:
    (directory / "signature").write_bytes(signature)
    public = subprocess.run(
        ["openssl", "x509", "-in", "mkosi.crt", "-pubkey", "-noout"], cwd=directory, capture_output=True, check=True
    )
    (directory / "mkosi.pub").write_bytes(public.stdout)
    command = ["openssl", "dgst", "-sha256", "-verify", "mkosi.pub", "-signature", "signature"]
    return subprocess.run(command, cwd=directory, input=message, capture_output=True, check=False).returncode == 0


def test_policies_that_mkosi_splits_off_are_signed_elsewhere_and_joined(tmp_path, tool, pe):
    project = _lay_out(tmp_path / "project", tool)
    other = (
        "--format=uki",
        "--bootable=no",
        "--sign-expected-pcr=no",
        "--split-artifacts=",
        "--split-artifacts=uki,kernel,pcrs",
    )
    tools = f"--tools-tree={parts.get('mkosi-tools')}"
    Mkosi(tmp_path, project, tools_tree=True).build(*OPTIONS, tools, *other)
    output = project / "output"
    document = json.loads((output / "acme_7.pcrs").read_text())
    assert len(document["sha256"]) == sum(len(_policies(pe(output / "acme_7.efi"), n)["sha256"]) for n in (0, 1))
    assert not any("sig" in policy for policy in document["sha256"])
    for extension in ("efi", "vmlinuz"):
        assert _verifies(project, output / f"acme_7.{extension}")

    for policy in document["sha256"]:
        command = ["openssl", "dgst", "-sha256", "-sign", "mkosi.key"]
        message = bytes.fromhex(policy["tbs"])
        done = subprocess.run(command, cwd=project, input=message, capture_output=True, check=True)
        policy["sig"] = base64.b64encode(done.stdout).decode()
    (project / "signed.json").write_text(json.dumps(document))
    call = ("--json=short", "--pcrsig=@signed.json", "--join-pcrsig=output/acme_7.efi", "--output=joined.efi")
    keys = ("--secureboot-private-key=mkosi.key", "--secureboot-certificate=mkosi.crt")
    tool(sys.executable, "-m", "fuki_build", "ukify", *call, *keys, "build", cwd=project)

    joined = pe(project / "joined.efi")
    for profile in (0, 1):
        policies = _policies(joined, profile)["sha256"]
        assert policies
        for policy in policies:
            assert _is_signed(project, bytes.fromhex(policy["tbs"]), base64.b64decode(policy["sig"]))
    assert _verifies(project, project / "joined.efi")


def _policies(image, profile: int) -> dict[str, list[dict[str, str]]]:
    policies: dict[str, list[dict[str, str]]] = json.loads(image.content(".pcrsig", profile).rstrip(b"\0"))
    return policies
