"""What a caller of ukify gets wrong is told at the option that brought it: every option, missing and unfit files."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import parts
import pytest

from fuki_build.testing import partial_recipe
from fuki_build.ukify.options import OPTIONS
from tests.support.ukify_calls import IMAGE, PROFILE, SIGNING, Both, Ended

OUTPUT = "refused.efi"
FILES = {
    "config": ("{}", IMAGE),
    "linux": ("{}", IMAGE),
    "os-release": ("@{}", IMAGE),
    "cmdline": ("@{}", IMAGE),
    "initrd": ("{}", IMAGE),
    "efifw": ("{}", IMAGE),
    "microcode": ("{}", IMAGE),
    "splash": ("{}", IMAGE),
    "devicetree": ("{}", IMAGE),
    "devicetree-auto": ("{}", IMAGE),
    "hwids": ("{}", IMAGE),
    "sbat": ("@{}", IMAGE),
    "pcrpkey": ("{}", IMAGE),
    "section": (".note:@{}", IMAGE),
    "profile": ("@{}", IMAGE),
    "join-profile": ("{}", IMAGE),
    "pcrsig": ("@{}", ("build", "--join-pcrsig=stub")),
    "join-pcrsig": ("{}", ("build", "--pcrsig={}")),
    "stub": ("{}", IMAGE),
    "secureboot-private-key": ("{}", (*IMAGE, "--secureboot-certificate=db.crt")),
    "secureboot-certificate": ("{}", (*IMAGE, "--secureboot-private-key=db.key")),
    "pcr-private-key": ("{}", IMAGE),
    "pcr-public-key": ("{}", (*IMAGE, "--pcr-private-key=pcr.key")),
    "pcr-certificate": ("{}", (*IMAGE, "--pcr-private-key=pcr.key")),
}
"""Every option that names a file: how, and in which call."""
NO_INPUT = {"output", "tools", "secureboot-certificate-dir"}
"""What is written, what has no effect, and pesign's database, which pesign opens."""
LENIENT = {"hwids"}
"""Where ukify takes a missing directory for an empty one."""
UNREADABLE = {
    "missing": "No such file or directory",
    "emptydir": "it is a directory|must hold exactly one file|holds no",
}


@pytest.fixture(scope="module")
def both(tmp_path_factory, lay_out, tool) -> Both:
    directory: Path = lay_out(tmp_path_factory.mktemp("places"))
    tool("openssl", "genrsa", "-out", "pcr.key", "2048", cwd=directory)

    for name in ("db", "pcr"):
        request = ("req", "-x509", "-newkey", "rsa:2048", "-noenc", "-subj", f"/CN={name}", "-keyout", f"{name}.key")
        tool("openssl", *request, "-out", f"{name}.crt", cwd=directory)

    tool("openssl", "rsa", "-in", "pcr.key", "-pubout", "-out", "pcr.pub", cwd=directory)
    (directory / "small.efi").symlink_to(parts.get("boot-x64"))
    (directory / "emptydir").mkdir()
    (directory / "garbage").write_bytes(b"garbage")
    pair = Both(directory)
    assert pair.theirs(*PROFILE, "--profile=ID=one", "--cmdline=one", "--output=one.profile").code == 0
    return pair


@pytest.fixture
def refused(both: Both) -> Callable[..., Ended]:
    """`refused(*arguments)` is how a call ended that must fail: with one error, and nothing written."""

    def refused(*arguments: str, code: int = 1, output: str = OUTPUT, **environment: str) -> Ended:
        before = sorted(both.directory.rglob("*"))
        ended = both.ours(*arguments, f"--output={output}", **environment)
        assert ended.code == code, ended.err
        assert not ended.out
        assert len([line for line in ended.err.splitlines() if line.startswith("fuki: error: ")]) == 1, ended.err
        assert sorted(both.directory.rglob("*")) == before
        return ended

    return refused


