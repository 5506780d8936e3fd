"""SoftHSM tokens, made for the tests, with keys that were generated on them."""

import datetime as dt
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)
from cryptography.x509.oid import NameOID
from fuki_build.errors import FukiError
from fuki_build.hooks import SigningContext, SigningKey

from fuki_pkcs11 import Pkcs11Options, Pkcs11Signer

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
LABEL = "fuki test"
PIN = "Geheim-0815"
WRONG_PIN = "Falsch-4711"
KEYS = {
    "rsa2048": ("01", "rsa:2048"),
    "rsa3072": ("02", "rsa:3072"),
    "rsa4096": ("03", "rsa:4096"),
    "p256": ("04", "EC:prime256v1"),
    "p384": ("05", "EC:secp384r1"),
    "always": ("06", "rsa:2048", "--always-auth"),
    "twin": ("07", "EC:prime256v1"),
    "edwards": ("09", "EC:edwards25519"),
    "certified": ("0a", "rsa:2048"),
}


class Hsm:
    """A directory of SoftHSM tokens."""

    pin = PIN
    wrong_pin = WRONG_PIN
    module = MODULE

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.configuration = directory / "softhsm2.conf"

    @classmethod
    def make(cls, directory: Path) -> "Hsm":
        (directory / "tokens").mkdir(parents=True)
        hsm = cls(directory)
        text = f"directories.tokendir = {directory / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
        hsm.configuration.write_text(text)
        return hsm

    def copy(self, directory: Path) -> "Hsm":
        copy = Hsm.make(directory)
        shutil.copytree(self.directory / "tokens", directory / "tokens", dirs_exist_ok=True)
        return copy

    def run(self, *command: object) -> bytes:
        environment = {**os.environ, "SOFTHSM2_CONF": str(self.configuration)}
        return subprocess.run(list(map(str, command)), env=environment, capture_output=True, check=True).stdout

    def add_token(self, label: str = LABEL) -> None:
        self.run("softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "12345678")

    def tool(self, *arguments: object) -> bytes:
        """OpenSC's tool, logged in."""
        token = ("--module", MODULE, "--token-label", LABEL, "--login", "--pin", PIN)
        return self.run("pkcs11-tool", *token, *arguments)

    def generate(self, label: str, id_: str, kind: str, *more: str) -> None:
        self.tool("--keypairgen", "--key-type", kind, "--id", id_, "--label", label, *more)

    def generate_for_decryption(self, label: str, id_: bytes) -> None:
        """OpenSC's tool leaves CKA_SIGN open, which SoftHSM takes for true."""
        script = (
            "import sys, pkcs11\n"
            "module, label, pin, name, id = sys.argv[1:]\n"
            "with pkcs11.lib(module).get_token(token_label=label).open(rw=True, user_pin=pin) as session:\n"
            "    session.generate_keypair(pkcs11.KeyType.RSA, 2048, label=name, id=bytes.fromhex(id), store=True,\n"
            "                             capabilities=pkcs11.MechanismFlag.DECRYPT | pkcs11.MechanismFlag.ENCRYPT)\n"
        )
        self.run(sys.executable, "-c", script, MODULE, LABEL, PIN, label, id_.hex())

    def public_key(self, label: str) -> bytes:
        """SubjectPublicKeyInfo, as GnuTLS reads it."""
        uri = f"pkcs11:token={LABEL.replace(' ', '%20')};id=%{KEYS[label][0]};type=public"
        key = load_pem_public_key(self.run("p11tool", "--provider", MODULE, "--export", uri))
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def store_certificate(self, der: Path, label: str, id_: str) -> None:
        self.tool("--write-object", der, "--type", "cert", "--label", label, "--id", id_)

    def options(self, key: str = "object=rsa2048", **more: object) -> Pkcs11Options:
        """Options for a key of the token, with the PIN from the environment."""
        uri = key if key.startswith("pkcs11:") else f"pkcs11:token=fuki%20test;{key}"
        return Pkcs11Options(**{"key": uri, "module_path": MODULE, "pin": "env:FUKI_TEST_PIN", **more})


class Issuer:
    """A certificate authority in memory, for keys whose private half is not at hand."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        self.certificate = self.issue(self.key.public_key(), "Issuer")

    def issue(self, public_key, name: str) -> bytes:
        """A certificate in DER."""
        subject, issuer = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, n)]) for n in (name, "Issuer"))
        now = dt.datetime.now(dt.UTC)
        builder = x509.CertificateBuilder(issuer, subject, public_key, x509.random_serial_number())
        builder = builder.not_valid_before(now - dt.timedelta(days=1))
        builder = builder.not_valid_after(now + dt.timedelta(days=30))
        return builder.sign(self.key, SHA256()).public_bytes(Encoding.DER)


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture(scope="session")
def shared_hsm(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Hsm:
    hsm = Hsm.make(tmp_path_factory.mktemp("softhsm") / "hsm")
    hsm.add_token()
    for label, key in KEYS.items():
        hsm.generate(label, *key)
    hsm.generate("twin", "08", "EC:prime256v1")
    certificate = hsm.directory / "certified.der"
    certificate.write_bytes(issuer.issue(load_der_public_key(hsm.public_key("certified")), "Token Key"))
    hsm.store_certificate(certificate, "certificate", KEYS["certified"][0])
    return hsm


@pytest.fixture
def hsm(shared_hsm: Hsm, monkeypatch: pytest.MonkeyPatch) -> Hsm:
    """The token with all keys; nobody writes to it."""
    monkeypatch.setenv("SOFTHSM2_CONF", str(shared_hsm.configuration))
    monkeypatch.setenv("FUKI_TEST_PIN", PIN)
    return shared_hsm


@pytest.fixture
def own_hsm(hsm: Hsm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hsm:
    """A copy that the test may change."""
    copy = hsm.copy(tmp_path / "hsm")
    monkeypatch.setenv("SOFTHSM2_CONF", str(copy.configuration))
    return copy


@pytest.fixture
def context(tmp_path: Path) -> Iterator[SigningContext]:
    with SigningContext(tmp_path, tmp_path) as context:
        yield context


@pytest.fixture
def open_key(hsm: Hsm, context: SigningContext) -> Callable[..., SigningKey]:
    """`open_key("object=p256")` opens a key of the token."""

    def open_key(key: str = "object=rsa2048", **more: object) -> SigningKey:
        return Pkcs11Signer().open(hsm.options(key, **more), context)

    return open_key


class Shim:
    """SoftHSM behind a module that notes what is called, and can be other kinds of tokens (shim.c)."""

    def __init__(self, hsm: Hsm, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.module = str(directory / "shim.so")
        self._log = directory / "calls"
        self._set = monkeypatch.setenv
        self._set("SHIM_LOG", str(self._log))
        self._set("SHIM_MODULE", hsm.module)
        self._set("SHIM_TYPED", hsm.pin)
        source = Path(__file__).with_name("shim.c")
        compiler = ("gcc", "-shared", "-fPIC", "-Wall", "-Werror", "-I/usr/include/p11-kit-1")
        subprocess.run([*compiler, "-o", self.module, source], check=True, capture_output=True)

    def behave(self, *words: str) -> None:
        self._set("SHIM_AS", " ".join(words))

    @property
    def calls(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []

    def count(self, call: str) -> int:
        return sum(line.startswith(call) for line in self.calls)


@pytest.fixture
def shim(hsm: Hsm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shim:
    directory = tmp_path / "shim"
    directory.mkdir()
    return Shim(hsm, directory, monkeypatch)


@pytest.fixture
def refused(hsm: Hsm, open_key: Callable[..., SigningKey]) -> Callable[..., FukiError]:
    """`refused("what it says", key, option=…)` is the error of opening a key, which says nothing of PINs."""

    def refused(message: str, key: str = "object=rsa2048", **more: object) -> FukiError:
        with pytest.raises(FukiError) as caught:
            open_key(key, **more)
        error = caught.value
        assert message in error.message
        assert error.where, error
        everything = "".join(traceback.format_exception(error))
        assert hsm.pin not in everything
        assert hsm.wrong_pin not in everything
        return error

    return refused
