"""`fuki build` with a key in each service, in a process of its own."""

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import parts
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from fuki_build.testing import recipe
from kms_fakes import azure, gcp
from kms_fakes.keys import private_key

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def build(tmp_path: Path) -> Run:
    """`build(backend, key)` builds an image in `tmp_path`, signed with that key."""
    for link, part in (("stub", "stub-x64"), ("vmlinuz", "kernel-x64")):
        (tmp_path / link).symlink_to(parts.get(part))
    key = private_key("RSA")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Acme Secure Boot")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2024, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2049, 1, 1, tzinfo=UTC))
        .sign(key, SHA256())
    )
    (tmp_path / "db.crt").write_bytes(certificate.public_bytes(Encoding.PEM))

    def build(backend: str, key: str) -> subprocess.CompletedProcess[str]:
        sign = f'[fuki.sign]\nbackend = "{backend}"\nkey = "{key}"\ncertificate = "db.crt"\n'
        (tmp_path / "fuki.toml").write_text(recipe(sign, plugins=["kms"]))
        return fuki("build", "-o", "acme.efi", cwd=tmp_path)

    return build


def fuki(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fuki_build", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def assert_signed(done: subprocess.CompletedProcess[str], directory: Path) -> None:
    assert done.returncode == 0, done.stderr
    verified = fuki("verify", "acme.efi", "--certificate", "db.crt", cwd=directory)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    by_sbverify = subprocess.run(
        ["sbverify", "--cert", "db.crt", "acme.efi"], cwd=directory, capture_output=True, text=True, check=False
    )
    assert by_sbverify.returncode == 0, by_sbverify.stderr


@pytest.mark.usefixtures("aws_kms")
def test_an_image_is_signed_with_a_key_in_aws_kms(build, tmp_path):
    assert_signed(build("aws-kms", "alias/rsa"), tmp_path)


@pytest.mark.usefixtures("gcp_kms")
def test_an_image_is_signed_with_a_key_in_google_cloud_kms(build, tmp_path):
    assert_signed(build("gcp-kms", gcp.version("rsa")), tmp_path)


@pytest.mark.usefixtures("key_vault")
def test_an_image_is_signed_with_a_key_in_azure_key_vault(build, tmp_path):
    assert_signed(build("azure-key-vault", azure.identifier("rsa")), tmp_path)


def assert_refused(done: subprocess.CompletedProcess[str], directory: Path, message: str) -> None:
    """One error and its hint, nothing of a client's own, and no file."""
    assert done.returncode == 4, done.stderr
    first, second, *more = done.stderr.splitlines()
    assert first.startswith("fuki: error: ")
    assert first.endswith(message)
    assert second.startswith("  hint: ")
    assert not more
    assert not (directory / "acme.efi").exists()


@pytest.mark.usefixtures("aws_kms")
def test_without_credentials_for_aws_there_is_one_error(build, tmp_path, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    done = build("aws-kms", "alias/rsa")
    assert_refused(done, tmp_path, "there are no usable credentials for AWS KMS")


@pytest.mark.usefixtures("gcp_kms")
def test_without_credentials_for_google_there_is_one_error(build, tmp_path, monkeypatch):
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    # A metadata server that nobody answers for: the library asks it past proxies, and warns.
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:1")
    done = build("gcp-kms", gcp.version("rsa"))
    assert_refused(done, tmp_path, "there are no usable credentials for Google Cloud KMS")


@pytest.mark.usefixtures("key_vault")
def test_without_credentials_for_azure_there_is_one_error(build, tmp_path, monkeypatch):
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "prod")
    done = build("azure-key-vault", azure.identifier("rsa"))
    assert_refused(done, tmp_path, "there are no usable credentials for Azure Key Vault")
