"""Signing once more with the same key."""

import shutil
from pathlib import Path

import pefile
import pytest

from fuki_build.testing import succeed
from fuki_build.testing.secure_boot import make_identity, write_certificates, write_key

KEY = ("--key", "db.key", "--certificate", "db.crt")


@pytest.fixture
def directory(workshop: Path) -> Path:
    """The workshop, with `boot.efi`, and two keys."""
    for name in ("db", "other"):
        identity = make_identity(f"Acme {name}")
        write_key(workshop / f"{name}.key", identity.key)
        write_certificates(workshop / f"{name}.crt", identity.certificate)
    shutil.copyfile(workshop / "stub", workshop / "boot.efi")
    return workshop


def table_size(path: Path) -> int:
    return pefile.PE(path, fast_load=True).OPTIONAL_HEADER.DATA_DIRECTORY[4].Size


def test_the_same_signature_is_not_added_and_nothing_is_written(directory):
    image = directory / "boot.efi"
    succeed(directory, "sign", image, *KEY)
    before = image.read_bytes(), image.stat().st_mtime_ns
    outcome = succeed(directory, "sign", image, *KEY)
    assert "is signed with this key already" in outcome.err
    assert "wrote" not in outcome.err
    assert (image.read_bytes(), image.stat().st_mtime_ns) == before


def test_it_is_added_where_that_is_asked_for(directory):
    image = directory / "boot.efi"
    succeed(directory, "sign", image, *KEY)
    once = table_size(image)
    succeed(directory, "sign", image, *KEY, "--again")
    assert table_size(image) == 2 * once


def test_another_key_or_digest_signs_beside_it(directory):
    image = directory / "boot.efi"
    succeed(directory, "sign", image, *KEY)
    once = table_size(image)
    succeed(directory, "sign", image, "--key", "other.key", "--certificate", "other.crt")
    twice = table_size(image)
    assert twice > once
    succeed(directory, "sign", image, *KEY, "--digest", "sha384")
    assert table_size(image) > twice


def test_a_signature_over_other_content_does_not_count(directory):
    image = directory / "boot.efi"
    succeed(directory, "sign", image, *KEY)
    once = table_size(image)
    data = bytearray(image.read_bytes())
    data[0x5000] ^= 1
    image.write_bytes(data)
    succeed(directory, "sign", image, *KEY)
    assert table_size(image) == 2 * once


def test_a_copy_is_written_where_one_is_asked_for(directory):
    succeed(directory, "sign", "boot.efi", *KEY)
    succeed(directory, "sign", "boot.efi", *KEY, "-o", "copy.efi")
    assert (directory / "copy.efi").read_bytes() == (directory / "boot.efi").read_bytes()
