"""A workshop for images that are edited."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fuki_build.testing import secure_boot


@pytest.fixture
def stocked(workshop: Path, part: Callable[[str], Path]) -> Path:
    """The workshop with firmware, a second initrd and keys."""
    (workshop / "one.fd").symlink_to(part("ovmf-generic"))
    (workshop / "two.fd").symlink_to(part("ovmf-amdsev"))
    (workshop / "more.img").write_bytes(b"not quite an initrd" * 1000)
    identity = secure_boot.make_identity("Acme")
    secure_boot.write_key(workshop / "db.key", identity.key)
    secure_boot.write_certificates(workshop / "db.crt", identity.certificate)
    return workshop
