"""systemd-sysupdate fetches what the output `sysupdate` wrote, verifies it, and counts its boots.

It runs in a root directory of the test's own, from a server on loopback.
"""

import functools
import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import parts
import pytest

from fuki_build.testing import recipe, refused, succeed
from tests.support.workshop import BASE, lay_out

_SCRIPT = """\
set -eu
root=$1; shift
mount --bind "$root" "$root"
mount --bind "$TOOLS/usr" "$root/usr"
mount -o remount,bind,ro "$root/usr"
mount --rbind /dev "$root/dev"
mount --rbind /proc "$root/proc"
exec chroot "$root" "$@"
"""


@dataclass
class Fleet:
    """A feed with its server, and a machine that updates itself from it."""

    directory: Path
    url: str

    @property
    def feed(self) -> Path:
        return self.directory / "feed"

    def release(self, version: str, more: str = "") -> None:
        """Build an image and put it into the feed."""
        output = f'[[fuki.output]]\nformat = "sysupdate"\npath = "{self.feed}"\nurl = "{self.url}"\n{more}'
        text = recipe(output, version=version, os_release={"text": f"ID=acme\nIMAGE_VERSION={version}\n"}, uname="6.12")
        place = self.directory / version
        place.mkdir()
        lay_out(place, real=BASE, recipe=text)
        succeed(place, "build")

    def machine(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run systemd-sysupdate on the machine."""
        namespace = ["unshare", "--mount", "--propagation=private"]
        if os.geteuid() != 0:
            namespace += ["--user", "--map-root-user"]

        inside = ["/usr/bin/env", "-i", "SYSTEMD_ESP_PATH=/efi", "PATH=/usr/bin", "SYSTEMD_LOG_LEVEL=debug"]
        command = ["/usr/lib/systemd/systemd-sysupdate", "--no-pager", *arguments]
        return subprocess.run(
            [*namespace, "sh", "-c", _SCRIPT, "sh", self.directory / "root", *inside, *command],
            env={"PATH": os.environ["PATH"], "TOOLS": str(parts.get("sysupdate-tools").resolve())},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    @property
    def installed(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.directory / "root/efi/EFI/Linux").iterdir()}

    def take_definitions(self) -> None:
        definitions = self.directory / "root/etc/sysupdate.d"
        shutil.rmtree(definitions, ignore_errors=True)
        shutil.copytree(self.feed / "sysupdate.d", definitions)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def fleet(tmp_path) -> Iterator[Fleet]:
    root = tmp_path / "root"
    for name in ("etc/systemd", "efi/EFI/Linux", "dev", "proc", "usr", "tmp", "run", "var/tmp", "var/lib"):
        (root / name).mkdir(parents=True)

    for name in ("bin", "lib", "lib64", "sbin"):
        (root / name).symlink_to(f"usr/{name}")

    (root / "etc/os-release").write_text("ID=acme\nVERSION_ID=1\nIMAGE_VERSION=1\n")
    (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (tmp_path / "feed").mkdir()

    handler = functools.partial(_Quiet, directory=str(tmp_path / "feed"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Fleet(tmp_path, f"http://127.0.0.1:{server.server_address[1]}/")
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def key(fleet) -> Iterator[str]:
    """A key of GnuPG's, which the machine trusts; gives what a recipe says of it."""
    home = fleet.directory / "gnupg"
    home.mkdir(mode=0o700)

    gpg = ["gpg", "--homedir", home, "--batch", "--quiet"]
    generate = ["--quick-generate-key", "Acme <acme@acme.example>", "default", "default", "never"]
    try:
        subprocess.run([*gpg, "--passphrase", "", *generate], check=True)
        exported = subprocess.run([*gpg, "--export"], check=True, capture_output=True).stdout
        for suffix in ("gpg", "pgp"):
            (fleet.directory / f"root/etc/systemd/import-pubring.{suffix}").write_bytes(exported)
        yield f'gpg-key = "acme@acme.example"\ngpg-home = "{home}"\n'
    finally:
        # Its agent is a daemon that is meant to stay.
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True)


