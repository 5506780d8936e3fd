"""Every mistake that a recipe's author can make is one error with place, problem and remedy, and writes nothing."""

import json
import os
from pathlib import Path

import pytest

from fuki_build.testing import invoke, refused
from tests.conftest import RECIPE

FIRMWARE = '[[fuki.firmware]]\nsource = "directory"\npath = "fw"\n'
CHID = "01e09b32-de05-56ca-b9d1-9486ad5f381d"


pytestmark = pytest.mark.workshop(
    real={"fw/OVMF.fd": "ovmf-generic"},
    files={"dir/": "", "two/a.fd": "a", "two/b.fd": "b", "sub/below/": "", "empty": "", "text": "plain text\n"},
)


@pytest.fixture
def traps(workshop: Path) -> Path:
    """The workshop, with things to trip over."""
    os.mkfifo(workshop / "fifo")
    return workshop


def swap(old: str, new: str) -> str:
    assert old in RECIPE
    return RECIPE.replace(old, new, 1)


def top(text: str) -> str:
    """The recipe with `text` among the keys of [fuki]."""
    return swap("[fuki.image]", f"{text}\n[fuki.image]")


def more(text: str) -> str:
    return RECIPE + text


CMDLINE = "root=LABEL=root"

# What is wrong: the recipe, the place that the error names, a part of the problem, a part of the remedy.
MISTAKES = {
    # keys
    "a key of [fuki] is misspelt": (swap("version", "versoin"), "fuki.versoin", "unknown key", "'version'"),
    "a key of [fuki.image] is misspelt": (swap("initrd =", "intrd ="), "fuki.image.intrd", "unknown key", "'initrd'"),
    "a table of [fuki] is misspelt": (more("[fuki.imgae]\n"), "fuki.imgae", "unknown key", "'image'"),
    "a table beside [fuki]": (more("[tool]\n"), "fuki.toml", "unknown table [tool]", "below [fuki]"),
    "a key of a profile is misspelt": (
        more('[[fuki.profile]]\nid = "a"\n[[fuki.profile]]\nid = "b"\ntitel = "x"\n'),
        "fuki.profile[1].titel",
        "unknown key",
        "'title'",
    ),
    "a key of an addon is misspelt": (
        more('[[fuki.addon]]\nname = "a"\ncmdlin = "x"\n'),
        "fuki.addon[0].cmdlin",
        "unknown key",
        "'cmdline'",
    ),
    "an option of a source is misspelt": (
        more('[[fuki.firmware]]\nsource = "directory"\npth = "fw"\n'),
        "fuki.firmware[0].pth",
        "unknown key",
        "'path'",
    ),
    "a key of all firmware is misspelt": (
        more(FIRMWARE + 'platfroms = ["qemu"]\n'),
        "fuki.firmware[0].platfroms",
        "unknown key",
        "'platforms'",
    ),
    "a key of a profile's firmware is misspelt": (
        more('[[fuki.profile]]\nid = "a"\n[[fuki.profile.firmware]]\nsource = "file"\npth = "x"\n'),
        "fuki.profile[0].firmware[0].pth",
        "unknown key",
        "'path'",
    ),
    "a key of an output is misspelt": (
        more('[[fuki.output]]\nformat = "uki"\npaht = "x"\n'),
        "fuki.output[0].paht",
        "unknown key",
        "'path'",
    ),
    "a key of a signer is misspelt": (
        more('[fuki.sign]\nbackend = "local"\nkey = "text"\nsign-kernle = true\n'),
        "fuki.sign.sign-kernle",
        "unknown key",
        "'sign-kernel'",
    ),
    "a key of an output's signer is misspelt": (
        more('[[fuki.output]]\nformat = "uki"\nsign = { backend = "local", key = "text", certifcate = "text" }\n'),
        "fuki.output[0].sign.certifcate",
        "unknown key",
        "'certificate'",
    ),
    "a signer without its backend": (
        more('[[fuki.sign]]\nkey = "text"\n'),
        "fuki.sign[0]",
        "'backend' is missing",
        "add backend",
    ),
    "a key of an inline table is misspelt": (
        swap('os-release = "os-release"', 'os-release = { txt = "ID=a" }'),
        "fuki.image.os-release.txt",
        "unknown key",
        "'text'",
    ),
    "a key that resembles nothing": (
        more('[[fuki.profile]]\nid = "a"\nzzzzzz = 1\n'),
        "fuki.profile[0].zzzzzz",
        "unknown key",
        "known keys: cmdline, dtb,",
    ),
    # types
    "a number for a text": (swap(f'"{CMDLINE} ro"', "7"), "fuki.image.cmdline", "got int", 'did you mean "7"'),
    "a number in a list of paths": (swap('"initrd.img"', "1"), "fuki.image.initrd[0]", "a string", "fuki schema"),
    "a number for the version": (swap('"41.3"', "41.3"), "fuki.version", "got float", 'did you mean "41.3"'),
    "a list for a table": ('[fuki]\nname = "a"\nimage = []\n', "fuki.image", "a table, got a list", "fuki schema"),
    "a table for a list of tables": (
        more('[fuki.profile]\nid = "a"\n'),
        "fuki.profile",
        "a list, got a table",
        "fuki schema",
    ),
    "a number for an output's path": (
        more('[[fuki.output]]\nformat = "uki"\npath = 1\n'),
        "fuki.output[0].path",
        "got int",
        'did you mean "1"',
    ),
    "a number for a source's option": (
        more('[[fuki.firmware]]\nsource = "directory"\npath = 1\n'),
        "fuki.firmware[0].path",
        "got int",
        'did you mean "1"',
    ),
    "a number for a variable": (top("[fuki.variables]\na = 1"), "fuki.variables.a", "a string", "quotes"),
    # missing keys
    "no name": (swap('name = "acme"\n', ""), "fuki:", "'name' is missing", "add name"),
    "no image": ('[fuki]\nname = "a"\n', "fuki:", "'image' is missing", "add image"),
    "no kernel": (swap('linux = "vmlinuz"\n', ""), "fuki.image.linux", "no kernel", "add linux"),
    "no stub": (swap('stub = "stub"\n', ""), "fuki.image.stub", "no stub", "efi.stub"),
    "no profile id": (more("[[fuki.profile]]\n"), "fuki.profile[0]", "'id' is missing", "add id"),
    "no addon name": (more('[[fuki.addon]]\ncmdline = "x"\n'), "fuki.addon[0]", "'name' is missing", "add name"),
    "no source": (more('[[fuki.firmware]]\nid = "fw"\n'), "fuki.firmware[0]", "'path' is missing", "add path"),
    "no option of a source": (
        more('[[fuki.firmware]]\nsource = "directory"\n'),
        "fuki.firmware[0]",
        "'path' is missing",
        "add path",
    ),
    "no format": (more('[[fuki.output]]\npath = "x"\n'), "fuki.output[0]", "'format' is missing", "add format"),
    # the file
    "no TOML": ("[fuki\n", "fuki.toml", "not valid TOML", "line 1"),
    "no table [fuki]": ("", "fuki.toml", "no table [fuki]", "fuki init"),
    "[fuki] is a number": ("fuki = 1\n", "fuki.toml", "no table [fuki]", "fuki init"),
    # texts
    "an undefined name": (
        swap(CMDLINE, "root={{ disk }}"),
        "fuki.image.cmdline",
        "'disk' is undefined",
        "known names: env, name, version",
    ),
    "a template that is no Jinja": (swap(CMDLINE, "{% if %}"), "fuki.image.cmdline", "line 1", "known names"),
    "a template that is not closed": (swap(CMDLINE, "{{ name"), "fuki.image.cmdline", "line 1", "known names"),
    "an undefined name in a profile": (
        more('[[fuki.profile]]\nid = "a"\ncmdline = "{{ nope }}"\n'),
        "fuki.profile[0].cmdline",
        "'nope' is undefined",
        "known names",
    ),
    "an undefined name in an output's path": (
        more('[[fuki.output]]\nformat = "uki"\npath = "{{ nope }}.efi"\n'),
        "fuki.output[0].path",
        "'nope' is undefined",
        "known names",
    ),
    "a variable that names a later one": (
        top('[fuki.variables]\na = "{{ b }}"\nb = "x"'),
        "fuki.variables.a",
        "'b' is undefined",
        "known names: env",
    ),
    "a division by zero": (swap(CMDLINE, "{{ 1 // 0 }}"), "fuki.image.cmdline", "zero", "known names"),
    "a text that eats all memory": (swap(CMDLINE, "{{ 'a' * 10**15 }}"), "fuki.image.cmdline", "steps", "repeat less"),
    "a macro without end": (
        swap(CMDLINE, "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
        "fuki.image.cmdline",
        "recursion",
        "known names",
    ),
    "an environment variable that was not asked for": (
        swap(CMDLINE, "{{ env.PATH }}"),
        "fuki.image.cmdline",
        "PATH",
        "known names",
    ),
    "an environment variable that is not set": (
        top('environment = ["FUKI_TEST_NOT_SET"]'),
        "fuki.environment[0]",
        "no FUKI_TEST_NOT_SET",
        "",
    ),
    "a NUL in a path": (swap('"vmlinuz"', '"a\\u0000b"'), "fuki.image.linux", "NUL", "remove"),
    # files
    "a kernel that is not there": (swap('"vmlinuz"', '"nope"'), "fuki.image.linux", "No such file", "relative"),
    "a kernel that is a directory": (swap('"vmlinuz"', '"dir"'), "fuki.image.linux", "a directory", "relative"),
    "a kernel that is a FIFO": (swap('"vmlinuz"', '"fifo"'), "fuki.image.linux", "not a regular file", "relative"),
    "an initrd that is not there": (swap('"initrd.img"', '"nope"'), "fuki.image.initrd[0]", "No such", "relative"),
    "an initrd that is a FIFO": (swap('"initrd.img"', '"fifo"'), "fuki.image.initrd[0]", "regular file", "relative"),
    "a stub that is a FIFO": (swap('"stub"', '"fifo"'), "fuki.image.stub", "not a regular file", ""),
    "a stub that is not there": (swap('"stub"', '"nope"'), "fuki.image.stub", "No such file", ""),
    "a stub that is no program": (swap('"stub"', '"text"'), "fuki.image.stub", "not a PE image", "efi.stub"),
    "a command line file that is a FIFO": (
        swap(f'"{CMDLINE} ro"', '{ file = "fifo" }'),
        "fuki.image.cmdline.file",
        "not a regular file",
        "relative",
    ),
    "an os-release that is a directory": (
        swap('"os-release"', '"dir"'),
        "fuki.image.os-release",
        "a directory",
        "relative",
    ),
    "an empty path": (swap('"vmlinuz"', '""'), "fuki.image.linux", "path is empty", ""),
    # names of things
    "an unknown source": (
        more('[[fuki.firmware]]\nsource = "directry"\npath = "fw"\n'),
        "fuki.firmware[0].source",
        "no firmware source 'directry'",
        "'directory'",
    ),
    "an unknown source that resembles none": (
        more('[[fuki.firmware]]\nsource = "zzz"\n'),
        "fuki.firmware[0].source",
        "no firmware source 'zzz'",
        "command, deb, directory, file",
    ),
    "an unknown platform": (
        more(FIRMWARE + 'platforms = ["qmu"]\n'),
        "fuki.firmware[0].platforms[0]",
        "no platform 'qmu'",
        "'qemu'",
    ),
    "an unknown machine of a platform": (
        more(FIRMWARE + 'platforms = ["qemu", "qemu:q36"]\n'),
        "fuki.firmware[0].platforms[1]",
        "no machine 'q36'",
        "q35",
    ),
    "an unknown output format": (
        more('[[fuki.output]]\nformat = "uky"\n'),
        "fuki.output[0].format",
        "no output format 'uky'",
        "'uki'",
    ),
    "an unknown check to silence": (
        top('silence = ["uname-mising"]'),
        "fuki.silence[0]",
        "no check 'uname-mising'",
        "fuki check --list",
    ),
    "an unknown architecture": (more('arch = "x86"\n'), "fuki.image.arch", "'x86'", "x64"),
    "another architecture than the stub's": (more('arch = "aa64"\n'), "fuki.image.stub", "aa64", "x64"),
    # ids and names
    "a name that is no file name": (swap('"acme"', '"a/b"'), "fuki.name", "regex", "fuki schema"),
    "a version that is no file name": (swap('"41.3"', '"../b"'), "fuki.version", "regex", "fuki schema"),
    "a profile id with a space": (more('[[fuki.profile]]\nid = "a b"\n'), "fuki.profile[0].id", "'a b'", "letters"),
    "an empty profile id": (more('[[fuki.profile]]\nid = ""\n'), "fuki.profile[0].id", "length", "fuki schema"),
    "the base's own profile id": (
        more('[[fuki.profile]]\nid = "main"\n'),
        "fuki.profile[0].id",
        "@0",
        "set fuki.image.id",
    ),
    "one profile id twice": (
        more('[[fuki.profile]]\nid = "a"\n[[fuki.profile]]\nid = "a"\n'),
        "fuki.profile[1].id",
        "'a' is given twice",
        "",
    ),
    "a title of two lines": (
        more('[[fuki.profile]]\nid = "a"\ntitle = "a\\nb"\n'),
        "fuki.profile[0].title",
        "single line",
        "",
    ),
    "one addon name twice": (
        more('[[fuki.addon]]\nname = "a"\ncmdline = "x"\n[[fuki.addon]]\nname = "a"\ncmdline = "y"\n'),
        "fuki.addon[1].name",
        "'a' is given twice",
        "",
    ),
    "an addon name that climbs": (
        more('[[fuki.addon]]\nname = "../a"\ncmdline = "x"\n'),
        "fuki.addon[0].name",
        "regex",
        "fuki schema",
    ),
    "an addon that brings nothing": (
        more('[[fuki.addon]]\nname = "a"\n'),
        "fuki.addon[0]",
        "brings nothing",
        "cmdline, dtb, dtbauto, ucode, initrd",
    ),
    "an addon with a kernel": (
        more('[[fuki.addon]]\nname = "a"\nlinux = "vmlinuz"\n'),
        "fuki.addon[0].linux",
        "no kernel of its own",
        "remove it",
    ),
    "a section name without a dot": (
        more('[fuki.image.sections]\nfoo = "text"\n'),
        "fuki.image.sections",
        "regex",
        "fuki schema",
    ),
    "a section that has a key": (
        more('[fuki.image.sections]\n".linux" = "text"\n'),
        'fuki.image.sections.".linux"',
        ".linux is not a section to name",
        "key of its own",
    ),
    "an SBAT line without a generation": (more('sbat = ["acme"]\n'), "fuki.image.sbat", "'acme'", "component,"),
    "an SBAT line that shim fails the table for": (
        more('sbat = ["foo,1"]\n'),
        "fuki.image.sbat",
        "6 fields",
        "version",
    ),
    "an SBAT generation of 0": (more('sbat = ["a,0,A,a,1,u"]\n'), "fuki.image.sbat", "no generation from 1", ""),
    "an SBAT line that is not ASCII": (more('sbat = ["a,1,Ä,a,1,u"]\n'), "fuki.image.sbat", "not ASCII", ""),
    "a second line for SBAT itself": (more('sbat = ["sbat,1,A,a,1,u"]\n'), "fuki.image.sbat", "second one", ""),
    # firmware
    "an empty firmware file": (
        more('[[fuki.firmware]]\nsource = "file"\nid = "x"\npath = "empty"\n'),
        "fuki.firmware[0]",
        "is empty",
        "",
    ),
    "firmware without an id": (
        more('[[fuki.firmware]]\nsource = "file"\npath = "fw/OVMF.fd"\n'),
        "fuki.firmware[0]",
        "has no id",
        "add id",
    ),
    "firmware that is not there": (
        more('[[fuki.firmware]]\nsource = "file"\nid = "x"\npath = "nope"\n'),
        "fuki.firmware[0]",
        "No such file",
        "relative",
    ),
    "firmware that is a FIFO": (
        more('[[fuki.firmware]]\nsource = "file"\nid = "x"\npath = "fifo"\n'),
        "fuki.firmware[0]",
        "not a regular file",
        "relative",
    ),
    "a firmware id that is too long": (
        more(FIRMWARE + f'id = "{"x" * 5000}"\n'),
        "fuki.firmware[0].id",
        "4095 bytes",
        "",
    ),
    "a firmware directory with nothing in it": (
        more(FIRMWARE.replace('"fw"', '"dir"')),
        "fuki.firmware[0]",
        "exactly one file, there is: nothing",
        "",
    ),
    "a firmware directory with two files": (
        more(FIRMWARE.replace('"fw"', '"two"')),
        "fuki.firmware[0]",
        "exactly one file, there is: a.fd, b.fd",
        "move the others",
    ),
    "a firmware directory with a directory in it": (
        more(FIRMWARE.replace('"fw"', '"sub"')),
        "fuki.firmware[0]",
        "exactly one file, there is: below/",
        "move the others",
    ),
    "a firmware directory that is a file": (
        more(FIRMWARE.replace('"fw"', '"text"')),
        "fuki.firmware[0]",
        "Not a directory",
        "",
    ),
    # outputs
    "two outputs of one path": (
        more('[[fuki.output]]\nformat = "uki"\npath = "a"\n[[fuki.output]]\nformat = "manifest"\npath = "a"\n'),
        "fuki.output[1]",
        "two outputs write a",
        "path of its own",
    ),
    "two outputs of one path, spelt differently": (
        more('[[fuki.output]]\nformat = "uki"\npath = "a"\n[[fuki.output]]\nformat = "manifest"\npath = "dir/../a"\n'),
        "fuki.output[1]",
        "two outputs write",
        "path of its own",
    ),
    "an output in the place of an input": (
        more('[[fuki.output]]\nformat = "uki"\npath = "dir/../initrd.img"\n'),
        "fuki.output[0]",
        "replace the input",
        "",
    ),
    "a template that is not there": (
        more('[[fuki.output]]\nformat = "template"\npath = "a.txt"\ntemplate = "nope.j2"\n'),
        "fuki.output[0]",
        "no template 'nope.j2'",
        "looked in",
    ),
    "a template output without a template": (
        more('[[fuki.output]]\nformat = "template"\npath = "a.txt"\n'),
        "fuki.output[0]",
        "'template' is missing",
        "add template",
    ),
}


@pytest.mark.parametrize(("recipe", "place", "problem", "remedy"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_error_with_place_problem_and_remedy(traps, recipe, place, problem, remedy):
    (traps / "fuki.toml").write_text(recipe)
    error = refused(traps, "build")
    assert error.startswith(f"fuki: error: {place}")
    assert problem in error
    assert remedy in error


HWIDS = {
    "damaged JSON": ("{", "not systemd's hwids JSON"),
    "a list": ([], "not systemd's hwids JSON"),
    "no hwids": ({"type": "uefi-fw", "name": "n", "fwid": "fw"}, "hwids"),
    "a number for an id": ({"type": "uefi-fw", "name": "n", "fwid": "fw", "hwids": [1]}, "not systemd's hwids JSON"),
    "an unknown type": ({"type": "acpi", "name": "n", "fwid": "fw", "hwids": [CHID]}, "unknown type 'acpi'"),
    "no fwid": ({"type": "uefi-fw", "name": "n", "hwids": [CHID]}, "'fwid'"),
    "a fwid and a compatible": (
        {"type": "uefi-fw", "name": "n", "fwid": "fw", "compatible": "c", "hwids": [CHID]},
        "'compatible'",
    ),
    "another fwid": ({"type": "uefi-fw", "name": "n", "fwid": "other", "hwids": [CHID]}, "'other'"),
    "a devicetree's": ({"type": "devicetree", "name": "n", "compatible": "fw", "hwids": [CHID]}, "devicetree"),
    "no ids": ({"type": "uefi-fw", "name": "n", "fwid": "fw", "hwids": []}, "list of hardware ids is empty"),
    "an id that is no UUID": ({"type": "uefi-fw", "name": "n", "fwid": "fw", "hwids": ["x"]}, "'x' is not a hardware"),
}


@pytest.mark.parametrize(("content", "problem"), HWIDS.values(), ids=HWIDS)
def test_a_hardware_id_file_is_refused_for(traps, content, problem):
    (traps / "hw.json").write_text(content if isinstance(content, str) else json.dumps(content))
    (traps / "fuki.toml").write_text(more(FIRMWARE + 'hwids = "hw.json"\n'))
    error = refused(traps, "build")
    assert error.startswith("fuki: error: fuki.firmware[0].hwids")
    assert problem in error


def test_a_hardware_id_directory_without_json_is_refused(traps):
    (traps / "fuki.toml").write_text(more('hwids = "dir"\n'))
    assert "fuki.image.hwids: dir holds no *.json" in refused(traps, "build")


def test_a_hardware_id_directory_that_is_not_there_is_refused(traps):
    (traps / "fuki.toml").write_text(more('hwids = "nope"\n'))
    assert "fuki.image.hwids: cannot open nope" in refused(traps, "build")


def test_a_hardware_id_in_the_recipe_that_is_no_uuid_is_refused(traps):
    (traps / "fuki.toml").write_text(more(FIRMWARE + f'chids = ["{CHID}", "x"]\n'))
    assert "fuki.firmware[0].chids[1]: 'x' is not a hardware id" in refused(traps, "build")


ESCAPES = (
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ cycler.__init__.__globals__.os.popen('touch escaped').read() }}",
    "{{ name.format.__self__.__class__ }}",
    "{{ '{0.__class__}'.format(name) }}",
    "{{ (name|attr('__class__')) }}",
    "{{ env.update({'a': 'b'}) }}",
    "{% include 'os-release' %}",
    "{% import 'os-release' as o %}",
)


@pytest.mark.parametrize("escape", ESCAPES)
def test_a_text_does_not_get_out_of_its_sandbox(traps, escape):
    (traps / "fuki.toml").write_text(RECIPE.replace(f'"{CMDLINE} ro"', f"'''{escape}'''"))
    assert refused(traps, "build").startswith("fuki: error: fuki.image.cmdline: this text cannot be rendered")


def test_a_directory_without_a_recipe_is_refused_with_the_way_to_one(tmp_path):
    error = refused(tmp_path, "plan")
    assert str(tmp_path) in error
    assert "fuki init" in error


def test_a_recipe_that_is_not_there_is_refused(tmp_path):
    assert "cannot open nope.toml" in refused(tmp_path, "plan", "nope.toml")


def test_a_recipe_that_is_a_fifo_is_refused_without_waiting(traps):
    assert "not a regular file" in refused(traps, "plan", "fifo")


def test_a_recipe_that_is_not_utf8_is_refused(traps):
    (traps / "fuki.toml").write_bytes(b'[fuki]\nname = "\xff"\n')
    assert "fuki.toml: it is not UTF-8 text (byte 15)" in refused(traps, "plan")


def test_toml_nested_without_end_is_refused(traps):
    (traps / "fuki.toml").write_text("a = " + "[" * 100_000)
    assert "line 1 has 100004 characters" in refused(traps, "plan")


def test_a_plugin_that_is_not_installed_is_refused(traps):
    (traps / "fuki.toml").write_text(top('plugins = ["zenith"]'))
    error = refused(traps, "build", code=5)
    assert error.startswith("fuki: error: fuki.plugins[0]: no plugin 'zenith' is installed")
    assert "pip install" not in error


def test_an_unknown_verb_is_answered_with_the_nearest(tmp_path):
    outcome = invoke(tmp_path, "biuld")
    assert outcome.code == 2
    assert "'build'" in outcome.err


def test_an_empty_initrd_is_left_out_and_no_error(traps):
    (traps / "fuki.toml").write_text(swap('"initrd.img"', '"empty"'))
    assert invoke(traps, "build").code == 0
    assert '".initrd"' not in invoke(traps, "inspect", "acme_41.3.efi", "--json").out


def test_the_working_directory_does_not_matter_for_paths(traps, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert invoke(elsewhere, "build", traps).code == 0
    assert (traps / "acme_41.3.efi").is_file()
    assert not list(Path(elsewhere).iterdir())
