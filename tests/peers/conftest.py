"""People's own tools, and what images are made of for them and for fuki."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from struct import pack
from typing import Any

import parts
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.kernel_install import Machine
from tests.support.pe_files import PeFile, read_pe
from tests.support.systemd import library_path
from tests.support.ukify_calls import PROFILE, PROFILES, Both

Run = Callable[..., str]


@pytest.fixture(scope="session")
def pe() -> Callable[[Path], PeFile]:
    return read_pe


@pytest.fixture(scope="session")
def tool() -> Run:
    """Run a program; what it prints, or a failure that shows what it complained about."""

    def run(*command: object, cwd: Path | None = None, **environment: str) -> str:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env={**os.environ, "LC_ALL": "C.UTF-8", **environment},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def systemd_measure(tool: Run) -> Callable[..., Any]:
    """Run systemd-measure out of its unpacked package, over sections' contents; gives its JSON."""
    program = parts.get("systemd-measure")

    def run(verb: str, directory: Path, contents: Mapping[str, bytes], *arguments: str) -> Any:  # noqa: ANN401
        options = []
        for name, content in contents.items():
            (directory / name[1:]).write_bytes(content)
            options.append(f"--{name[1:]}={directory / name[1:]}")
        out = tool(program, verb, *options, "--json=short", *arguments, LD_LIBRARY_PATH=library_path(program))
        return json.loads(out)

    return run


@pytest.fixture(scope="session")
def ukify(tool: Run) -> Run:
    """Run ukify; `release` chooses among those of tools/parts.py."""

    def run(*arguments: object, cwd: Path | None = None, release: str = "ukify") -> str:
        return tool(sys.executable, parts.get(release), *arguments, cwd=cwd)

    return run


@pytest.fixture(scope="session")
def bootctl(tool: Run) -> Run:
    """Run systemd's bootctl out of its unpacked package."""

    def run(*arguments: object) -> str:
        library = parts.get("libsystemd-shared").parent
        return tool(parts.get("bootctl"), *arguments, LD_LIBRARY_PATH=str(library))

    return run


@pytest.fixture(scope="session")
def inspect(tool: Run) -> Callable[..., Any]:
    """What `fuki inspect` tells of an image, as plain data."""

    def run(*arguments: object) -> Any:  # noqa: ANN401 - JSON
        return json.loads(tool(sys.executable, "-m", "fuki_build", "inspect", "--json", *arguments))

    return run


@pytest.fixture(scope="session")
def build(tool: Run) -> Callable[[Path], Path]:
    """Build the recipe in a directory with fuki; gives the image, which is named image.efi."""

    def run(directory: Path) -> Path:
        tool(sys.executable, "-m", "fuki_build", "build", "-o", "image.efi", cwd=directory)
        return directory / "image.efi"

    return run


MACHINES = {
    "a.json": '{"type": "uefi-fw", "name": "MSI MS-7D70", "fwid": "ovmf-amdsev",'
    ' "hwids": ["c12c1f4a-332d-5d72-aa36-7a3d413b479a", "01e09b32-de05-56ca-b9d1-9486ad5f381d"]}',
    "b.json": '{"type": "uefi-fw", "name": "Any other", "fwid": "ovmf-generic",'
    ' "hwids": ["50af5797-a2f2-58b1-9a1a-453bcbb2e025"]}',
    "c.json": '{"type": "uefi-fw", "name": "Any other", "fwid": "ovmf-generic",'
    ' "hwids": ["0dc0ffee-0000-5000-8000-000000000001"]}',
}


def splash() -> bytes:
    """A BMP picture of 3 by 2 pixels, 24 bits each."""
    pixels = b"".join(bytes(range(row, row + 9)) + bytes(3) for row in (10, 100))
    header = pack("<IiiHHIIiiII", 40, 3, 2, 1, 24, 0, len(pixels), 2835, 2835, 0, 0)
    return pack("<2sIHHI", b"BM", 14 + len(header) + len(pixels), 0, 0, 14 + len(header)) + header + pixels


