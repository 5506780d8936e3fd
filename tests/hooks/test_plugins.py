"""Plugins as distributions of their own: what loads, what each hook gives, and who is to blame."""

import json
from subprocess import CompletedProcess

import pytest

from fuki_build.testing import install_plugin
from tests.conftest import RECIPE
from tests.support.workshop import workshop_recipe

TRACE = "import os, pathlib\npathlib.Path(os.environ['FUKI_TEST_TRACE']).touch()\n"

GOOD = '''
import click
from pathlib import Path
from fuki_build import FukiError, Machine
from fuki_build.hooks import (
    FirmwareFile, FirmwareSource, Options, OutputFormat, Platform, Problem, Rule, Severity, hookimpl,
)


class VendorOptions(Options, frozen=True):
    board_name: str


class Vendor(FirmwareSource):
    """The vendor's own."""

    name = "vendor"
    Options = VendorOptions

    def fetch(self, options, context):
        path = context.directory / f"{options.board_name}.fd"
        return FirmwareFile(path, id=options.board_name, origin={"board": options.board_name})


class Acme(Platform):
    name = "acme"
    title = "Acme Cloud"
    chid_types = (9,)

    def machines(self, selector=None):
        if selector not in (None, "vm"):
            raise FukiError(f"acme has no machine {selector!r}", hint="there is: vm")
        return [Machine(name="Acme VM", manufacturer="Acme", product="VM")]


class Digest(OutputFormat):
    """The image's digest."""

    name = "digest"
    suffix = ".digest"

    def emit(self, options, build, context):
        context.write(context.path, build.uki.assembly.authenticode.encode())


def no_splash(subject):
    if not subject.layout.find(".splash"):
        yield Problem("there is no .splash", where=".splash", hint="it is pretty")


@click.command()
@click.argument("whom")
def greet(whom):
    """Greet someone."""
    click.echo(f"hello {whom}")


@hookimpl
def fuki_firmware_sources():
    return [Vendor]


@hookimpl
def fuki_platforms():
    return [Acme]


@hookimpl
def fuki_outputs():
    return [Digest]


@hookimpl
def fuki_checks():
    return [
        Rule(
            id="acme-no-splash",
            severity=Severity.WARNING,
            summary="An image has a splash",
            explanation="It is pretty.",
            check=no_splash,
        )
    ]


@hookimpl
def fuki_template_dirs():
    return [Path(__file__).parent / "acme-templates"]


@hookimpl
def fuki_commands():
    return [greet]
'''

NAMED = workshop_recipe(plugins=["acme"])


@pytest.fixture
def acme(tmp_path):
    """PYTHONPATH of a plugin that gives one of everything."""
    return install_plugin(tmp_path / "site", "acme", TRACE + GOOD)


@pytest.fixture
def trace(tmp_path):
    """The file that the plugin makes when it is imported."""
    return tmp_path / "imported"


@pytest.fixture
def run(fuki, trace):
    """The command line, with plugins on its path."""

    def run(*arguments: str, path: str, code: int = 0, **environment: str) -> CompletedProcess[str]:
        return fuki(*arguments, code=code, PYTHONPATH=path, FUKI_TEST_TRACE=str(trace), **environment)

    return run


def rows(done) -> dict[str, dict]:
    return {row["name"]: row for row in json.loads(done.stdout)["plugins"]}


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


PLATFORMS = """
from fuki_build import Machine
from fuki_build.hooks import Platform, hookimpl

def platform(key):
    class Some(Platform):
        name = key
        title = key
        chid_types = (9,)
        def machines(self, selector=None):
            return []
    return Some

@hookimpl
def fuki_platforms():
    return [platform(key) for key in NAMES]
"""


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


HOOK = "from fuki_build.hooks import hookimpl\n@hookimpl\n"
RULE = "def fuki_checks():\n    from fuki_build.hooks import Rule\n    "
CLASSES = """
import msgspec
from fuki_build.hooks import Options, OutputFormat, Platform, hookimpl
class Acme(Platform):
    name = title = "acme"
    chid_types = (9,)
    def machines(self, selector=None): return []
"""


