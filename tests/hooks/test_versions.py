"""Plugins and fuki of different versions: what they say of each other, and how something goes."""

import os
import subprocess
import sys
import warnings

import pluggy
import pytest

from fuki_build.errors import HookDeprecationWarning
from fuki_build.hooks import HOOK_API
from fuki_build.hooks.versions import deprecated
from fuki_build.testing import install_plugin

OWN = ".".join(map(str, HOOK_API))
PLUGIN = """
from fuki_build.hooks import hookimpl

@hookimpl
def fuki_template_dirs():
    return []
"""


@pytest.mark.parametrize("version", [None, OWN, f"{HOOK_API[0]}.0"])
def test_a_plugin_of_this_version_or_an_older_minor_one_is_loaded(fuki, tmp_path, version):
    statement = f"fuki_hook_api = {version!r}" if version else ""
    path = install_plugin(tmp_path / "site", "acme", statement + PLUGIN)
    fuki("--plugin", "acme", "plan", PYTHONPATH=path)


@pytest.mark.parametrize(
    ("version", "problem", "hint"),
    [
        ("1.7", f"it is written for version 1.7 of the hooks, and this fuki has {OWN}", "install a newer fuki-build"),
        ("2.0", f"it is written for version 2.0 of the hooks, and this fuki has {OWN}", "install a newer fuki-build"),
        ("0.9", f"it is written for version 0.9 of the hooks, and this fuki has {OWN}", "a version of the plugin"),
        (1, "its fuki_hook_api is 1", f'write: fuki_hook_api = "{OWN}"'),
        ("one", "its fuki_hook_api is 'one'", f'write: fuki_hook_api = "{OWN}"'),
    ],
)
def test_a_plugin_of_another_version_is_refused_before_it_is_asked_for_anything(fuki, tmp_path, version, problem, hint):
    path = install_plugin(tmp_path / "site", "acme", f"fuki_hook_api = {version!r}{PLUGIN}")
    done = fuki("--plugin", "acme", "plan", code=5, PYTHONPATH=path)
    assert "plugin 'acme' (distribution fuki-acme 1.2.3)" in done.stderr
    assert problem in done.stderr.replace("\n", " ")
    assert hint in done.stderr


DEPRECATED = """
import sys, pluggy
from fuki_build.hooks import specs
from fuki_build.hooks.versions import deprecated

@pluggy.HookspecMarker("fuki")(warn_on_impl=deprecated("1.4", "give fuki_templates"))
def fuki_template_dirs(): ...

specs.fuki_template_dirs = fuki_template_dirs
from fuki_build.cli.main import serve
serve(sys.argv[1:])
"""
"""fuki as it will be when a hook is going to be gone."""


def with_a_deprecated_hook(workshop, path: str, *options: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", DEPRECATED, *options, "--plugin", "acme", "check"],
        cwd=workshop,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "300", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_a_deprecated_hook_still_works_and_is_told_once_with_file_and_line(workshop, tmp_path):
    path = install_plugin(tmp_path / "site", "acme", PLUGIN)
    text = "deprecated since version 1.4 of the hooks, and gone in 2.0: give fuki_templates"
    error = with_a_deprecated_hook(workshop, path)
    assert error.count("deprecated since") == 1
    assert f"fuki: warning: {path}/fuki_acme.py:4: {text}" in error


def test_who_wants_quiet_has_it(workshop, tmp_path):
    path = install_plugin(tmp_path / "site", "acme", PLUGIN)
    assert "deprecated" not in with_a_deprecated_hook(workshop, path, "--quiet")


def test_an_argument_that_is_going_to_be_gone_is_told_to_who_takes_it():
    """Hooks take nothing today; when one does, an argument goes in the same way."""
    spec, impl = pluggy.HookspecMarker("fuki"), pluggy.HookimplMarker("fuki")

    class Specs:
        @spec(warn_on_impl_args={"old": deprecated("1.4", "take new")})
        def fuki_example(self, old, new) -> None: ...

    class Taker:
        @impl
        def fuki_example(self, old) -> None: ...

    class Other:
        @impl
        def fuki_example(self, new) -> None: ...

    manager = pluggy.PluginManager("fuki")
    manager.add_hookspecs(Specs)
    with pytest.warns(HookDeprecationWarning, match="gone in 2.0: take new"):
        manager.register(Taker())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        manager.register(Other())
