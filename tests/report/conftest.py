"""Images that are compared, built once."""

from pathlib import Path

import pytest

from fuki_build.testing import succeed
from tests.support.compared_images import image


@pytest.fixture(scope="session")
def fleet(tmp_path_factory) -> Path:
    """Keys, and the image that others are compared with."""
    directory = tmp_path_factory.mktemp("fleet")
    succeed(directory, "keys", "generate", "keys", "--pcr")
    succeed(directory, "keys", "generate", "others", "--pcr", "--name", "Others")
    image(directory / "old")
    return directory


@pytest.fixture(scope="session")
def updated(fleet: Path) -> Path:
    """A new image with another command line, initrd, machine and firmware."""
    image(fleet / "new", cmdline="root=LABEL=root rw quiet", machine="i440fx", firmware="amdsev.fd", initrd=b"other\n")
    return fleet
