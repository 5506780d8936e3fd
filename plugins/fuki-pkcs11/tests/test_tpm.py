"""A second token, of another make than SoftHSM: tpm2-pkcs11 on an emulated TPM."""

import hashlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from fuki_build.errors import SigningError
from fuki_build.formats.asn1 import x509
from fuki_build.hooks import SigningContext

from fuki_pkcs11 import Pkcs11Options, Pkcs11Signer

MODULE = next(str(path) for path in Path("/usr/lib").glob("*/libtpm2_pkcs11.so.1"))
PIN = "Geheim-0815"
KEYS = {"rsa": ("01", "rsa:2048"), "ec": ("02", "EC:prime256v1")}


@pytest.fixture(scope="module")
def tpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which the module finds a TPM; `KEYS` were generated in it."""
    directory = tmp_path_factory.mktemp("tpm")
    port = free_ports()
    command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={directory}", "--flags", "not-need-init,startup-clear"]
    command += ["--server", f"type=tcp,port={port}", "--ctrl", f"type=tcp,port={port + 1}"]

    environment = {
        "TPM2_PKCS11_STORE": str(directory),
        "TPM2_PKCS11_TCTI": f"swtpm:host=127.0.0.1,port={port}",
        "TSS2_LOG": "all+none",
    }

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(port + 1)
            tool(environment, "--init-token", "--slot-index", "0", "--label", "tpm", "--so-pin", "12345678")
            owner = ("--token-label", "tpm", "--login", "--login-type", "so", "--so-pin", "12345678")
            tool(environment, *owner, "--init-pin", "--pin", PIN)
            user = ("--token-label", "tpm", "--login", "--pin", PIN)
            for label, (id_, kind) in KEYS.items():
                tool(environment, *user, "--keypairgen", "--key-type", kind, "--id", id_, "--label", label)
            yield environment
        finally:
            process.terminate()


def free_ports() -> int:
    """The first of two ports, one behind the other: the second is for control, where tpm2-tss expects it."""
    for _ in range(100):
        with socket.create_server(("127.0.0.1", 0)) as first, socket.socket() as second:
            port: int = first.getsockname()[1]
            with suppress(OSError, OverflowError):
                second.bind(("127.0.0.1", port + 1))
                return port
    pytest.fail("there are no two free ports")


def wait_for(port: int) -> None:
    for _ in range(100):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail("the TPM does not listen")


def tool(environment: dict[str, str], *arguments: str) -> bytes:
    command = ["pkcs11-tool", "--module", MODULE, *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, check=True).stdout


@pytest.fixture
def context(tpm: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SigningContext]:
    for name, value in tpm.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FUKI_TEST_PIN", PIN)
    with SigningContext(tmp_path, tmp_path) as context:
        yield context


def options(label: str) -> Pkcs11Options:
    return Pkcs11Options(key=f"pkcs11:token=tpm;object={label}", module_path=MODULE, pin="env:FUKI_TEST_PIN")


@pytest.mark.parametrize("label", KEYS)
def test_a_key_in_a_tpm_signs(tpm: dict[str, str], context: SigningContext, label: str):
    exported = subprocess.run(
        ["p11tool", "--provider", MODULE, "--export", f"pkcs11:token=tpm;object={label};type=public"],
        env={**os.environ, **tpm},
        capture_output=True,
        check=True,
    )
    public_key = load_pem_public_key(exported.stdout).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    key = Pkcs11Signer().open(options(label), context)
    assert key.public_key == public_key

    for algorithm in ("sha256", "sha384", "sha512"):
        digest = hashlib.new(algorithm, b"an image").digest()
        assert x509.verifies(public_key, key.sign(digest, algorithm), digest, algorithm)


def test_a_wrong_pin_is_told(context: SigningContext, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FUKI_TEST_PIN", "Falsch-4711")
    with pytest.raises(SigningError, match="the PIN is wrong"):
        Pkcs11Signer().open(options("rsa"), context)


def test_a_tpm_that_is_away_is_told(context: SigningContext, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TPM2_PKCS11_TCTI", "device:/dev/no-such-tpm")
    with pytest.raises(SigningError, match="its device or service does not answer") as caught:
        Pkcs11Signer().open(options("rsa"), context)
    assert caught.value.hint
    assert "/dev/tpmrm0" in caught.value.hint