def place(ended: Ended) -> str:
    (line,) = (line for line in ended.err.splitlines() if line.startswith("fuki: error: "))
    return line.removeprefix("fuki: error: ").partition(": ")[0]


def test_every_option_that_names_a_file_is_tried():
    named = {option.name for option in OPTIONS if {"PATH", "DIR", "KEY", "TEXT|@PATH"} & {option.metavar}}
    assert named - NO_INPUT == set(FILES) - {"section"}


@pytest.mark.parametrize("file", UNREADABLE)
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_read_is_told_at_its_option(both, refused, name, file):
    form, call = FILES[name]
    arguments = (*call, f"--{name}={form.format(file)}")
    ended = refused(*arguments)
    assert place(ended) == f"--{name}"
    assert any(text in ended.err for text in UNREADABLE[file].split("|"))
    assert "fuki." not in ended.err
    theirs = both.theirs(*arguments, f"--output={OUTPUT}")
    (both.directory / OUTPUT).unlink(missing_ok=True)
    assert theirs.code == (0 if name in LENIENT else 1)


UNFIT = (
    "efifw", "hwids", "join-profile", "pcrsig", "join-pcrsig", "stub", "secureboot-private-key",
    "secureboot-certificate", "pcr-private-key", "pcr-public-key", "pcr-certificate",
)  # fmt: skip
"""Options whose files are more than packed."""


@pytest.mark.parametrize("name", UNFIT)
def test_a_file_of_another_kind_is_told_at_its_option(refused, name):
    form, call = FILES[name]
    assert place(refused(*call, f"--{name}={form.format('garbage')}")) == f"--{name}"


@pytest.mark.parametrize("option", ["--pcr-public-key", "--pcr-certificate"])
@pytest.mark.parametrize("more", [(), ("--policy-digest",)])
def test_a_public_key_that_stands_alone_is_told_at_its_option(refused, option, more):
    assert place(refused(*IMAGE, f"{option}=missing", *more)) == option


@pytest.mark.parametrize("output", ["emptydir", "os-release"])
def test_an_output_that_cannot_be_is_told_at_its_option(refused, output):
    assert place(refused(*IMAGE, output=output)) == "--output"


def test_a_program_that_is_missing_is_told_at_the_option_that_wants_it(refused):
    call = (*IMAGE, "--secureboot-certificate-name=acme", "--secureboot-certificate-dir=missing")
    assert place(refused(*call, PATH="/nonexistent")) == "--secureboot-certificate-name"


USAGE = {
    "unknown": "--no-such-option",
    "unknown in a value": "--efi-arch=vax",
    "without its value": "--linux",
}


@pytest.mark.parametrize("name", USAGE)
def test_a_wrong_option_is_a_mistake_of_usage_for_both(both, name):
    arguments = (*IMAGE[1:], f"--output={OUTPUT}", "build", USAGE[name])
    before = sorted(both.directory.rglob("*"))
    theirs, ours = both.theirs(*arguments), both.ours(*arguments)
    assert (ours.code, theirs.code) == (2, 2), theirs.err
    assert ours.err.count("Error: ") == 1
    assert sorted(both.directory.rglob("*")) == before