def test_a_machine_fetches_what_was_released_and_counts_its_boots(fleet, key):
    fleet.release("1", key)
    fleet.take_definitions()
    done = fleet.machine("update")
    assert done.returncode == 0, done.stderr
    image = (fleet.feed / "acme_1.efi").read_bytes()
    assert fleet.installed == {"acme_1+3-0.efi": image}

    fleet.release("2", key)
    done = fleet.machine("update")
    assert done.returncode == 0, done.stderr
    assert fleet.installed == {"acme_1+3-0.efi": image, "acme_2+3-0.efi": (fleet.feed / "acme_2.efi").read_bytes()}


def test_the_image_that_runs_is_kept_when_room_is_made(fleet, key):
    """os-release of the machine says version 1, which the definition protects."""
    fleet.release("1", key)
    fleet.take_definitions()
    for version in ("1", "2", "3"):
        if version != "1":
            fleet.release(version, key)
        done = fleet.machine("update")
        assert done.returncode == 0, done.stderr
    assert set(fleet.installed) == {"acme_1+3-0.efi", "acme_3+3-0.efi"}


def test_a_machine_takes_nothing_that_is_not_signed(fleet, key):
    fleet.release("1")
    fleet.take_definitions()
    assert not (fleet.feed / "SHA256SUMS.gpg").exists()
    assert fleet.machine("update").returncode != 0
    fleet.release("2", key)
    sums = fleet.feed / "SHA256SUMS"
    sums.write_text(sums.read_text().replace("acme_2", "acme_3"))
    done = fleet.machine("update")
    assert done.returncode != 0
    assert "BAD signature" in done.stderr, done.stderr
    assert fleet.installed == {}


@pytest.mark.usefixtures("key")
def test_what_was_signed_elsewhere_is_taken(fleet):
    fleet.release("1", "tries = 0\nconf = true\n")
    fleet.take_definitions()
    gpg = ["gpg", "--homedir", fleet.directory / "gnupg", "--batch", "--quiet"]
    signature, sums = fleet.feed / "SHA256SUMS.gpg", fleet.feed / "SHA256SUMS"
    subprocess.run([*gpg, "--detach-sign", "--output", signature, sums], check=True)
    done = fleet.machine("update")
    assert done.returncode == 0, done.stderr
    assert set(fleet.installed) == {"acme_1.efi"}


def test_the_same_release_is_the_same_bytes(fleet, key, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1893456000")
    fleet.release("1", key)
    first = {path.name: path.read_bytes() for path in fleet.feed.rglob("*") if path.is_file()}
    assert set(first) == {"acme_1.efi", "SHA256SUMS", "SHA256SUMS.gpg", "50-acme.transfer"}
    shutil.rmtree(fleet.directory / "1")
    fleet.release("1", key)
    assert {path.name: path.read_bytes() for path in fleet.feed.rglob("*") if path.is_file()} == first


@pytest.mark.parametrize(
    ("version", "more", "message"),
    [
        ("", "", "fuki.version: the recipe has no version"),
        ("1+2", "", "fuki.version: version '1+2' cannot be part of an image's name"),
        ("1", 'directory = "/EFI/%a"', "directory: '/EFI/%a' cannot be written into a definition"),
        ("1", "instances = 1", "instances"),
        ("1", '[[fuki.addon]]\nname = "serial"\ncmdline = "x"', "fuki.addon: systemd-sysupdate takes no addons"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(tmp_path, version, more, message):
    output = f'[[fuki.output]]\nformat = "sysupdate"\nurl = "https://acme.example/"\n{more}'
    lay_out(tmp_path, real=BASE, recipe=recipe(output, version=version, uname="6.12"))
    assert message in refused(tmp_path, "build")


def test_a_key_that_is_not_there_is_told(fleet, tmp_path):
    (tmp_path / "empty").mkdir(mode=0o700)
    with pytest.raises(AssertionError, match=r"gpg-key: gpg failed with exit code 2: .*No secret key"):
        fleet.release("1", f'gpg-key = "nobody"\ngpg-home = "{tmp_path}/empty"\n')
    assert not list(fleet.feed.iterdir())
