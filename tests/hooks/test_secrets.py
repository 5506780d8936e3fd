"""Secrets from the environment and from a terminal; those from files are tested with keys."""

import getpass
import sys
from pathlib import Path

import pytest

from fuki_build.errors import SigningError
from fuki_build.hooks.secrets import read_secret

NOT_UTF8 = "geheim\udcff"  # as Python holds a byte that is not UTF-8


def read(source: str | None) -> str:
    return read_secret(source, Path(), "PIN", "pin")


def test_a_secret_of_the_environment_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SECRET", " gehéim ")
    assert read("env:SECRET") == " gehéim "


def test_a_secret_of_the_environment_that_is_not_text_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SECRET", NOT_UTF8)
    with pytest.raises(SigningError, match="pin: SECRET, which is to hold the PIN, is not UTF-8 text") as caught:
        read("env:SECRET")
    assert caught.value.__cause__ is None


def test_a_typed_secret_that_is_not_text_is_refused(monkeypatch: pytest.MonkeyPatch):
    def typed(*_: object, **__: object) -> str:
        return b"geheim\xff".decode()

    monkeypatch.setattr(getpass, "getpass", typed)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with pytest.raises(SigningError, match="pin: the PIN that was given is not UTF-8 text"):
        read(None)
