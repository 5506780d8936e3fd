"""Hints name plugins that give what they say, and no distribution that nobody has made."""

import os
import subprocess
import sys

import parts
import pytest

from fuki_build import pipeline
from fuki_build.hooks import first_party
from fuki_build.hooks.contract import HOOKS
from fuki_build.testing import invoke, refused
from tests.conftest import RECIPE
from tests.docs.reference import first_party as plugins_here


def test_the_table_says_what_the_plugins_give():
    host = pipeline.new_host(plugins_here())
    given: dict[str, dict[str, tuple[str, ...]]] = {}
    for hook in HOOKS:
        for contribution in host.all(hook):
            if not contribution.plugin.name.startswith("builtin."):
                by_plugin = given.setdefault(hook, {})
                by_plugin[contribution.plugin.name] = (*by_plugin.get(contribution.plugin.name, ()), contribution.name)
    assert given == first_party.GIVEN


def test_every_plugin_here_is_in_the_table_and_stands_where_the_hint_says():
    assert list(first_party.PLUGINS) == plugins_here()
    for plugin in first_party.PLUGINS:
        directory = first_party.how_to_install(plugin).rpartition("./")[2]
        assert (parts.CHECKOUT / directory / "pyproject.toml").is_file()


FIRMWARE = '[[fuki.firmware]]\nsource = "file"\nid = "x"\npath = "stub"\nplatforms = ["{}"]\n'
NOT_LOADED = [
    (FIRMWARE.format("oci"), "platform 'oci'", "clouds"),
    ('[[fuki.output]]\nformat = "deb"\n', "output format 'deb'", "packages"),
    ('[fuki.sign]\nbackend = "gcp-kms"\nkey = "k"\n', "signing backend 'gcp-kms'", "kms"),
    ('[fuki.hand-over]\ninterface = "vm-launch-update"\n', "hand-over interface 'vm-launch-update'", "hand-over"),
]


@pytest.mark.parametrize(("table", "thing", "plugin"), NOT_LOADED)
def test_what_a_plugin_that_is_not_loaded_gives_is_answered_with_the_plugin(workshop, table, thing, plugin):
    (workshop / "fuki.toml").write_text(RECIPE + table)
    error = refused(workshop, "plan")
    assert f"there is no {thing}" in error
    assert f"add '{plugin}' to plugins in [fuki]" in error
    assert "install" not in error


def without_plugins(*arguments: str, cwd) -> str:
    """What is said where only the core is installed: its metadata are all that is on the path of others."""
    script = (
        "import importlib.metadata as m, sys; m.entry_points = lambda **_: ();"
        "from fuki_build.cli.main import serve; serve(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (2, 5), done.stderr
    assert done.stderr.count("error:") == 1
    return done.stderr


def test_a_plugin_that_is_not_installed_is_answered_with_where_it_is(workshop):
    (workshop / "fuki.toml").write_text(RECIPE + FIRMWARE.format("oci"))
    error = without_plugins("plan", cwd=workshop)
    assert "add 'clouds' to plugins in [fuki]" in error
    assert "pip install ./plugins/fuki-clouds" in error


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("clouds", "in fuki's sources: pip install ./plugins/fuki-clouds"),
        ("oci", "the platform 'oci' is given by the plugin 'clouds'"),
        ("cloud", "did you mean 'clouds'?"),
        ("zenith", "'fuki plugins' lists those that are installed"),
    ],
)
def test_a_plugin_that_is_not_there_is_answered_without_an_invented_name(workshop, name, hint):
    error = without_plugins("--plugin", name, "plan", cwd=workshop)
    assert f"hint: {hint}" in error
    assert f"pip install fuki-{name}" not in error


def test_a_verb_of_a_plugin_is_answered_with_the_plugin(tmp_path):
    outcome = invoke(tmp_path, "boot", "image.efi")
    assert outcome.code == 2
    assert "The plugin 'qemu' gives it: fuki --plugin qemu boot" in outcome.err


def test_a_name_that_is_nearly_a_plugin_s_is_answered_with_it(workshop):
    (workshop / "fuki.toml").write_text(RECIPE + FIRMWARE.format("hetzer"))
    assert "did you mean 'hetzner'?" in refused(workshop, "plan")
