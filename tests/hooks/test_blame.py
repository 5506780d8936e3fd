"""What plugins do wrong, and who is blamed for it: plugins that cannot be loaded, or break what hooks promise."""

import pytest

from fuki_build.testing import install_plugin
from tests.support.acme_plugin import GOOD, NAMED, PLATFORMS, rows

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
