import pytest

from fuki_build.testing import recipe, refused, succeed

SIGN = """
[fuki.sign]
backend = "acme-vault"
key = "{key}"
certificate = "db.crt"
token = "env:VAULT_TOKEN"
"""


@pytest.fixture
def write_recipe(directory):
    def write_recipe(key="release"):
        (directory / "fuki.toml").write_text(recipe(SIGN.format(key=key), plugins=["acme"], uname="6.12.0"))

    return write_recipe


def test_an_image_is_signed_so_that_its_certificate_verifies_it(directory, write_recipe):
    write_recipe()
    succeed(directory, "build", "-o", "image.efi")
    assert "valid" in succeed(directory, "verify", "image.efi", "--certificate", "db.crt").out


def test_a_plan_logs_in_nowhere(directory, write_recipe, monkeypatch):
    monkeypatch.delenv("VAULT_TOKEN")
    write_recipe()
    succeed(directory, "plan")


def test_a_wrong_token_is_refused_and_not_told(directory, write_recipe, monkeypatch):
    monkeypatch.setenv("VAULT_TOKEN", "open barley")
    write_recipe()
    error = refused(directory, "build", code=4)
    assert "fuki.sign.key: the vault did not sign with release" in error
    assert "barley" not in error
