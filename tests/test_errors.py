"""Errors keep what they say, and what caused them, on their way to the user."""

import re
from pathlib import Path

import pytest

from fuki_build.errors import FormatError, FukiError, RecipeError, SigningError, located, raised_as
from fuki_build.testing import invoke, succeed

CHECKOUT = Path(__file__).parents[1]


def fail() -> None:
    try:
        Path("nowhere").stat()
    except OSError as error:
        raise FormatError("it is damaged", hint="mend it") from error


def test_a_place_is_added_and_the_cause_is_kept():
    with pytest.raises(FormatError) as caught, located("outer"), located("inner"):
        fail()
    assert caught.value.where == "inner"
    assert isinstance(caught.value.__cause__, OSError)


def test_only_errors_of_the_given_kinds_get_the_place():
    with pytest.raises(FukiError) as caught, located("here", FormatError, RecipeError):
        raise FukiError("other")
    assert caught.value.where is None


def test_an_error_of_another_kind_keeps_message_hint_and_cause():
    with pytest.raises(SigningError) as caught, raised_as(SigningError, "key", of=FormatError, about="db.key"):
        fail()
    error = caught.value
    assert (error.message, error.where, error.hint) == ("db.key: it is damaged", "key", "mend it")
    assert isinstance(error.__cause__, FormatError)
    assert isinstance(error.__cause__.__cause__, OSError)


def test_an_error_that_is_not_asked_for_passes():
    with pytest.raises(RecipeError), raised_as(SigningError, of=FormatError):
        raise RecipeError("other")


def test_the_cause_is_shown_where_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("FUKI_DEBUG", "1")
    (tmp_path / "fuki.toml").write_bytes(b"[fuki]\nname = '\xff'\n")
    error = invoke(tmp_path, "plan").err
    assert "UnicodeDecodeError" in error
    assert "direct cause" in error


@pytest.mark.parametrize(
    "arguments",
    [
        ("edit", "acme.efi", "--add-initrd", "missing", "-o", "edited.efi"),
        ("ukify", "build", "--stub=stub", "--linux=vmlinuz", "--initrd=missing", "--output=ukify.efi"),
    ],
    ids=["edit", "ukify"],
)
def test_an_error_that_is_told_at_an_option_keeps_its_cause(workshop, monkeypatch, arguments: tuple[str, ...]):
    succeed(workshop, "build", "-o", "acme.efi")
    monkeypatch.setenv("FUKI_DEBUG", "1")
    outcome = invoke(workshop, *arguments)
    assert outcome.code != 0
    assert "FileNotFoundError" in outcome.err
    assert "direct cause" in outcome.err


@pytest.mark.parametrize("form", [r"raise error\.at\(", r"error\.message, where=[^\n]*hint=error\.hint\) from error"])
def test_no_error_is_made_its_own_cause_or_copied_by_hand(form: str):
    sources = [*CHECKOUT.glob("fuki_build/**/*.py"), *CHECKOUT.glob("plugins/fuki-*/fuki_*/**/*.py")]
    assert [str(path) for path in sources if path.name != "errors.py" and re.search(form, path.read_text())] == []
