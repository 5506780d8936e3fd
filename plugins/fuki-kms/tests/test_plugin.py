"""The plugin as it is found and loaded: quick, and clear about a client that is not installed."""

import doctest
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fuki_build.errors import FukiError
from fuki_build.hooks import KeySigner, SigningContext

import fuki_kms
from fuki_kms import AwsKms, AzureKeyVault, GcpKms

CHECKOUT = Path(__file__).parents[3]
BACKENDS = {"aws-kms": AwsKms, "azure-key-vault": AzureKeyVault, "gcp-kms": GcpKms}
KEYS = {
    AwsKms: "alias/secure-boot",
    AzureKeyVault: "https://acme.vault.azure.net/keys/secure-boot",
    GcpKms: "projects/a/locations/b/keyRings/c/cryptoKeys/d/cryptoKeyVersions/1",
}


def test_the_plugin_gives_its_backends():
    assert {backend.name: backend for backend in fuki_kms.fuki_signers()} == BACKENDS


def test_loading_the_plugin_loads_no_client():
    code = "import sys, fuki_kms; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "fuki_kms.options" in loaded
    assert not loaded & {"azure.core", "azure.identity", "boto3", "cryptography", "google.auth", "requests"}


@pytest.mark.parametrize("backend", BACKENDS.values())
def test_the_example_of_a_backend_runs(backend):
    (test,) = doctest.DocTestFinder(recurse=False).find(backend, backend.__name__, globs=vars(fuki_kms))
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize(
    ("backend", "client", "extra"),
    [(AwsKms, "boto3", "aws"), (GcpKms, "google.auth", "gcp"), (AzureKeyVault, "azure.identity", "azure")],
)
def test_a_client_that_is_not_installed_is_told_with_the_extra_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
    context: SigningContext,
    refused: Callable[..., FukiError],
    backend: type[KeySigner],
    client: str,
    extra: str,
):
    monkeypatch.setitem(sys.modules, client, None)
    monkeypatch.delitem(sys.modules, f"fuki_kms.{extra}", raising=False)
    monkeypatch.delattr(fuki_kms, extra, raising=False)
    error = refused(lambda: backend().open(backend.Options(key=KEYS[backend]), context), code=5)
    assert error.message == f"the backend {backend.name!r} of fuki-kms needs {client}, which is not installed"
    assert error.hint == f"pip install 'fuki-kms[{extra}]'"


@pytest.mark.parametrize("backend", BACKENDS.values())
def test_a_preview_asks_nobody(internet, context, tmp_path, backend):
    (tmp_path / "db.crt").write_bytes(internet.authority.certificate.read_bytes())
    options = backend.Options(key=KEYS[backend], certificate="db.crt")
    assert len(backend().certificates(options, context)) == 1
    assert backend().preview(options, context).certificates == backend().certificates(options, context)
    assert not internet.requests


@pytest.mark.parametrize("backend", BACKENDS.values())
def test_a_recipe_has_no_place_for_credentials(backend):
    names = {field.encode_name for field in msgspec.structs.fields(backend.Options)}
    assert names <= {"certificate", "endpoint", "endpoint-url", "intermediates", "key", "profile", "region"}


def signers(page: Path) -> list[dict[str, Any]]:
    """The tables of signers in a page's recipes."""
    parts = page.read_text().split("```toml\n")[1:]
    recipes = [tomllib.loads(part.partition("```")[0]) for part in parts]
    return [recipe["fuki"]["sign"] for recipe in recipes if "sign" in recipe["fuki"]]


@pytest.mark.parametrize("page", ["plugins/fuki-kms/README.md", "docs/how-to/sign-with-a-cloud-kms.md"])
def test_the_recipes_of_the_page_have_options_that_the_backends_take(page):
    tables = signers(CHECKOUT / page)
    assert {table["backend"] for table in tables} == set(BACKENDS)
    for table in tables:
        backend = BACKENDS[table.pop("backend")]
        assert msgspec.convert(table, backend.Options).certificate