RECIPES = {
    "no TOML": (b"[fuki\n", "not valid TOML"),
    "no text": (b"\xff\xfe[fuki]", "not UTF-8"),
    "another table": (b"[tool]\n", "unknown table [tool]"),
    "nested": (b"fuki = " + b"[" * 5000, "nested"),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_partial_recipe_that_cannot_be_read_is_told_by_its_path(refused, tmp_path, name):
    recipe = tmp_path / "fuki.toml"
    content, message = RECIPES[name]
    recipe.write_bytes(content)
    ended = refused(*IMAGE, FUKI_RECIPE=str(recipe))
    assert place(ended) == str(recipe)
    assert message in ended.err


@pytest.mark.parametrize("kind", ["missing", "directory"])
def test_a_partial_recipe_that_is_not_there_is_told_by_the_variable(refused, tmp_path, kind):
    assert (
        place(refused(*IMAGE, FUKI_RECIPE=str(tmp_path if kind == "directory" else tmp_path / kind))) == "FUKI_RECIPE"
    )


FIRMWARE = "[[fuki.firmware]]\nsource = 'directory'\npath = '{}'\nplatforms = ['qemu:q35']\n"


@pytest.mark.parametrize(
    ("path", "arguments", "expected"),
    [
        ("missing", (), "fuki.firmware[0]"),
        ("missing", ("--efifw=firmware/ovmf-generic",), "fuki.firmware[0]"),
        ("firmware/ovmf-amdsev", ("--efifw=missing",), "--efifw"),
    ],
)
def test_a_fault_of_the_recipe_is_told_as_the_recipe_s_and_one_of_the_caller_as_the_caller_s(
    both, refused, tmp_path, path, arguments: Sequence[str], expected
):
    recipe = tmp_path / "fuki.toml"
    recipe.write_text(partial_recipe(FIRMWARE.format(both.directory / path)))
    assert place(refused(*IMAGE, *arguments, FUKI_RECIPE=str(recipe))) == expected


PROFILES = {
    "joined twice": (("--join-profile=one.profile", "--join-profile=one.profile"), "", "--join-profile"),
    "joined and the base's": (("--profile=ID=one", "--join-profile=one.profile"), "", "--join-profile"),
    "a wrong key beside a joined one": (
        ("--join-profile=one.profile",),
        "[[fuki.profile]]\nid = 'one'\ncomandline = 'x'\n",
        "fuki.profile[0].comandline",
    ),
    "twice in the recipe": ((), "[[fuki.profile]]\nid = 'a'\n[[fuki.profile]]\nid = 'a'\n", "fuki.profile[1].id"),
}


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_that_contradict_each_other_are_told_where_they_come_from(refused, tmp_path, name):
    arguments, tables, expected = PROFILES[name]
    environment = {}
    if tables:
        (tmp_path / "fuki.toml").write_text(partial_recipe(tables))
        environment["FUKI_RECIPE"] = str(tmp_path / "fuki.toml")
    ended = refused(*IMAGE, *arguments, **environment)
    assert place(ended) == expected
    assert tables or "fuki.image" not in ended.err


def test_a_signer_that_does_not_fit_its_certificate_is_told_at_an_option_of_signing(both, refused):
    openssl = ("openssl", "genrsa", "-out", "other.key", "2048")
    subprocess.run(openssl, cwd=both.directory, check=True, capture_output=True)
    ended = refused(*IMAGE, SIGNING[1], "--secureboot-private-key=other.key")
    assert place(ended).startswith("--secureboot-")


SETTINGS = {
    "Initrd": "missing",
    "Cmdline": "@missing",
    "Firmware": "missing",
    "SBAT": "@missing",
    "Splash": "missing",
    "HWIDs": "missing",
    "PCRPKey": "missing",
}


@pytest.mark.parametrize("key", SETTINGS)
def test_what_the_configuration_brings_is_told_at_its_setting(refused, tmp_path, key):
    configuration = tmp_path / "ukify.conf"
    configuration.write_text(f"[UKI]\n{key}={SETTINGS[key]}\n")
    call = [word for word in IMAGE if not word.startswith("--hwids")]
    ended = refused(*call, f"--config={configuration}")
    assert f"fuki: error: {configuration}: [UKI] {key}=: " in ended.err


def test_an_option_that_the_command_line_gives_is_told_though_the_configuration_has_it_too(refused, tmp_path):
    (tmp_path / "ukify.conf").write_text("[UKI]\nSplash=splash.bmp\n")
    assert place(refused(*IMAGE, f"--config={tmp_path / 'ukify.conf'}", "--splash=missing")) == "--splash"
