"""Verbs that only select or measure do not decode signatures, even of a signed image: modules are counted."""

import subprocess
import sys
from pathlib import Path

import pytest

from fuki_build.testing import recipe, succeed
from tests.signing.conftest import SIGN

RECIPE = recipe(
    """
[[fuki.profile]]
id = "debug"
cmdline = "debug"
""",
    os_release=None,
)
SCRIPT = """
import sys
from fuki_build.cli.main import run
code = run(sys.argv[1:])
print(code, [name for name in ("cryptography", "OpenSSL") if name in sys.modules], file=sys.stderr)
"""


@pytest.fixture
def image(keyed: Path) -> Path:
    (keyed / "fuki.toml").write_text(RECIPE + SIGN)
    succeed(keyed, "build")
    return keyed / "acme.efi"


@pytest.mark.parametrize("verb", ["match --platform qemu:q35 --profile debug", "measure --profile debug"])
def test_a_profile_is_found_without_cryptography(image: Path, verb: str):
    command = [sys.executable, "-c", SCRIPT, *verb.split(), "--json", str(image)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stderr.splitlines()[-1] == "0 []"
