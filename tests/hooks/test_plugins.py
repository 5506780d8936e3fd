"""Plugins as distributions of their own: what loads, and what each hook gives."""

import json

import pytest

from fuki_build.testing import install_plugin
from tests.conftest import RECIPE
from tests.support.acme_plugin import NAMED, PLATFORMS, rows
from tests.support.workshop import workshop_recipe


class TestWhatLoads:
    @pytest.mark.parametrize("verb", [("build",), ("plan",), ("check",), ("plugins",), ("schema",), ("--help",)])
    def test_an_installed_plugin_that_nobody_names_is_not_imported(self, run, acme, trace, verb):
        run(*verb, path=acme)
        assert not trace.exists()

    def test_a_plugin_that_the_recipe_names_is_loaded(self, run, acme, trace, workshop):
        (workshop / "fuki.toml").write_text(NAMED)
        run("plan", path=acme)
        assert trace.exists()

    def test_a_plugin_that_the_command_line_names_is_loaded(self, run, acme, trace):
        run("--plugin", "acme", "plan", path=acme)
        assert trace.exists()

    def test_a_plugin_that_the_environment_names_is_loaded(self, run, acme, trace):
        run("plan", path=acme, FUKI_PLUGINS="acme")
        assert trace.exists()

    def test_an_unknown_plugin_is_answered_with_the_nearest(self, run, acme):
        done = run("--plugin", "akme", "plan", path=acme, code=5)
        assert "--plugin[0]: no plugin 'akme' is installed" in done.stderr
        assert "did you mean 'acme'?" in done.stderr

    def test_a_platform_of_a_plugin_that_is_not_loaded_is_answered_with_the_plugin(self, run, acme, workshop):
        (workshop / "fd.fd").write_bytes(b"x")
        text = '[[fuki.firmware]]\nsource = "file"\nid = "x"\npath = "fd.fd"\nplatforms = ["acme"]\n'
        (workshop / "fuki.toml").write_text(RECIPE + text)
        done = run("plan", path=acme, code=2)
        assert "add 'acme' to plugins" in done.stderr


class TestWhatAPluginGives:
    def test_plugins_lists_what_is_installed_without_loading_it(self, run, acme):
        row = rows(run("plugins", "--json", path=acme))["acme"]
        assert (row["distribution"], row["version"], row["state"]) == ("fuki-acme", "1.2.3", "installed")
        assert row["gives"] == {}

    def test_plugins_lists_what_a_loaded_one_gives(self, run, acme, tmp_path):
        row = rows(run("--plugin", "acme", "plugins", "--json", path=acme))["acme"]
        assert row["state"] == "loaded"
        assert row["gives"] == {
            "firmware source": ["vendor"],
            "platform": ["acme"],
            "output format": ["digest"],
            "check": ["acme-no-splash"],
            "template directory": [str(tmp_path / "site/acme-templates")],
            "command": ["greet"],
        }

    def test_plugins_lists_the_built_in_ones(self, run, acme):
        gives = {kind for row in rows(run("plugins", "--json", path=acme)).values() for kind in row["gives"]}
        assert gives == {"firmware source", "platform", "signing backend", "output format", "check"}

    def test_plugins_is_a_table_for_people(self, run, acme):
        lines = run("plugins", "--all", path=acme).stdout.splitlines()
        (line,) = [line for line in lines if line.startswith("acme ")]
        assert "fuki-acme" in line
        assert "1.2.3" in line
        assert "firmware source: vendor" in line

    def test_a_source_a_platform_and_an_output_do_their_work(self, run, acme, workshop, part):
        (workshop / "q35.fd").symlink_to(part("ovmf-generic"))
        (workshop / "fuki.toml").write_text(
            NAMED + '[[fuki.firmware]]\nsource = "vendor"\nboard-name = "q35"\nplatforms = ["acme:vm"]\n'
            '[[fuki.output]]\nformat = "uki"\npath = "a.efi"\n[[fuki.output]]\nformat = "digest"\n'
        )
        run("build", path=acme)
        view = json.loads(run("inspect", "a.efi", "--digests", "--json", path=acme).stdout)
        assert [image["fwid"] for image in view["firmware"]] == ["q35"]
        assert [device["name"] for device in view["devices"]] == ["Acme VM"]
        assert (workshop / "a.digest").read_text() == view["authenticode"]

    def test_the_options_of_a_source_are_checked(self, run, acme, workshop):
        (workshop / "fuki.toml").write_text(NAMED + '[[fuki.firmware]]\nsource = "vendor"\nboard = "q35"\n')
        done = run("plan", path=acme, code=2)
        assert "fuki.firmware[0].board: unknown key 'board'" in done.stderr
        assert "did you mean 'board-name'?" in done.stderr

    def test_the_options_of_a_source_are_in_the_schema(self, run, acme):
        schema = json.loads(run("--plugin", "acme", "schema", path=acme).stdout)
        variants = {v["properties"]["source"]["const"]: v for v in schema["$defs"]["Firmware"]["oneOf"]}
        assert variants["vendor"]["required"] == ["board-name", "source"]
        assert variants["vendor"]["description"] == "The vendor's own."

    def test_an_error_that_a_plugin_means_for_the_user_is_no_blame(self, run, acme, workshop, part):
        (workshop / "q35.fd").symlink_to(part("ovmf-generic"))
        text = '[[fuki.firmware]]\nsource = "vendor"\nboard-name = "q35"\nplatforms = ["acme:pm"]\n'
        (workshop / "fuki.toml").write_text(NAMED + text)
        done = run("plan", path=acme, code=1)
        assert "fuki.firmware[0].platforms[0]: acme has no machine 'pm'" in done.stderr

    def test_a_check_finds_and_can_be_explained_and_silenced(self, run, acme, workshop):
        (workshop / "fuki.toml").write_text(NAMED)
        assert "warning: .splash: there is no .splash [acme-no-splash]" in run("check", path=acme).stderr
        assert "It is pretty." in run("--plugin", "acme", "check", "--explain", "acme-no-splash", path=acme).stdout
        (workshop / "fuki.toml").write_text(workshop_recipe(plugins=["acme"], silence=["acme-no-splash"]))
        assert "acme-no-splash" not in run("check", path=acme).stderr

    def test_a_template_is_found_by_name_in_a_plugins_directory(self, run, acme, workshop, tmp_path):
        (tmp_path / "site/acme-templates").mkdir()
        (tmp_path / "site/acme-templates/note.j2").write_text("{{ name }} for Acme")
        (workshop / "fuki.toml").write_text(
            NAMED + '[[fuki.output]]\nformat = "template"\ntemplate = "note.j2"\npath = "n.txt"\n'
        )
        run("build", path=acme)
        assert (workshop / "n.txt").read_text() == "acme for Acme"

    def test_a_verb_is_there_when_the_plugin_is_named(self, run, acme):
        assert run("--plugin", "acme", "greet", "you", path=acme).stdout == "hello you\n"
        assert "greet" in run("--plugin", "acme", "--help", path=acme).stdout

    def test_a_verb_is_there_when_the_environment_names_the_plugin(self, run, acme):
        assert run("greet", "you", path=acme, FUKI_PLUGINS="acme").stdout == "hello you\n"

    def test_a_verb_is_not_there_when_the_plugin_is_not_named(self, run, acme):
        assert "--plugin NAME" in run("greet", "you", path=acme, code=2).stderr

    def test_the_plugins_file_is_in_the_depfile(self, run, acme, workshop, tmp_path):
        (workshop / "fuki.toml").write_text(NAMED)
        run("build", "--depfile", "d", path=acme)
        assert f"  {tmp_path}/site/fuki_acme.py" in (workshop / "d").read_text()

    def test_the_plugins_version_is_in_the_manifest(self, run, acme, workshop):
        (workshop / "fuki.toml").write_text(NAMED + '[[fuki.output]]\nformat = "manifest"\npath = "m.json"\n')
        run("build", path=acme)
        assert json.loads((workshop / "m.json").read_text())["tools"]["fuki-acme"] == "1.2.3"


