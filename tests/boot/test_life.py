"""Machines' lives: updates that a sealed secret survives, a revocation, and a new image that does not start.

Both images carry firmware for the machine, of different content, so PCR 11 differs in it, too. The first program is a
shell with tpm2-tools that plays systemd's part. The secret stays in the TPM; the update of dbx comes as a credential.
"""

import base64
import json
import lzma
import re
import shutil
import subprocess
from pathlib import Path

import parts
import pytest

from fuki_build.formats.uefi import authenticated_variable as auth
from fuki_build.testing import recipe, succeed
from fuki_build.testing.documents import printed
from tests.boot.test_policies import tools
from tests.boot.test_secure_boot import DBX, REFUSED, flash
from tests.boot.test_secure_boot import boot as boot_machine
from tests.boot.test_secure_boot import disk as esp_of
from tests.support.guests import CALM, CPU, disk, software_tpm, tpm_device
from tests.support.workshop import lay_out

_TOO_LONG = 300
"""Seconds that no machine takes for its starts, even on a busy host."""

INIT = rf"""#!/bin/busybox sh
export PATH=/bin TPM2TOOLS_TCTI=device:/dev/tpmrm0
busybox mkdir -p /sys /dev /tmp
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs dev /dev
cd /tmp
tpm2 pcrextend "11:sha256=$(busybox printf enter-initrd | busybox sha256sum | busybox cut -d' ' -f1)"
echo "release $(busybox cat /release) has PCR 11 $(busybox cat /sys/class/tpm/tpm0/pcr-sha256/11)"
busybox mount -t securityfs securityfs /sys/kernel/security
echo "PCR 7 is $(busybox cat /sys/class/tpm/tpm0/pcr-sha256/7)"
echo "<log>$(busybox base64 -w 0 /sys/kernel/security/tpm0/binary_bios_measurements)</log>"
session() {{
    tpm2 startauthsession -S session --policy-session
    tpm2 policypcr -S session -l sha256:11 -L policy >/dev/null
    tpm2 loadexternal -C o -G rsa -u /.extra/tpm2-pcr-public-key.pem -c key -n name >/dev/null
    busybox sed 's/.*"sig": *"\([^"]*\)".*/\1/' /.extra/tpm2-pcr-signature.json | busybox base64 -d >signature
    tpm2 verifysignature -c key -g sha256 -m policy -s signature -f rsassa -t ticket &&
        tpm2 policyauthorize -S session -L authorized -i policy -n name -t ticket >/dev/null
}}
if ! tpm2 readpublic -c 0x81010001 >/dev/null 2>&1; then
    session; tpm2 flushcontext session
    tpm2 createprimary -C o -c primary >/dev/null
    busybox printf open-sesame | tpm2 create -C primary -L authorized -i - -u public -r private >/dev/null
    tpm2 load -C primary -u public -r private -c sealed >/dev/null
    tpm2 evictcontrol -C o -c sealed 0x81010001 >/dev/null && echo "the secret was sealed"
    tpm2 flushcontext -t
fi
session && echo "unsealed: $(tpm2 unseal -c 0x81010001 -p session:session)"
tpm2 flushcontext session
if [ -e /.extra/credentials/dbx.cred ]; then
    busybox insmod /efivarfs.ko
    busybox mount -t efivarfs efivarfs /sys/firmware/efi/efivars
    busybox chattr -i {DBX}
    busybox dd if=/.extra/credentials/dbx.cred of={DBX} bs=64k && echo "dbx was taken"
fi
busybox reboot -f
"""

MORE = """
[fuki.sign]
backend = "local"
key = "../keys/db.key"
certificate = "../keys/db.pem"

[[fuki.pcr-policy]]
key = "../keys/pcr.key"
phases = ["enter-initrd"]
banks = ["sha256"]

[[fuki.firmware]]
source = "file"
path = "firmware.fd"
id = "tenant"
platforms = ["qemu:q35"]
"""


