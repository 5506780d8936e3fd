"""A policy that was signed while the image was built unlocks a secret in the booted guest's TPM, and only there.

The first program is a shell with tpm2-tools; it plays systemd's part: it extends the phase's word, and shows the TPM
what the stub left in /.extra.
"""

import re
import shutil
import subprocess
from pathlib import Path

import parts
from fuki_qemu import session
from fuki_qemu.boot_request import BootRequest
from fuki_qemu.guest import Screen

from fuki_build import new_host
from fuki_build.testing import succeed
from tests.support.bootable import CALM, build

INIT = rb"""#!/bin/busybox sh
export PATH=/bin TPM2TOOLS_TCTI=device:/dev/tpmrm0
busybox mkdir -p /sys /dev /tmp
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs dev /dev
cd /tmp
phase() { tpm2 pcrextend "11:sha256=$(busybox printf %s "$1" | busybox sha256sum | busybox cut -d' ' -f1)"; }
session() {
    tpm2 startauthsession -S session --policy-session
    tpm2 policypcr -S session -l sha256:11 -L policy >/dev/null
    tpm2 loadexternal -C o -G rsa -u /.extra/tpm2-pcr-public-key.pem -c key -n name >/dev/null
    busybox sed 's/.*"sig": *"\([^"]*\)".*/\1/' /.extra/tpm2-pcr-signature.json | busybox base64 -d >signature
    tpm2 verifysignature -c key -g sha256 -m policy -s signature -f rsassa -t ticket &&
        tpm2 policyauthorize -S session -L authorized -i policy -n name -t ticket >/dev/null
}
busybox cat /.extra/tpm2-pcr-signature.json
phase enter-initrd
session && echo "the policy is accepted"
tpm2 flushcontext session
tpm2 createprimary -C o -c primary >/dev/null
busybox printf open-sesame | tpm2 create -C primary -L authorized -i - -u public -r private >/dev/null
tpm2 load -C primary -u public -r private -c sealed >/dev/null
session && echo "unsealed: $(tpm2 unseal -c sealed -p session:session)"
tpm2 flushcontext session
phase leave-initrd
session || echo "another phase is refused"
busybox reboot -f
"""


def tools() -> dict[str, bytes]:
    """tpm2-tools of this machine, with the libraries that it loads, as files of an initrd."""
    program = Path(shutil.which("tpm2") or "/usr/bin/tpm2").resolve()
    (driver,) = Path("/usr/lib").glob("*/libtss2-tcti-device.so.0")
    listed = subprocess.run(["ldd", program, driver], capture_output=True, text=True, check=True).stdout
    libraries = dict.fromkeys([str(driver), *re.findall(r"(?:=> |^\s+)(/\S+) \(0x", listed, re.MULTILINE)])
    files = {name.lstrip("/"): Path(name).read_bytes() for name in libraries}
    return {**files, "bin/tpm2": program.read_bytes(), "bin/busybox": parts.get("busybox").read_bytes(), "init": INIT}


def test_a_signed_policy_unlocks_a_secret_in_its_phase_and_in_no_other(tmp_path, part):
    succeed(tmp_path, "keys", "generate", "keys", "--pcr")
    directory = tmp_path / "image"

    policy = """
[[fuki.pcr-policy]]
key = "../keys/pcr.key"
phases = ["enter-initrd"]
"""

    image = build(directory, policy, kernel=True, cmdline=f"console=ttyS0 quiet panic=-1 {CALM}", initrd=tools())
    request = BootRequest(image=image, firmware=part("ovmf-code"), kvm=False, screen=Screen.NONE, timeout=150)
    console = session.boot(request, new_host(), tmp_path / "boot-1").console
    assert "the policy is accepted" in console, console[-3000:]
    assert "unsealed: open-sesame" in console
    assert "another phase is refused" in console
