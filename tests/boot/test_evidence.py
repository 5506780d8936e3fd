"""A booted guest quotes its registers: verified against the image that was built, explained with a changed one.

The first program is a shell with tpm2-tools, which extends the first phase's word, and hands out what verifiers want.
"""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from fuki_qemu import session
from fuki_qemu.boot_request import BootRequest
from fuki_qemu.guest import Screen

from fuki_build import new_host
from fuki_build.testing import invoke, succeed
from tests.boot.test_policies import tools
from tests.support.bootable import CALM, build

NONCE = "00112233445566778899"
FILES = ("message", "signature", "ak.pub", "registers")
INIT = f"""#!/bin/busybox sh
export PATH=/bin TPM2TOOLS_TCTI=device:/dev/tpmrm0
busybox mkdir -p /sys /dev /tmp
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs dev /dev
cd /tmp
tpm2 pcrextend "11:sha256=$(busybox printf enter-initrd | busybox sha256sum | busybox cut -d' ' -f1)"
tpm2 createprimary -C o -c primary >/dev/null
tpm2 create -C primary -G rsa2048:rsassa:null -u ak.public -r ak.private \\
    -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign' >/dev/null
tpm2 load -C primary -u ak.public -r ak.private -c ak >/dev/null
tpm2 readpublic -c ak -f pem -o ak.pub >/dev/null
tpm2 quote -c ak -l sha256:4,9,11,12 -q {NONCE} -m message -s signature >/dev/null
tpm2 pcrread sha256:4,9,11,12 >registers
busybox mount -t securityfs securityfs /sys/kernel/security
busybox cat /sys/kernel/security/tpm0/binary_bios_measurements >log
for name in {" ".join(FILES)} log; do
    echo "<$name>$(busybox base64 -w 0 $name)</$name>"
done
busybox reboot -f
"""
VERBS = ("--plugin", "attest", "attest")


@pytest.fixture
def machine(tmp_path: Path, part) -> Path:
    """A directory with what a guest handed out, its event log, and the image `old.efi` that it booted."""
    line = f"console=ttyS0 quiet panic=-1 {CALM}"
    files = {**tools(), "init": INIT.encode()}
    image = build(tmp_path / "image", "", kernel=True, cmdline=line, initrd=files)
    request = BootRequest(image=image, firmware=part("ovmf-code"), kvm=False, screen=Screen.NONE, timeout=150)
    console = session.boot(request, new_host(), tmp_path / "boot-1").console
    for name in (*FILES, "log"):
        content = re.search(rf"<{name}>([A-Za-z0-9+/=\s]*)</{name}>", console)
        assert content is not None, console[-3000:]
        (tmp_path / name).write_bytes(base64.b64decode("".join(content[1].split())))
    image.rename(tmp_path / "old.efi")
    return tmp_path


def told(directory: Path, verb: str, *arguments: str, code: int = 0) -> Any:  # noqa: ANN401 - a document
    done = invoke(directory, *VERBS, verb, *FILES, *arguments, "--json")
    assert done.code == code, done
    return json.loads(done.out)


def test_a_quote_holds_against_the_image_and_is_explained_with_another(machine: Path):
    trusted = ("--trusted-key", "ak.pub", "--nonce", NONCE)
    document = told(machine, "verify", *trusted, "--image", "old.efi")
    steps = {step["claim"]: step["verdict"] for step in document["steps"]}
    for claim in ("signature", "it answers the challenge", "PCR 4 (sha256)", "PCR 11 (sha256)", "PCR 12 (sha256)"):
        assert steps[claim] == "holds"
    assert [shown["phase"] for shown in document["shows"]] == ["enter-initrd"]

    # The image that was built last has another command line.
    succeed(machine, "edit", "old.efi", "--set", ".cmdline=console=ttyS0 quiet", "-o", "new.efi")
    document = told(machine, "verify", *trusted, "--image", "new.efi", code=3)
    steps = {step["claim"]: step["verdict"] for step in document["steps"]}
    assert steps["PCR 4 (sha256)"] == steps["PCR 11 (sha256)"] == "does not hold"

    # The log tells which section it is.
    document = told(machine, "explain", "log", "--image", "new.efi", code=3)
    (log,) = document["logs"]
    (register,) = [one for one in document["registers"] if one["search"]["name"] == "PCR 11" and one["log"]]
    (match,) = register["search"]["matches"]
    assert (match["case"], match["changes"], match["phase"]) == ("the log", [], "enter-initrd")
    texts = [reason["text"] for reason in log["reasons"] if reason["name"] == "PCR 11"]
    assert texts == [".cmdline has other content than in the image, or another one was selected"]

    # Without it, the images that there were do.
    succeed(machine, "edit", "old.efi", "--set", ".osrel=ID=other", "-o", "older.efi")
    searches = {
        one["search"]["name"]: one["search"]["matches"]
        for one in told(machine, "explain", "--image", "new.efi", "--image", "older.efi", code=3)["registers"]
    }
    assert {(match["case"], *match["changes"], match["phase"]) for match in searches["PCR 11"]} == {
        ("new.efi", "with section .cmdline of older.efi in place of section .cmdline of new.efi", "enter-initrd"),
        ("older.efi", "with section .osrel of new.efi in place of section .osrel of older.efi", "enter-initrd"),
    }
    searches = {
        one["search"]["name"]: [match["case"] for match in one["search"]["matches"]]
        for one in told(machine, "explain", "--image", "new.efi", "--image", "old.efi")["registers"]
    }
    assert searches["PCR 4"] == searches["PCR 11"] == ["old.efi"]
