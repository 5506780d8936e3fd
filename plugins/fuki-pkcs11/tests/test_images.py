"""Whole images, signed by keys on a token through the command line."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import parts
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from fuki_build.testing import recipe

Fuki = Callable[..., subprocess.CompletedProcess[str]]

PIN = 'pin = "env:FUKI_TEST_PIN"'
IMAGES = ("acme.efi", "acme.efi.extra.d/serial.addon.efi")


def signed_recipe(module: Path | str, more: str = "") -> str:
    """An image and an addon, signed by a key of the module's token; `more` are keys of the signer."""
    tables = f"""
[[fuki.addon]]
name = "serial"
cmdline = "console=ttyS0"

[fuki.sign]
backend = "pkcs11"
key = "pkcs11:token=fuki%20test;object=certified"
module-path = "{module}"
{more}

[[fuki.output]]
format = "uki"
[[fuki.output]]
format = "addon"
[[fuki.output]]
format = "manifest"
"""
    return recipe(tables, plugins=["pkcs11"], cmdline="root=LABEL=root ro")


@pytest.fixture
def directory(hsm, tmp_path: Path) -> Path:
    """A directory with a recipe that signs, and the certificate to verify by."""
    directory = tmp_path / "images"
    directory.mkdir()
    (directory / "stub").symlink_to(parts.get("stub-x64"))
    (directory / "vmlinuz").symlink_to(parts.get("kernel-x64"))
    (directory / "fuki.toml").write_text(signed_recipe(hsm.module, PIN))
    certificate = x509.load_der_x509_certificate((hsm.directory / "certified.der").read_bytes())
    (directory / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    return directory


@pytest.fixture
def fuki(directory: Path) -> Fuki:
    def fuki(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "fuki_build", *arguments]
        done = subprocess.run(
            command, cwd=directory, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        assert done.returncode == code, done.stderr
        return done

    return fuki


def files(directory: Path) -> Iterator[tuple[Path, bytes]]:
    yield from ((path, path.read_bytes()) for path in sorted(directory.rglob("*")) if path.is_file())


@pytest.mark.parametrize("image", IMAGES)
def test_what_is_built_is_signed_by_the_token_s_key(directory: Path, fuki: Fuki, image: str):
    fuki("build")
    command = ["sbverify", "--cert", "certificate.pem", image]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "Signature verification OK", done.stderr
    fuki("verify", image, "--certificate", "certificate.pem")


def test_two_builds_are_the_same(directory: Path, fuki: Fuki):
    fuki("build")
    first = dict(files(directory))
    fuki("build")
    assert dict(files(directory)) == first


def test_any_image_is_signed_with_the_command_line_alone(directory: Path, hsm, fuki: Fuki):
    (directory / "stub.efi").write_bytes((directory / "stub").read_bytes())
    options = ("-O", f"module-path={hsm.module}", "-O", "pin=env:FUKI_TEST_PIN")
    key = "pkcs11:token=fuki%20test;id=%0a"
    fuki("--plugin", "pkcs11", "sign", "stub.efi", "--backend", "pkcs11", "--key", key, *options)
    fuki("verify", "stub.efi", "--certificate", "certificate.pem")


def test_image_and_addons_need_one_login(directory: Path, shim, fuki: Fuki):
    (directory / "fuki.toml").write_text(signed_recipe(shim.module, PIN))
    fuki("build")
    assert shim.count("C_Login") == 1
    assert shim.count("C_Sign ") == len(IMAGES)


POLICY = """
[[fuki.pcr-policy]]
backend = "pkcs11"
key = "pkcs11:token=fuki%20test;object=rsa3072"
module-path = "{module}"
pin = "env:FUKI_TEST_PIN"
phases = ["enter-initrd"]
"""


def test_image_and_policies_need_one_login(directory: Path, hsm, shim, fuki: Fuki):
    text = signed_recipe(shim.module, PIN)
    (directory / "fuki.toml").write_text(text + POLICY.format(module=shim.module))
    fuki("build")
    assert shim.count("C_Login") == 1
    assert shim.count("C_Sign ") == len(IMAGES) + 1

    extracted = fuki("inspect", IMAGES[0], "--extract", ".pcrpkey", "-o", "-").stdout
    key = load_pem_public_key(extracted.encode())
    assert key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == hsm.public_key("rsa3072")
    assert isinstance(key, RSAPublicKey)

    policy = json.loads(fuki("inspect", IMAGES[0], "--extract", ".pcrsig", "-o", "-").stdout)["sha256"][0]
    # A TPM's PolicyAuthorize checks a signature over the policy's digest, without a reference (TPM 2.0 part 3, 23.16).
    key.verify(base64.b64decode(policy["sig"]), bytes.fromhex(policy["pol"]), PKCS1v15(), SHA256())

    fuki("verify", IMAGES[0], "--certificate", "certificate.pem")


def test_the_pin_is_asked_for_once_and_not_shown(directory: Path, hsm, shim):
    (directory / "fuki.toml").write_text(signed_recipe(shim.module))

    command = ["script", "--quiet", "--return", "--command", f"{sys.executable} -m fuki_build build", "/dev/null"]
    environment = {key: value for key, value in os.environ.items() if key != "FUKI_TEST_PIN"}
    with subprocess.Popen(
        command, cwd=directory, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as terminal:
        assert terminal.stdin
        assert terminal.stdout
        shown = b""
        while b"PIN of token 'fuki test': " not in shown:
            more = terminal.stdout.read(1)
            assert more, shown
            shown += more

        terminal.stdin.write(f"{hsm.pin}\n".encode())
        terminal.stdin.flush()
        shown += terminal.stdout.read()

    assert terminal.returncode == 0, shown
    assert shown.count(b"PIN") == 1
    assert hsm.pin.encode() not in shown
    assert shim.count("C_Login") == 1


@pytest.mark.parametrize("command", [("build",), ("plan", "--json"), ("sign", "acme.efi"), ("verify", "acme.efi")])
def test_no_output_holds_the_pin(directory: Path, hsm, fuki: Fuki, command: tuple[str, ...]):
    fuki("build")
    done = fuki(*command)
    assert hsm.pin not in done.stdout + done.stderr
    written = dict(files(directory))
    assert len(written) > len(IMAGES)
    assert [path for path, content in written.items() if hsm.pin.encode() in content] == []


def test_a_plan_needs_neither_token_nor_pin(directory: Path, fuki: Fuki, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("FUKI_TEST_PIN")
    text = (directory / "fuki.toml").read_text()
    (directory / "fuki.toml").write_text(text.replace("object=certified", "object=nope"))
    fuki("plan")


def test_a_wrong_pin_leaves_everything_as_it_was(directory: Path, fuki: Fuki, monkeypatch: pytest.MonkeyPatch):
    fuki("build")
    before = dict(files(directory))
    monkeypatch.setenv("FUKI_TEST_PIN", "Falsch-4711")
    for command in (("build",), ("sign", "acme.efi")):
        error = fuki(*command, code=4).stderr
        assert error == (
            "fuki: error: fuki.sign.pin: cannot log in to token 'fuki test': the PIN is wrong\n"
            "  hint: it is not tried again: tokens lock after a few wrong PINs\n"
        )
    assert dict(files(directory)) == before


def test_debugging_output_does_not_hold_the_pin(directory: Path, hsm, fuki: Fuki, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FUKI_DEBUG", "1")
    text = (directory / "fuki.toml").read_text().replace("object=certified", "object=nope")
    (directory / "fuki.toml").write_text(text)
    assert hsm.pin not in fuki("build", code=4).stderr
    (directory / "fuki.toml").write_text(text.replace("object=nope", f"object=certified?pin-value={hsm.pin}"))
    assert hsm.pin not in fuki("build", code=2).stderr


def test_two_threads_build_at_the_same_time_what_one_builds(directory: Path, fuki: Fuki):
    """In a process of its own: what went wrong here was a segmentation fault."""
    fuki("build", "-o", "alone.efi", "--only", "uki")

    script = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from pathlib import Path\n"
        "from fuki_build import build, plan\n"
        "def work(number):\n"
        "    with plan(Path()) as planned:\n"
        "        build(planned, only=['uki'], output=Path(f'{number}.efi'))\n"
        "with ThreadPoolExecutor(2) as pool:\n"
        "    list(pool.map(work, range(4)))\n"
    )
    command = [sys.executable, "-c", script]

    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")

    alone = (directory / "alone.efi").read_bytes()
    assert all((directory / f"{number}.efi").read_bytes() == alone for number in range(4))