def nested(part: str, field: str) -> str:
    """An output format whose options have `part`, the source of a class Part, in a field of this type."""
    return (
        f"from __future__ import annotations\nimport dataclasses, typing{CLASSES}{part}\n"
        f"class Nested(Options, frozen=True, kw_only=True):\n    first: str\n    parts: {field} = None\n"
        "class Vendor(OutputFormat): name, Options = 'v', Nested\n@hookimpl\ndef fuki_outputs(): return [Vendor]"
    )


LOOSE = "class Part(msgspec.Struct): board: str"
STRICT = "class Part(msgspec.Struct, forbid_unknown_fields=True): board: str"

BROKEN = {
    "does not import": ("import no_such_module_for_fuki", "ModuleNotFoundError"),
    "is no Python": ("def", "SyntaxError"),
    "exits": ("raise SystemExit(0)", "SystemExit"),
    "raises": ("raise RuntimeError('out of ideas')", "out of ideas"),
    "gives a hook that fuki does not have": (HOOK + "def fuki_no_such_hook(): return []", "fuki_no_such_hook"),
    "gives a hook with an argument too many": (HOOK + "def fuki_platforms(argument): return []", "argument"),
    "raises in a hook": (HOOK + "def fuki_platforms(): raise RuntimeError('out of ideas')", "out of ideas"),
    "complains to the user in a hook": (
        HOOK + "def fuki_platforms():\n    from fuki_build import FukiError\n    raise FukiError('out of ideas')",
        "out of ideas",
    ),
    "gives something without a name": (
        CLASSES + "class Cloud(Acme): name = ''\n@hookimpl\ndef fuki_platforms(): return [Cloud]",
        "the platform Cloud has no name",
    ),
    "gives no list": (HOOK + "def fuki_platforms(): return 7", "fuki_platforms gives 7, which is no list"),
    "gives a class alone": (
        CLASSES + "@hookimpl\ndef fuki_platforms(): return Acme",
        "fuki_platforms gives Acme, which is no list",
    ),
    "gives an instance": (
        CLASSES + "@hookimpl\ndef fuki_platforms(): return [Acme()]",
        "fuki_platforms gives an instance of Acme, not the class",
    ),
    "gives a class of another kind": (
        CLASSES + "@hookimpl\ndef fuki_signers(): return [Acme]",
        "fuki_signers gives Acme, which is no class derived from KeySigner or FileSigner",
    ),
    "gives something else": (HOOK + "def fuki_outputs(): return [object]", "no class derived from OutputFormat"),
    "gives a class without a method": (
        CLASSES + "class Cloud(Platform): name = 'cloud'\n@hookimpl\ndef fuki_platforms(): return [Cloud]",
        "fuki_platforms gives Cloud, which lacks machines",
    ),
    "gives a class that wants arguments": (
        CLASSES + "class Cloud(Acme):\n    def __init__(self, zone): pass\n"
        "@hookimpl\ndef fuki_platforms(): return [Cloud]",
        "zone",
    ),
    "gives the class of a rule": (HOOK + RULE + "return [Rule]", "gives the class Rule, not an instance of Rule"),
    "gives no rule": (HOOK + RULE + "return [7]", "fuki_checks gives 7, which is no Rule"),
    "gives a path as text": (HOOK + "def fuki_template_dirs(): return ['templates']", "which is no Path"),
    "gives a function as a verb": (HOOK + "def fuki_commands(): return [print]", "which is no Command"),
    "forgets the hookimpl": (
        CLASSES + "def fuki_platforms(): return [Acme]",
        "its function fuki_platforms is not marked",
    ),
    "has options that take anything": (
        CLASSES + "class Plain(msgspec.Struct): board: str\nclass Vendor(OutputFormat): name, Options = 'v', Plain\n"
        "@hookimpl\ndef fuki_outputs(): return [Vendor]",
        "Vendor.Options would take unknown keys",
    ),
    "has options that allow anything again": (
        CLASSES + "class Loose(Options, forbid_unknown_fields=False, frozen=True): board: str\n"
        "class Vendor(OutputFormat): name, Options = 'v', Loose\n@hookimpl\ndef fuki_outputs(): return [Vendor]",
        "Vendor.Options would take unknown keys",
    ),
    "has options that are no struct": (
        CLASSES
        + "class Vendor(OutputFormat): name, Options = 'v', dict\n@hookimpl\ndef fuki_outputs(): return [Vendor]",
        "Vendor.Options is no struct",
    ),
    **{
        f"has options that take anything in {where}": (
            nested(LOOSE, field),
            f"Vendor.Options.{path} would take unknown keys without a word: Part does not forbid them",
        )
        for where, field, path in (
            ("a field", "Part", "parts"),
            ("an optional field", "Part | None", "parts"),
            ("a list", "list[Part]", "parts[]"),
            ("a tuple of any length", "tuple[Part, ...]", "parts[]"),
            ("a tuple of two", "tuple[str, Part]", "parts[]"),
            ("a table", "dict[str, Part]", "parts.*"),
            ("a union", "str | list[Part]", "parts[]"),
            ("a described field", "typing.Annotated[list[Part], msgspec.Meta(description='boards')]", "parts[]"),
            ("tables of lists", "dict[str, list[Part] | None]", "parts.*[]"),
        )
    },
    "has options that take anything in a table of a table": (
        nested(f"{LOOSE}\nclass Whole(Options): part: Part", "list[Whole]"),
        "Vendor.Options.parts[].part would take unknown keys without a word: Part does not forbid them",
    ),
    "has options that take anything in one of two tables": (
        nested(
            "class Part(msgspec.Struct, tag='a'): board: str\n"
            "class Other(msgspec.Struct, tag='b', forbid_unknown_fields=True): slot: str",
            "Other | Part",
        ),
        "Vendor.Options.parts would take unknown keys without a word: Part does not forbid them",
    ),
    "has options with a dataclass": (
        nested("@dataclasses.dataclass\nclass Part: board: str", "list[Part]"),
        "Vendor.Options.parts[] would take unknown keys without a word: Part does not forbid them",
    ),
    "has options with a typed dictionary": (
        nested("class Part(typing.TypedDict): board: str", "Part"),
        "Vendor.Options.parts would take unknown keys without a word: Part does not forbid them",
    ),
    "has options that nothing can be converted to": (
        nested(f"{STRICT}\nclass Other(msgspec.Struct): slot: str", "Part | Other"),
        "TypeError",
    ),
}


