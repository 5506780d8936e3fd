"""What a TPM guards is opened by a signed policy, in the phase and for the image that it was made for."""

import base64
import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuki_build.image.assemble import assemble
from fuki_build.image.inspect import inspect
from fuki_build.measure import pcr11
from fuki_build.measure.predict import cases
from fuki_build.measure.section_digests import SectionDigests
from tests.support.pcr_policies import POLICY, RECIPE, build, signatures
from tests.support.workshop import FIRMWARE


class TestTpm:
    """A secret sealed to the policy's key, in a software TPM."""

    @pytest.fixture
    def tpm(self, tmp_path: Path) -> Iterator[dict[str, str]]:
        """The environment in which tpm2-tools find it."""
        state = tmp_path / "tpm"
        state.mkdir()
        socket = state / "socket"
        command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--flags", "startup-clear,not-need-init"]
        command += ["--server", f"type=unixio,path={socket}", "--ctrl", f"type=unixio,path={socket}.ctrl"]

        with subprocess.Popen(command) as process:
            try:
                while not socket.exists():
                    assert process.poll() is None
                yield {**os.environ, "TPM2TOOLS_TCTI": f"swtpm:path={socket}"}
            finally:
                process.terminate()

    @staticmethod
    def extend(directory: Path, tpm: dict[str, str], fwid: str | None, phase: str) -> None:
        """What booting the image on a machine that selects that firmware measures into PCR 11."""
        layout = inspect(directory / "acme.efi")
        (case,) = [case for case in cases(layout, None, [None]) if case.firmware == fwid]
        contents = SectionDigests(layout, assemble(layout), ("sha256",))
        events = [event for section in case.measured for event in pcr11.section_events(section, contents)]
        digests = [event.digests["sha256"] for event in events]
        for digest in (*digests, *(hashlib.sha256(word.encode()).digest() for word in phase.split(":"))):
            subprocess.run(["tpm2_pcrextend", f"11:sha256={digest.hex()}"], env=tpm, check=True, capture_output=True)

    @staticmethod
    def unseal(directory: Path, tpm: dict[str, str], entry: dict) -> bool:
        """What systemd does with one signed policy: TPM2_PolicyPCR, then TPM2_PolicyAuthorize."""
        (directory / "pol").write_bytes(bytes.fromhex(entry["pol"]))
        (directory / "sig").write_bytes(base64.b64decode(entry["sig"]))

        script = """
set -e
tpm2_startauthsession -S session.ctx --policy-session
tpm2_policypcr -S session.ctx -l sha256:11
tpm2_loadexternal -C o -G rsa -u pcr.pub -c key.ctx -n key.name
tpm2_flushcontext -t
tpm2_verifysignature -c key.ctx -g sha256 -m pol -s sig -t ticket -f rsassa
tpm2_flushcontext -t
tpm2_policyauthorize -S session.ctx -i pol -n key.name -t ticket
tpm2_unseal -c sealed.ctx -p session:session.ctx >opened
"""

        done = subprocess.run(["sh", "-c", script], cwd=directory, env=tpm, capture_output=True, check=False)
        for kind in ("--loaded-session", "--transient-object"):
            subprocess.run(["tpm2_flushcontext", kind], env=tpm, check=False, capture_output=True)

        return done.returncode == 0 and (directory / "opened").read_bytes() == b"a secret"

    @staticmethod
    def seal(directory: Path, tpm: dict[str, str]) -> None:
        script = """
set -e
printf 'a secret' >secret
tpm2_loadexternal -C o -G rsa -u pcr.pub -c key.ctx -n key.name
tpm2_flushcontext -t
tpm2_startauthsession -S trial.ctx
tpm2_policyauthorize -S trial.ctx -L authorized.policy -n key.name
tpm2_flushcontext trial.ctx
tpm2_createprimary -C o -c primary.ctx
tpm2_flushcontext -t
tpm2_create -C primary.ctx -i secret -L authorized.policy -u sealed.pub -r sealed.priv
tpm2_flushcontext -t
tpm2_load -C primary.ctx -u sealed.pub -r sealed.priv -c sealed.ctx
tpm2_flushcontext -t
"""
        subprocess.run(["sh", "-c", script], cwd=directory, env=tpm, capture_output=True, check=True)

    @pytest.mark.parametrize("fwid", [None, "one", "two"])
    def test_a_signed_policy_opens_a_secret_on_every_machine_that_the_image_is_for(self, pcr, tpm, fwid):
        build(pcr, RECIPE + FIRMWARE + POLICY + 'phases = ["enter-initrd"]\n')
        self.seal(pcr, tpm)
        entries = signatures(pcr)["sha256"]
        assert not any(self.unseal(pcr, tpm, entry) for entry in entries)
        self.extend(pcr, tpm, fwid, "enter-initrd")
        assert sum(self.unseal(pcr, tpm, entry) for entry in entries) == 1

    def test_it_opens_nothing_in_a_later_phase(self, pcr, tpm):
        build(pcr, RECIPE + POLICY + 'phases = ["enter-initrd"]\n')
        self.seal(pcr, tpm)
        self.extend(pcr, tpm, None, "enter-initrd:leave-initrd")
        assert not any(self.unseal(pcr, tpm, entry) for entry in signatures(pcr)["sha256"])

    def test_it_opens_nothing_for_an_image_that_was_changed(self, pcr, tpm):
        build(pcr, RECIPE + POLICY + 'phases = ["enter-initrd"]\n')
        self.seal(pcr, tpm)
        entries = signatures(pcr)["sha256"]
        build(pcr, RECIPE.replace(" ro", " rw") + POLICY)
        self.extend(pcr, tpm, None, "enter-initrd")
        assert not any(self.unseal(pcr, tpm, entry) for entry in entries)