def image(directory: Path, version: int) -> Path:
    """Build and sign a release."""
    files = {**tools(), "init": INIT.encode(), "release": b"%d" % version}
    files["efivarfs.ko"] = lzma.decompress(parts.get("efivarfs-x64").read_bytes())

    text = recipe(
        MORE,
        silence=["firmware-unknown"],
        initrd="initrd",
        cmdline=f"console=ttyS0 quiet panic=-1 {CALM}",
        os_release={"text": f"ID=acme\nIMAGE_VERSION={version}\n"},
    )

    firmware = f"the firmware of release {version}".encode().ljust(64 * 1024, b"\xff")
    content = {"initrd": parts.initrd(files), "firmware.fd": firmware}
    lay_out(directory, real={"stub": "stub-x64", "vmlinuz": "kernel-x64"}, files=content, recipe=text)
    succeed(directory, "build", "-o", "acme.efi")
    return directory / "acme.efi"


@pytest.fixture
def machine(tmp_path, part):
    """A machine with Secure Boot and a TPM, which boots what is in its disk; gives the console's text."""
    keys = ("--pk", "keys/PK.pem", "--kek", "keys/KEK.pem", "--db", "keys/db.pem")
    succeed(tmp_path, "keys", "generate", "keys", "--pcr")
    succeed(tmp_path, "--plugin", "virt-firmware", "keys", "enroll", part("ovmf-vars"), "-o", "vars.fd", *keys)
    shutil.copyfile(tmp_path / "vars.fd", tmp_path / "enrolled.fd")

    def run(release: Path, *beside: Path, until: str = "") -> str:
        with software_tpm(tmp_path) as socket:
            esp = disk(tmp_path / "esp.img", release, *beside)
            console = boot_machine(*flash(part, tmp_path / "vars.fd"), *tpm_device(socket), *esp, until=until)
        (tmp_path / "tpm").unlink(missing_ok=True)
        return console

    return run


def test_a_secret_opens_on_both_sides_of_an_update_until_the_old_image_is_revoked(tmp_path, machine):
    old, new = image(tmp_path / "old", 1), image(tmp_path / "new", 2)
    credential = tmp_path / "dbx.cred"
    signed = ("--revoke", tmp_path / "dbx.auth", "--key", "keys/KEK.key", "--kek", "keys/KEK.pem")
    document = json.loads(succeed(tmp_path, "release", old, new, "--platform", "qemu:q35", "--json", *signed).out)
    attributes = auth.SECURE_BOOT_ATTRIBUTES | auth.Attributes.APPEND_WRITE
    credential.write_bytes(attributes.to_bytes(4, "little") + (tmp_path / "dbx.auth").read_bytes())

    expected = [
        next(r["values"]["sha256"] for r in view["predictions"][0]["registers"] if r["phase"] == "enter-initrd")
        for view in document["before"]
    ]
    assert expected[0] != expected[1]

    first = machine(old)
    assert "the secret was sealed" in first, first[-3000:]
    assert told(first) == ("1", expected[0], "open-sesame")

    updated = machine(new)
    assert told(updated) == ("2", expected[1], "open-sesame"), updated[-3000:]
    assert "the secret was sealed" not in updated

    again = machine(old, credential)
    assert told(again) == ("1", expected[0], "open-sesame"), again[-3000:]
    assert "dbx was taken" in again, again[-3000:]

    refused = machine(old, until=REFUSED)
    assert REFUSED in refused, refused[-3000:]
    assert "release 1" not in refused

    still = machine(new)
    assert told(still) == ("2", expected[1], "open-sesame"), still[-3000:]
    hold_register_7(tmp_path, new, updated, still)


def hold_register_7(directory: Path, image: Path, before: str, after: str) -> None:
    """What revoked the old image is told of PCR 7, by its log and by its value."""
    text = re.search(r"<log>([A-Za-z0-9+/=\s]*)</log>", after)
    assert text is not None, after[-3000:]
    (directory / "log").write_bytes(base64.b64decode("".join(text[1].split())))
    values = [re.search(r"PCR 7 is ([0-9A-F]{64})", console) for console in (before, after)]
    old, new = (f"sha256:7={value[1]}" for value in values if value is not None)
    assert old != new

    def reasons(*arguments: str, code: int = 3) -> list[str]:
        document = printed(directory, "replay", "log", "--image", image, *arguments, "--json", code=code)
        return [reason["text"] for reason in document["reasons"] if reason["register"] == 7]

    assert reasons("--variables", "enrolled.fd") == ["dbx has 1 entry more than expected: revocations were added"]
    assert reasons("--variables", "vars.fd", "--expect", new, code=0) == []
    told_of_value = reasons("--variables", "enrolled.fd", "--expect", old)
    assert told_of_value[-1].startswith("the expected value (sha256) is that of acme.efi, Secure Boot on")


