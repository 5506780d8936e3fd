"""ukify 262.1 and `fuki ukify`, called alike."""

import filecmp
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import parts

from tests.support.systemd import library_path

IMAGE = ("build", "--stub=stub", "--linux=small.efi", "--uname=6.1", "--os-release=@os-release", "--hwids=")
FIRMWARE = ("--efifw=firmware/ovmf-generic", "--efifw=firmware/ovmf-amdsev", "--hwids=machines")
PROFILE = ("build", "--stub=addon-stub", "--hwids=")
KEY = ("--pcr-private-key=pcr.key", "--pcr-public-key=pcr.pub")
SIGNING = ("--secureboot-private-key=db.key", "--secureboot-certificate=db.crt")

PROFILES = {
    "one": ("--profile=ID=one\nTITLE=One\nX-FREE='key of mine'", "--cmdline=one"),
    "two": ("--profile=ID=two\n", "--cmdline=two", "--initrd=odd.img", "--os-release=ID=two", "--uname=6"),
    "kernel": ("--profile=ID=kernel", "--cmdline=@cmdline.txt"),
    "firmware": ("--profile=ID=firmware\n", "--efifw=firmware/ovmf-generic", "--hwids=machines"),
}
JOINED = ("--join-profile=one.profile", "--join-profile=two.profile")


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    code: int
    out: str
    err: str


class Both:
    """ukify and `fuki ukify` in one directory, with the same arguments; images are theirs.efi and ours.efi."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        measure = parts.get("systemd-measure")
        self._tools = [f"--tools={parts.get(name).parent}" for name in ("systemd-measure", "systemd-sbsign")]
        self._environment = {**os.environ, "LD_LIBRARY_PATH": library_path(measure), "LC_ALL": "C.UTF-8"}

    def _run(self, command: Sequence[str | Path], arguments: Sequence[str], **environment: str) -> Ended:
        done = subprocess.run(
            [sys.executable, *map(str, command), *arguments],
            cwd=self.directory,
            env={**self._environment, **environment},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def theirs(self, *arguments: str) -> Ended:
        return self._run([parts.get("ukify")], [*arguments, *self._tools])

    def ours(self, *arguments: str, **environment: str) -> Ended:
        ended = self._run(["-m", "fuki_build", "ukify"], [*arguments, *self._tools], **environment)
        assert "Traceback" not in ended.err
        return ended

    def build(self, *arguments: str, more: Sequence[str] = ()) -> tuple[Ended, Ended]:
        """Build with both; `more` are for ours alone."""
        theirs = self.theirs(*arguments, "--output=theirs.efi")
        ours = self.ours(*arguments, *more, "--output=ours.efi")
        assert (theirs.code, ours.code) == (0, 0), theirs.err + ours.err
        return theirs, ours

    @property
    def same(self) -> bool:
        return filecmp.cmp(self.directory / "theirs.efi", self.directory / "ours.efi", shallow=False)