class TestOrder:
    def test_contributions_are_sorted_by_name(self, run, tmp_path):
        path = install_plugin(tmp_path / "site", "many", "NAMES = ['zulu', 'alpha', 'mike']" + PLATFORMS)
        assert rows(run("plugins", "--all", "--json", path=path))["many"]["gives"]["platform"] == [
            "alpha",
            "mike",
            "zulu",
        ]

    def test_plugins_are_listed_in_one_order_whatever_the_path(self, run, tmp_path):
        one = install_plugin(tmp_path / "one", "zulu", "")
        two = install_plugin(tmp_path / "two", "alpha", "")
        first = run("plugins", "--json", path=f"{one}:{two}").stdout
        assert run("plugins", "--json", path=f"{two}:{one}").stdout == first

    def test_a_plugin_that_is_found_twice_on_the_path_is_one(self, run, acme):
        run("--plugin", "acme", "plan", path=f"{acme}:{acme}")


class TestNamesGivenTwice:
    def test_one_thing_of_two_plugins_is_an_error_that_names_both(self, run, tmp_path):
        site = tmp_path / "site"
        install_plugin(site, "one", "NAMES = ['acme']" + PLATFORMS, version="1.0")
        path = install_plugin(site, "two", "NAMES = ['acme']" + PLATFORMS, version="2.0")
        done = run("--plugin", "one", "--plugin", "two", "plan", path=path, code=5)
        assert "the platform 'acme' is given twice" in done.stderr
        assert "(distribution fuki-one 1.0)" in done.stderr
        assert "(distribution fuki-two 2.0)" in done.stderr

    def test_one_thing_twice_in_a_plugin_is_an_error(self, run, tmp_path):
        path = install_plugin(tmp_path / "site", "one", "NAMES = ['acme', 'acme']" + PLATFORMS)
        done = run("--plugin", "one", "plan", path=path, code=5)
        assert "the platform 'acme' is given twice" in done.stderr

    def test_a_built_in_name_cannot_be_taken(self, run, tmp_path):
        path = install_plugin(tmp_path / "site", "one", "NAMES = ['qemu']" + PLATFORMS)
        done = run("--plugin", "one", "plan", path=path, code=5)
        assert "the platform 'qemu' is given twice" in done.stderr
        assert "(distribution fuki-one 1.2.3)" in done.stderr
        assert "(distribution fuki-build " in done.stderr

    def test_two_distributions_of_one_plugin_name_are_an_error_that_names_both(self, run, tmp_path):
        site = tmp_path / "site"
        install_plugin(site, "acme", "", distribution="acme-one", version="1.0")
        path = install_plugin(site, "acme", "", distribution="acme-two", version="2.0")
        done = run("--plugin", "acme", "plan", path=path, code=5)
        assert "(distribution acme-one 1.0)" in done.stderr
        assert "(distribution acme-two 2.0)" in done.stderr
        assert "uninstall one" in done.stderr

    @pytest.mark.parametrize("name", ["outputs", "platforms", "rules", "sources"])
    def test_an_installed_plugin_may_have_the_name_of_a_built_in_module(self, run, tmp_path, name):
        path = install_plugin(tmp_path / "site", name, "NAMES = ['acme']" + PLATFORMS)
        listed = json.loads(run("plugins", "--all", "--json", path=path).stdout)["plugins"]
        assert [row["state"] for row in listed if row["distribution"] == f"fuki-{name}"] == ["loaded"]