def told(console: str) -> tuple[str, str, str] | None:
    """The release that started, its PCR 11 after the phase, and the secret."""
    match = re.search(r"release (\d) has PCR 11 ([0-9A-F]{64}).*unsealed: (\S+)", console, re.DOTALL)
    return (match[1], match[2].lower(), match[3]) if match else None


SAYS = b"""#!/bin/busybox sh
/bin/busybox echo "release 1 is up"
/bin/busybox poweroff -f
"""
FAILS = b"""#!/bin/busybox sh
/bin/busybox echo "release 2 fails"
exit 1
"""


def counted(directory: Path, version: int, init: bytes, kernel: bytes) -> Path:
    """Build a release for systemd-sysupdate; gives the image that it would fetch."""
    output = '[[fuki.output]]\nformat = "sysupdate"\npath = "feed"\nurl = "https://acme.example/"\ntries = 2\n'
    text = recipe(
        MORE[MORE.index("[[fuki.firmware]]") :] + output,
        version=str(version),
        silence=["firmware-unknown"],
        linux="kernel",
        uname="6.12",
        initrd="initrd",
        cmdline=f"console=ttyS0 quiet panic=-1 {CALM}",
        os_release={"text": f"ID=acme\nIMAGE_VERSION={version}\n"},
    )

    files = {"init": init, "bin/busybox": parts.get("busybox").read_bytes()}
    firmware = f"the firmware of release {version}".encode().ljust(64 * 1024, b"\xff")
    content = {"initrd": parts.initrd(files), "firmware.fd": firmware, "kernel": kernel}
    lay_out(directory, real={"stub": "stub-x64"}, files=content, recipe=text)
    succeed(directory, "build")
    return directory / f"feed/acme_{version}.efi"


def damaged(kernel: bytes) -> bytes:
    """A kernel whose headers are whole, and that cannot be unpacked."""
    quarter = len(kernel) // 4
    return kernel[:quarter] + bytes(quarter) + kernel[2 * quarter :]


@pytest.mark.parametrize(("damage", "sign"), [(bytes, "release 2 fails"), (damaged, "Failed to decompress kernel")])
def test_a_new_image_that_fails_falls_back_to_the_old_one(tmp_path, part, damage, sign):
    """The names are those that systemd-sysupdate gives by the definition; the old one has been blessed."""
    kernel = part("kernel-x64").read_bytes()
    old = counted(tmp_path / "old", 1, SAYS, kernel)
    new = counted(tmp_path / "new", 2, FAILS, damage(kernel))
    definition = (tmp_path / "new/feed/sysupdate.d/50-acme.transfer").read_text()
    assert "MatchPattern=acme_@v+@l-@d.efi acme_@v+@l.efi acme_@v.efi\n" in definition
    assert "TriesLeft=2\nTriesDone=0\n" in definition

    (tmp_path / "loader.conf").write_text("timeout 0\n")
    files = {
        "EFI/BOOT/BOOTX64.EFI": part("boot-x64"),
        "EFI/Linux/acme_1.efi": old,
        "EFI/Linux/acme_2+2-0.efi": new,
        "loader/loader.conf": tmp_path / "loader.conf",
    }
    esp = esp_of(tmp_path / "esp.img", files)
    store = shutil.copyfile(part("ovmf-vars"), tmp_path / "vars.fd")
    # It ends when the machine is switched off: each start that fails is followed by another one.
    command = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-cpu", CPU, "-m", "1G", "-nodefaults"]
    code = ("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={part('ovmf-code')}")
    variables = ("-drive", f"if=pflash,unit=1,format=raw,file={store}")
    command += [*code, *variables, *esp, "-display", "none", "-serial", "stdio"]
    done = subprocess.run(command, capture_output=True, timeout=_TOO_LONG, check=True, stdin=subprocess.DEVNULL)

    console = done.stdout.decode(errors="replace")
    starts = re.findall(f"{sign}|release 1 is up", console)
    assert starts == [sign, sign, "release 1 is up"], console[-3000:]
    listing = subprocess.run(
        ["mdir", "-b", "-i", tmp_path / "esp.img", "::/EFI/Linux"], check=True, capture_output=True, text=True
    ).stdout
    assert sorted(Path(line).name for line in listing.split()) == ["acme_1.efi", "acme_2+0-2.efi"]
