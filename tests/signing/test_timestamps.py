"""Timestamps of signatures, from an authority that openssl plays on the loopback interface."""

import json
import subprocess
from collections.abc import Iterator

import pytest

from fuki_build.testing import refused, succeed
from fuki_build.testing.timestamp_authority import timestamp_authority
from tests.conftest import RECIPE
from tests.signing.conftest import SIGN
from tests.support.workshop import IMAGE


@pytest.fixture
def authority(keyed) -> Iterator[str]:
    with timestamp_authority(keyed) as url:
        yield url


def test_a_signature_gets_a_timestamp_that_osslsigncode_verifies(keyed, authority):
    (keyed / "fuki.toml").write_text(RECIPE + SIGN + f'timestamp = "{authority}"\n')
    succeed(keyed, "build")
    signature = json.loads(succeed(keyed, "verify", IMAGE, "--certificate", "ca.crt", "--json").out)["image"][
        "signatures"
    ]
    assert (signature[0]["verdict"], signature[0]["timestamp"]) == ("valid", True)
    command = ["osslsigncode", "verify", "-CAfile", "ca.crt", "-TSA-CAfile", "tsa.crt", "-in", IMAGE]
    done = subprocess.run(command, cwd=keyed, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "Timestamp Server Signature verification: ok" in done.stdout


def test_firmware_s_verifier_is_not_disturbed_by_a_timestamp(keyed, authority, verifies):
    succeed(
        keyed,
        "sign",
        "stub",
        "--key",
        "db.key",
        "--certificate",
        "db.crt",
        "-O",
        f"timestamp={authority}",
        "-o",
        "out.efi",
    )
    assert verifies("sbverify", keyed / "out.efi", keyed / "ca.crt")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://127.0.0.1:1/", "cannot"),
        ("file:///etc/passwd", "starts with http:// or https://"),
        ("http://[::", "cannot"),
    ],
)
def test_an_authority_that_does_not_answer_is_one_error(keyed, url, problem):
    (keyed / "fuki.toml").write_text(RECIPE + SIGN + f'timestamp = "{url}"\n')
    error = refused(keyed, "build", code=4)
    assert "fuki.sign.timestamp: " in error
    assert problem in error