NESTED = {
    "strict tables": (STRICT, "dict[str, list[Part]]"),
    "tables that are options": ("class Part(Options): board: str", "Part | None"),
    "a table that contains itself": ("class Part(Options): parts: list[Part] = []", "list[Part]"),
    "a table of any keys": ("", "dict[str, typing.Any]"),
    "a named tuple, which has no keys": ("class Part(typing.NamedTuple): board: str", "list[Part]"),
}


class TestNestedOptions:
    @pytest.mark.parametrize(("part", "field"), NESTED.values(), ids=NESTED)
    def test_a_plugin_may_have_options_with(self, run, tmp_path, part, field):
        path = install_plugin(tmp_path / "site", "acme", nested(part, field))
        table = rows(run("--plugin", "acme", "plugins", "--json", path=path))
        assert table["acme"]["gives"] == {"output format": ["v"]}


class TestBlame:
    @pytest.mark.parametrize(("source", "problem"), BROKEN.values(), ids=BROKEN)
    def test_a_plugin_is_blamed_by_name_and_version_that(self, run, tmp_path, source, problem):
        path = install_plugin(tmp_path / "site", "acme", source, version="4.5")
        done = run("--plugin", "acme", "plan", path=path, code=5)
        assert "plugin 'acme' (distribution fuki-acme 4.5)" in done.stderr
        assert problem in done.stderr

    @pytest.mark.parametrize(("source", "problem"), BROKEN.values(), ids=BROKEN)
    def test_plugins_still_works_and_shows_the_failure_of_one_that(self, run, tmp_path, source, problem):
        site = tmp_path / "site"
        install_plugin(site, "acme", source)
        path = install_plugin(site, "good", "NAMES = ['good']" + PLATFORMS)
        table = rows(run("plugins", "--all", "--json", path=path))
        assert table["acme"]["state"] == "failed"
        assert problem in table["acme"]["error"]
        assert table["good"]["gives"] == {"platform": ["good"]}

    def test_a_failed_plugin_gives_nothing(self, run, tmp_path):
        source = "NAMES = ['half']" + PLATFORMS + "@hookimpl\ndef fuki_template_dirs(): raise RuntimeError('late')\n"
        site = tmp_path / "site"
        install_plugin(site, "acme", source)
        path = install_plugin(site, "other", "NAMES = ['half']" + PLATFORMS)
        table = rows(run("plugins", "--all", "--json", path=path))
        assert table["acme"]["state"] == "failed"
        assert table["other"]["gives"] == {"platform": ["half"]}

    def test_an_entry_point_that_names_no_module_is_blamed(self, run, tmp_path):
        path = install_plugin(tmp_path / "site", "acme", "", value="no_such_module:thing")
        done = run("--plugin", "acme", "plan", path=path, code=5)
        assert "plugin 'acme' (distribution fuki-acme 1.2.3) cannot be imported" in done.stderr

    def test_plugins_shows_a_named_one_that_is_not_installed(self, run, acme):
        table = rows(run("--plugin", "nope", "plugins", "--json", path=acme))
        assert table["nope"]["state"] == "failed"
        assert "not installed" in table["nope"]["error"] or "no plugin 'nope'" in table["nope"]["error"]


