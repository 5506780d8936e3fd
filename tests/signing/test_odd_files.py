"""Keys and documents that are empty, deep or no text end in one clear error."""

import subprocess
from pathlib import Path

import pytest

from fuki_build.errors import FormatError
from fuki_build.formats.asn1 import private_key
from fuki_build.testing import refused
from tests.support.images import layout_of, write


def openssl(directory: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)


@pytest.fixture
def keys(tmp_path):
    openssl(
        tmp_path,
        *[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-passout",
            "pass:sesame",
            "-subj",
            "/CN=Acme",
            "-keyout",
            "k.pem",
            "-out",
            "c.pem",
        ],
    )

    openssl(
        tmp_path,
        *[
            "pkcs8",
            "-in",
            "k.pem",
            "-passin",
            "pass:sesame",
            "-passout",
            "pass:sesame",
            "-topk8",
            "-outform",
            "DER",
            "-out",
            "k.der",
        ],
    )

    export = "pkcs12 -export -inkey k.pem -in c.pem -passin pass:sesame -passout pass:"
    openssl(tmp_path, *f"{export}sesame -out k.p12".split())
    openssl(tmp_path, *f"{export} -out empty.p12".split())
    return tmp_path


@pytest.mark.parametrize("name", ["k.pem", "k.der", "k.p12"])
def test_an_empty_passphrase_does_not_open_a_key(keys, name):
    with pytest.raises(FormatError, match="passphrase"):
        private_key.decode((keys / name).read_bytes(), lambda: "")


def test_an_empty_passphrase_opens_what_it_closed(keys):
    assert private_key.decode((keys / "empty.p12").read_bytes(), lambda: "").certificates


def test_an_empty_passphrase_is_told_at_the_key(keys, monkeypatch):
    monkeypatch.setenv("EMPTY", "")
    write(keys / "a.efi", layout_of([(".cmdline", b"quiet", None)]))
    command = "sign a.efi --key k.pem --certificate c.pem -o b.efi --option passphrase=env:EMPTY"
    error = refused(keys, *command.split(), code=4)
    assert "k.pem: the key is encrypted, and the passphrase is empty" in error


@pytest.mark.parametrize("data", [b"", b'{"version":1,"image":"\xff"}', b"[" * 100000, b'{"version":1}', b"\0"])
def test_a_document_that_is_none_is_refused(tmp_path, data):
    write(tmp_path / "a.efi", layout_of([(".cmdline", b"quiet", None)]))
    (tmp_path / "document").write_bytes(data)
    error = refused(tmp_path, "attach", "a.efi", "--signatures", "document", "-o", "b.efi", code=4)
    assert "document: this is not a document with signatures" in error
