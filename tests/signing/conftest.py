"""A workshop with keys, and the programs that other people verify with."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from signing_programs import install_programs

from fuki_build.testing import secure_boot, succeed
from fuki_build.testing.secure_boot import Identity, make_identity
from tests.conftest import RECIPE

SIGN = """
[fuki.sign]
backend = "local"
key = "db.key"
certificate = "db.crt"
"""

VERIFIERS = ("sbverify", "osslsigncode", "fuki")


class Keys(NamedTuple):
    """An authority, a signer that it issued a certificate for, and somebody else."""

    authority: Identity
    signer: Identity
    other: Identity


@pytest.fixture(scope="session", autouse=True)
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One version of each program, whatever the machine has: osslsigncode 2.5 refuses sbsign's signatures, and ours."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(install_programs(tmp_path_factory.mktemp("programs"))), prepend=os.pathsep)
        yield


@pytest.fixture(scope="session")
def keys() -> Keys:
    authority = make_identity("Acme CA", authority=True)
    return Keys(authority, make_identity("Acme db", issuer=authority), make_identity("Somebody else"))


@pytest.fixture
def keyed(workshop: Path, keys: Keys) -> Path:
    """The workshop with db.key, db.crt, ca.crt, other.key and other.crt."""
    secure_boot.write_key(workshop / "db.key", keys.signer.key)
    secure_boot.write_certificates(workshop / "db.crt", keys.signer.certificate)
    secure_boot.write_certificates(workshop / "ca.crt", keys.authority.certificate)
    secure_boot.write_key(workshop / "other.key", keys.other.key)
    secure_boot.write_certificates(workshop / "other.crt", keys.other.certificate)
    return workshop


@pytest.fixture
def signed(keyed: Path) -> Path:
    """The same with an image that is signed by db.key."""
    (keyed / "fuki.toml").write_text(RECIPE + SIGN)
    succeed(keyed, "build")
    return keyed


@pytest.fixture
def pcr(keyed: Path, part) -> Path:
    """The workshop with a policy key and two firmware images."""
    key = secure_boot.make_key()
    secure_boot.write_key(keyed / "pcr.key", key)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (keyed / "pcr.pub").write_bytes(public)
    (keyed / "one.fd").symlink_to(part("ovmf-generic"))
    (keyed / "two.fd").symlink_to(part("ovmf-amdsev"))
    return keyed


@pytest.fixture
def verifies() -> Callable[[str, Path, Path], bool]:
    """Whether a program accepts an image with a certificate as the only trusted one."""

    def run(program: str, image: Path, certificate: Path) -> bool:
        commands = {
            "sbverify": ["sbverify", "--cert", certificate, image],
            "osslsigncode": ["osslsigncode", "verify", "-CAfile", certificate, "-in", image],
            "fuki": ["python", "-m", "fuki_build", "verify", image, "--certificate", certificate],
        }
        done = subprocess.run(_with_python(commands[program]), capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr
        return done.returncode == 0

    return run


def _with_python(command: list[object]) -> list[str]:
    return [sys.executable if word == "python" else str(word) for word in command]


def der(identity: Identity) -> bytes:
    return identity.certificate.public_bytes(Encoding.DER)
