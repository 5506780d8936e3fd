"""Images to sign, what they are signed with, and the programs in PATH."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import parts
import pytest
from fuki_build.hooks import SigningContext
from fuki_build.testing import recipe
from signing_programs import SOFTHSM, install_programs, lay_out_keys, make_token, run

from fuki_sbsign import Osslsigncode, Pesign, Sbsign, SystemdSbsign

PROGRAMS = {kind.name: kind for kind in (Osslsigncode, Pesign, Sbsign, SystemdSbsign)}


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory laid out by `lay_out_keys`."""
    return lay_out_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def _token(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_token(tmp_path_factory.mktemp("token"), keys / "db.key")


@pytest.fixture
def softhsm(_token: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The PKCS #11 module of a token that has the key; what a test adds to it is its own."""
    shutil.copytree(_token.parent / "tokens", tmp_path / "tokens")
    configuration = tmp_path / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tmp_path}/tokens\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(configuration))
    return SOFTHSM


@pytest.fixture(scope="session")
def _programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_programs(tmp_path_factory.mktemp("programs"))


@pytest.fixture
def programs(_programs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All programs are in PATH; the directory has those that are not the machine's."""
    monkeypatch.setenv("PATH", f"{_programs}{os.pathsep}{os.environ['PATH']}")
    return _programs


@pytest.fixture(scope="session")
def _uki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("uki")
    (directory / "stub.efi").symlink_to(parts.get("stub-x64"))
    (directory / "vmlinuz").symlink_to(parts.get("kernel-x64"))
    (directory / "fuki.toml").write_text(recipe(stub="stub.efi"))
    run(sys.executable, "-m", "fuki_build", "build", "-o", "acme.efi", cwd=directory)
    return directory / "acme.efi"


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    """An unsigned image in a directory of its own: a real stub."""
    return _copy(parts.get("stub-x64"), tmp_path)


@pytest.fixture
def uki(_uki: Path, tmp_path: Path) -> Path:
    """An unsigned image in a directory of its own: a UKI of a real stub and kernel."""
    return _copy(_uki, tmp_path)


def _copy(source: Path, directory: Path) -> Path:
    path = directory / "images" / "image.efi"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(source.read_bytes())
    return path


@pytest.fixture
def sign(keys: Path, programs: Path, tmp_path: Path) -> Callable[..., None]:  # noqa: ARG001 - for PATH
    """`sign(image, "sbsign", key="db.key", …)` in the directory `keys`; leaves nothing but the image behind."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()

    def sign(image: Path, backend: str, /, **options: Any) -> None:  # noqa: ANN401 - any program's
        kind = PROGRAMS[backend]
        before = sorted(keys.rglob("*")), sorted(image.parent.iterdir())
        try:
            with SigningContext(keys, workspace) as context:
                kind().sign_file(image, kind.Options(**options), context)
        finally:
            assert (sorted(keys.rglob("*")), sorted(image.parent.iterdir())) == before
            assert list(workspace.iterdir()) == []

    return sign