def _lay_out(directory: Path) -> Path:
    noise = random.Random(2)  # noqa: S311 - the same bytes in every run
    devicetrees = sorted(parts.get("dtbs-aa64").rglob("*.dtb"))
    links = {
        "stub": parts.get("stub-x64"),
        "stub-257": parts.get("stub-257-x64"),
        "addon-stub": parts.get("addon-stub-x64"),
        "vmlinuz": parts.get("kernel-x64"),
        "hwids": parts.get("hwids-aa64"),
        "machine.dtb": devicetrees[0],
        "first.dtb": devicetrees[1],
        "second.dtb": devicetrees[2],
    }
    for name, target in links.items():
        (directory / name).symlink_to(target)
    for name in ("ovmf-generic", "ovmf-amdsev"):
        (directory / "firmware" / name).mkdir(parents=True)
        (directory / "firmware" / name / "OVMF.fd").symlink_to(parts.get(name))
    (directory / "machines").mkdir()
    for name, text in MACHINES.items():
        (directory / "machines" / name).write_text(text)
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    contents = {
        "early.img": parts.initrd({"init": b"#!/bin/sh\n"}),
        "odd.img": noise.randbytes(70_001),
        "late.img": noise.randbytes(4099),
        "ucode.img": b"070701" + noise.randbytes(5000),
        "splash.bmp": splash(),
        "blob": noise.randbytes(4096),
        "pcr.pem": key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "os-release": b'ID=acme\nPRETTY_NAME="Acme \xc3\xa9dition"\n',
        "cmdline.txt": b"  kept as  it is\n\n",
        "sbat.csv": b"sbat,1,SBAT Version,sbat,1,https://example.org\nacme,7,Acme,acme,41.3,https://example.org\n",
    }
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    return directory


@pytest.fixture(scope="session")
def lay_out() -> Callable[[Path], Path]:
    """Put all the input that the recipes here have into a directory, side by side."""
    return _lay_out


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with all input and no recipe yet."""
    return _lay_out(tmp_path)


@pytest.fixture(scope="module")
def both(tmp_path_factory, lay_out, tool) -> Both:
    directory: Path = lay_out(tmp_path_factory.mktemp("calls"))
    tool("openssl", "genrsa", "-out", "pcr.key", "2048", cwd=directory)
    tool("openssl", "rsa", "-in", "pcr.key", "-pubout", "-out", "pcr.pub", cwd=directory)
    tool("openssl", "req", "-x509", "-new", "-key", "pcr.key", "-subj", "/CN=pcr", "-out", "pcr.crt", cwd=directory)
    tool("openssl", "genrsa", "-out", "other.key", "3072", cwd=directory)
    request = ("req", "-x509", "-newkey", "rsa:2048", "-noenc", "-subj", "/CN=db", "-keyout", "db.key")
    tool("openssl", *request, "-out", "db.crt", cwd=directory)
    # A boot loader is a kernel to all who do not start it, and a small one.
    (directory / "small.efi").symlink_to(parts.get("boot-x64"))
    (directory / "no-kernel").write_bytes(b"not a PE file")
    (directory / "base.txt").write_text("ID=base\nX-MORE=free\n")
    (directory / "ukify.conf").write_text(
        "[UKI]\nLinux=vmlinuz\nStub=stub\nInitrd=early.img odd.img\nCmdline=quiet # a comment\nOSRelease=@os-release\n"
        "HWIDs=\nSBAT=sbat,1,x\n mine,1,x,x,1,x\nPCRBanks=sha256\n[PCRSignature:one]\nPCRPrivateKey=pcr.key\n"
        "Phases=enter-initrd\nUnknown=x\n[PCRSignature:two]\nPCRPrivateKey=other.key\nPhases=enter-initrd sysinit\n"
    )
    pair = Both(directory)
    for name, more in PROFILES.items():
        assert pair.theirs(*PROFILE, *more, f"--output={name}.profile").code == 0
    return pair


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Machine:
    machine = Machine(tmp_path_factory.mktemp("machine") / "root")
    machine.lay_out()
    machine.integrate()
    return machine


@pytest.fixture
def machine(installed) -> Machine:
    installed.reset()
    return installed