RAISING = {
    "a source": ("class Vendor", "def fetch", 'source = "vendor"\nboard-name = "x"\n', "firmware source 'vendor'"),
    "a platform": ("class Acme", "def machines", "", "platform 'acme'"),
    "a check": ("def no_splash", "def no_splash", "", "check 'acme-no-splash'"),
}


class TestBlameWhileWorking:
    @pytest.mark.parametrize(("start", "function", "firmware", "what"), RAISING.values(), ids=RAISING)
    def test_a_plugin_is_blamed_that_raises_in(self, run, tmp_path, workshop, start, function, firmware, what):
        before, found, after = GOOD.partition(start)
        head, name, body = (found + after).partition(function)
        signature, _, rest = body.partition("\n")
        indent = " " * (8 if head != "" else 4)
        source = f"{before}{head}{name}{signature}\n{indent}raise LookupError('lost')\n{rest}"
        path = install_plugin(tmp_path / "site", "acme", source)
        (workshop / "fuki.toml").write_text(NAMED + (f"[[fuki.firmware]]\n{firmware}" if firmware else ""))
        done = run("plan", path=path, code=5)
        assert f"plugin 'acme' (distribution fuki-acme 1.2.3) failed in {what}: LookupError: lost" in done.stderr
        assert "FUKI_DEBUG=1" in done.stderr

    def test_a_plugin_is_blamed_that_raises_in_an_output_and_nothing_is_written(self, run, tmp_path, workshop):
        path = install_plugin(tmp_path / "site", "acme", GOOD.replace("context.write(", "raise LookupError('lost'); ("))
        (workshop / "fuki.toml").write_text(
            NAMED + '[[fuki.output]]\nformat = "uki"\npath = "out/a.efi"\n[[fuki.output]]\nformat = "digest"\n'
        )
        done = run("build", path=path, code=5)
        assert "plugin 'acme' (distribution fuki-acme 1.2.3) failed in output format 'digest'" in done.stderr
        assert not (workshop / "out").exists()

    def test_a_plugin_is_blamed_whose_source_gives_no_record(self, run, tmp_path, workshop):
        path = install_plugin(tmp_path / "site", "acme", GOOD.replace("return FirmwareFile(", "return ("))
        (workshop / "fuki.toml").write_text(NAMED + '[[fuki.firmware]]\nsource = "vendor"\nboard-name = "x"\n')
        done = run("plan", path=path, code=5)
        assert "plugin 'acme'" in done.stderr

    def test_a_verb_that_raises_is_blamed(self, run, tmp_path):
        path = install_plugin(tmp_path / "site", "acme", GOOD.replace("click.echo(", "raise LookupError('lost'); ("))
        done = run("--plugin", "acme", "greet", "you", path=path, code=5)
        assert "plugin 'acme' (distribution fuki-acme 1.2.3)" in done.stderr
        assert "lost" in done.stderr
