"""`fuki integrate mkosi`, and unchanged builds of mkosi 27.1 after it, without a package manager."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import mkosi_projects
from tests.support.mkosi_projects import Mkosi

CONFIGURATION = """\
[Distribution]
Distribution=custom

[Output]
ImageId=acme
ImageVersion=7
Format=uki

[Content]
KernelCommandLine=quiet root=LABEL=acme
Bootable=no

[Validation]
SecureBoot=yes
SecureBootKey=db.key
SecureBootCertificate=db.crt
SecureBootAutoEnroll=no
SignExpectedPcr=yes
SignExpectedPcrKey=db.key
SignExpectedPcrCertificate=db.crt

[Fuki]
Firmware=source=directory path=firmware/ovmf-generic platforms=qemu:q35
"""
MORE = """\
[Fuki]
Profile=id=debug 'firmware=[{source = "directory", path = "firmware/ovmf-amdsev", platforms = ["qemu:q35"]}]'
"""


@pytest.fixture
def project(tmp_path: Path, tool) -> Path:
    files = {
        "mkosi.conf": CONFIGURATION,
        "mkosi.conf.d/20-debug.conf": MORE,
        "mkosi.uki-profiles/debug.conf": mkosi_projects.DEBUG_PROFILE,
    }
    directory = mkosi_projects.lay_out(tmp_path / "project", files)
    tool(sys.executable, "-m", "fuki_build", "integrate", "mkosi", directory)
    return directory


@pytest.fixture
def mkosi(tmp_path: Path, project: Path) -> Mkosi:
    return Mkosi(tmp_path, project)


def _verifies(image: Path, certificate: Path) -> bool:
    return subprocess.run(["sbverify", "--cert", certificate, image], capture_output=True, check=False).returncode == 0


def test_what_fuki_says_reaches_the_image_of_an_unchanged_build(project, mkosi, inspect, pe):
    mkosi.build()
    image = project / "acme_7.efi"
    read = pe(image)
    assert read.content(".linux")[:2] == b"MZ"
    assert read.content(".linux") == (project / "acme_7.vmlinuz").read_bytes()
    assert read.content(".initrd") == (project / "acme_7.initrd").read_bytes()
    assert read.content(".cmdline").rstrip(b"\n\0") == b"quiet root=LABEL=acme"
    assert b"ID=acme" in read.content(".osrel")

    # The profile that mkosi joined has the firmware that [Fuki] has for its id.
    told = inspect(image)
    assert [(p["id"], p["title"]) for p in told["profiles"]] == [("main", None), ("debug", "Debug")]
    assert [(f["profile"], f["fwid"], len(f["chids"])) for f in told["firmware"]] == [
        *((None, "ovmf-generic", 1), (1, "ovmf-amdsev", 1))
    ]
    assert b"systemd.debug_shell=1" in read.content(".cmdline", 1)

    # Signed by mkosi's keys: the image, and policies of both profiles, for every firmware that they have and for none.
    assert _verifies(image, project / "db.crt")
    policies = [json.loads(read.content(".pcrsig", profile)) for profile in (0, 1)]
    phases, initrd = 4, 1
    assert [len(p["sha256"]) for p in policies] == [2 * (phases + initrd), 3 * (phases + initrd)]

    # What [Fuki] says now holds in the next build, without another 'fuki integrate'.
    configuration = project / "mkosi.conf"
    configuration.write_text(configuration.read_text().replace("firmware/ovmf-generic", "firmware/missing"))
    with pytest.raises(AssertionError, match="firmware/missing"):
        mkosi.build("--force")


def test_an_addon_of_mkosi_is_made(project, mkosi, inspect):
    configuration = project / "mkosi.conf"
    configuration.write_text(configuration.read_text().replace("Format=uki", "Format=addon"))
    shutil.rmtree(project / "mkosi.uki-profiles")
    mkosi.build()
    (image,) = [path for path in project.glob("acme_7*.efi") if not path.is_symlink()]
    told = inspect(image)
    assert told["kind"] == "addon"
    assert not told["firmware"]


def test_what_is_wrong_in_the_section_is_told_when_it_is_integrated(project):
    (project / "mkosi.conf").write_text(CONFIGURATION.replace("Firmware=", "Firmwear="))
    command = [sys.executable, "-m", "fuki_build", "integrate", "mkosi", project]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "mkosi.conf:" in done.stderr
    assert "Firmware" in done.stderr


def test_the_section_of_a_file_with_conditions_is_refused(project):
    (project / "mkosi.conf.d/20-debug.conf").write_text(f"[Match]\nFormat=disk\n{MORE}")
    command = [sys.executable, "-m", "fuki_build", "integrate", "mkosi", project]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "[Fuki] cannot depend on [Match]" in done.stderr


def test_the_program_does_nothing_when_it_is_only_read_and_says_for_which_python_it_is(project):
    source = (project / "mkosi.fuki/ukify").read_text()
    exec(compile(source, "ukify", "exec"), {"__name__": "ukify"})  # noqa: S102 - as kernel-install reads one
    version = ".".join(map(str, sys.version_info[:2]))
    (project / "mkosi.fuki/ukify").write_text(source.replace(repr(tuple(sys.version_info[:2])), "(2, 7)"))
    done = subprocess.run([sys.executable, project / "mkosi.fuki/ukify"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is for Python 2.7" in done.stderr
    assert version in done.stderr


def test_the_library_needs_nothing_of_the_environment_that_made_it(project):
    program = project / "mkosi.fuki/ukify"
    command = [os.path.realpath(sys.executable), "-I", program, "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split()[2] == "(262.1)"
