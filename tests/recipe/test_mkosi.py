"""The [Fuki] section of an mkosi.conf says what a fuki.toml says."""

import msgspec
import pytest

from fuki_build import load_recipe
from fuki_build.recipe.model import Recipe, SignTable
from fuki_build.recipe.words import read_words
from fuki_build.testing import refused, succeed
from tests.conftest import RECIPE
from tests.support.workshop import workshop_recipe

START = """\
[Distribution]
Distribution=debian

[Fuki]
Name=acme
Version=41.3
Stub=stub
Linux=vmlinuz
Initrd=initrd.img
Cmdline=root=LABEL=root ro
OsRelease=os-release
"""


@pytest.fixture
def write(workshop):
    """Write an mkosi.conf in the place of the workshop's recipe."""

    def write(text: str) -> None:
        (workshop / "fuki.toml").unlink(missing_ok=True)
        (workshop / "mkosi.conf").write_text(text)

    return write


@pytest.fixture
def load(workshop, write):
    """A recipe as mkosi.conf and as TOML, read."""

    def load(text: str) -> Recipe:
        write(text)
        return load_recipe(workshop).recipe

    return load


def toml(workshop, text: str) -> Recipe:
    (workshop / "same.toml").write_text(text)
    return load_recipe(workshop / "same.toml").recipe


def test_the_same_recipe_in_both_syntaxes_is_the_same(workshop, load):
    assert load(START) == toml(workshop, RECIPE)


def test_both_syntaxes_build_the_same_bytes(workshop, write):
    succeed(workshop, "build")
    first = (workshop / "acme_41.3.efi").read_bytes()
    write(START)
    succeed(workshop, "build")
    assert (workshop / "acme_41.3.efi").read_bytes() == first


def test_sections_of_others_are_passed_over(workshop, load):
    other = "[Output]\nNoSuchKey=1\nthis is no assignment\n"
    assert load(START + other) == toml(workshop, RECIPE)


def test_an_mkosi_conf_without_the_section_is_no_recipe(workshop, write):
    write("[Distribution]\nDistribution=debian\n")
    assert "there is no recipe" in refused(workshop, "plan")


def test_a_fuki_toml_goes_before_an_mkosi_conf(workshop):
    (workshop / "mkosi.conf").write_text(START.replace("acme", "other"))
    assert load_recipe(workshop).recipe.name == "acme"


def test_a_list_is_words_or_a_repeated_key(load):
    recipe = load(START + 'Initrd=two.img "three four.img"\nInitrd=five.img\n')
    assert recipe.image.initrd == ("initrd.img", "two.img", "three four.img", "five.img")


def test_an_empty_assignment_clears_a_list(load):
    assert load(START + "Initrd=\nInitrd=other.img\n").image.initrd == ("other.img",)


def test_an_indented_line_continues_the_one_before(load):
    recipe = load(START + "Cmdline=quiet\n   console=ttyS0\n")
    assert recipe.image.cmdline == "quiet\nconsole=ttyS0"


def test_a_continued_list_goes_on(load):
    assert load(START + "Silence=\n    uname-missing\n    splash-format\n").silence == (
        "uname-missing",
        "splash-format",
    )


@pytest.mark.parametrize(("word", "sign_kernel"), [("on", True), ("1", True), ("Off", False), ("always", "always")])
def test_a_truth_value_is_any_word_that_mkosi_takes(load, word, sign_kernel):
    signer = load(START + f"Sign=backend=local sign-kernel={word}\n").sign
    assert read_words(signer, "here", SignTable)["sign-kernel"] == sign_kernel


def test_the_last_of_a_repeated_text_counts(load):
    assert load(START + "Cmdline=quiet\n").image.cmdline == "quiet"


def test_comments_are_passed_over(workshop, load):
    assert load(START + "# Cmdline=a\n; Cmdline=b\n") == toml(workshop, RECIPE)


@pytest.mark.parametrize(
    "cmdline",
    ["root=LABEL=a#b", "a #b", "a ;b", "#", "root=UUID=1 # 2"],
)
def test_a_comment_starts_at_the_beginning_of_a_line_only(load, cmdline):
    assert load(f"{START}Cmdline=quiet {cmdline}\n").image.cmdline == f"quiet {cmdline}"


def test_a_value_keeps_its_marks_in_every_kind_of_key(load):
    recipe = load(START + 'Initrd="a#b" c#d\nVariables=x=1#2\nProfile=id=p cmdline=a#b\n   id=q cmdline=#c\n')
    assert recipe.image.initrd == ("initrd.img", "a#b", "c#d")
    assert recipe.variables == {"x": "1#2"}
    assert [profile.cmdline for profile in recipe.profile] == ["a#b", "#c"]


def test_a_comment_among_continued_lines_is_passed_over(load):
    assert load(START + "Cmdline=quiet\n  # why\n# why\n  ;why\n  splash\n").image.cmdline == "quiet\nsplash"


def test_a_section_may_have_a_comment_behind_it(workshop, load):
    assert load(START.replace("[Fuki]", "[Fuki] # of the image")) == toml(workshop, RECIPE)


@pytest.mark.parametrize("line", ["[a]", "[a", "[Output]", "[{x}] y"])
def test_a_continued_line_that_mkosi_takes_for_a_section_is_refused(workshop, write, line):
    write(f"{START}Cmdline=quiet\n    {line}\n")
    error = refused(workshop, "plan")
    assert f"mkosi.conf:{len(START.splitlines()) + 2}: '{line}' continues a value" in error
    assert "hint: let the line begin with something else" in error


def test_variables_and_sections_are_pairs(workshop, load):
    recipe = load(START + "Variables=a=1 'b=two words'\nVariables=c=3\nSections=.foo=os-release\n")
    assert recipe == toml(
        workshop,
        workshop_recipe('[fuki.variables]\na = "1"\nb = "two words"\nc = "3"\n', sections={".foo": "os-release"}),
    )


TABLES = """\
Plugins=
Firmware=source=directory path=firmware/ovmf platforms=qemu:q35,qemu:i440fx
Firmware=source=command id=made command='["make", "{output}"]'
Profile=id=debug title='Boot with a debug shell' cmdline='root=LABEL=root ro debug'
Profile=id=storage os-release='{ text = "ID=storage" }'
Addon=name=serial cmdline=console=ttyS0,115200
Output=format=uki path=out/a.efi
Output=format=template template=a.j2 path=out/a.txt
"""

SAME_TABLES = """\
[[fuki.firmware]]
source = "directory"
path = "firmware/ovmf"
platforms = ["qemu:q35", "qemu:i440fx"]
[[fuki.firmware]]
source = "command"
id = "made"
command = ["make", "{output}"]
[[fuki.profile]]
id = "debug"
title = "Boot with a debug shell"
cmdline = "root=LABEL=root ro debug"
[[fuki.profile]]
id = "storage"
os-release = { text = "ID=storage" }
[[fuki.addon]]
name = "serial"
cmdline = "console=ttyS0,115200"
[[fuki.output]]
format = "uki"
path = "out/a.efi"
[[fuki.output]]
format = "template"
template = "a.j2"
path = "out/a.txt"
"""


def test_a_table_of_an_array_is_a_line_of_pairs(workshop, load):
    """What a plugin's options take is not known yet: tests/property/test_mkosi_form.py holds these together."""
    recipe = load(START + TABLES)
    firmware = recipe.firmware[1]
    assert firmware["command"] == '["make", "{output}"]'
    firmware["command"] = ["make", "{output}"]
    assert recipe == toml(workshop, RECIPE + SAME_TABLES)


def test_every_key_of_the_recipe_has_a_camel_case_form(load):
    """Everything of [fuki] and [fuki.image] that mkosi's syntax takes as one value."""
    recipe = load(
        START + "Arch=x64\nId=first\nTitle=A title\nUcode=u\nSplash=s\nDtb=d\nDtbauto=a b\nHwids=h\nUname=6.1\n"
        "Pcrpkey=p\nSbat=acme,1,Acme,acme,1,https://example.com/\nEnvironment=PATH\nTemplates=t\nSilence=uname-missing\n"
    )
    image = msgspec.to_builtins(recipe.image)
    assert (
        image
        | {
            "arch": "x64",
            "id": "first",
            "title": "A title",
            "ucode": "u",
            "splash": "s",
            "dtb": "d",
            "dtbauto": ("a", "b"),
            "hwids": ("h",),
            "uname": "6.1",
            "pcrpkey": "p",
            "sbat": ("acme,1,Acme,acme,1,https://example.com/",),
        }
        == image
    )
    assert (recipe.environment, recipe.templates, recipe.silence) == (("PATH",), ("t",), ("uname-missing",))


def test_recipe_names_a_toml_file_over_which_the_keys_stand(workshop, write):
    (workshop / "base.toml").write_text(RECIPE + SAME_TABLES)
    write("[Fuki]\nRecipe=base.toml\nName=other\nCmdline=quiet\nOutput=format=manifest path=m.json\n")
    recipe = load_recipe(workshop).recipe
    base = toml(workshop, RECIPE + SAME_TABLES)
    assert (recipe.name, recipe.version, recipe.image.cmdline) == ("other", base.version, "quiet")
    assert recipe.image.linux == base.image.linux
    assert recipe.output == (*base.output, {"format": "manifest", "path": "m.json"})


def test_both_files_are_dependencies(workshop, write):
    (workshop / "base.toml").write_text(RECIPE)
    write("[Fuki]\nRecipe=base.toml\n")
    succeed(workshop, "build", "--depfile", "d")
    assert {"mkosi.conf", "base.toml"} <= {line.strip(" \\") for line in (workshop / "d").read_text().splitlines()}


MISTAKES = {
    "a misspelt key": ("Linus=x\n", "mkosi.conf:12: Linus=: unknown key 'Linus'", "'Linux'"),
    "a key in the recipe's own spelling": ("os-release=x\n", "mkosi.conf:12: os-release=", "'OsRelease'"),
    "a key that resembles nothing": ("Zzzzz=x\n", "unknown key 'Zzzzz'", "known keys: Addon, Arch,"),
    "a line that is no assignment": ("nonsense\n", "mkosi.conf:12: 'nonsense' is not Key=Value", ""),
    "a table that is not pairs": ("Profile=debug\n", "mkosi.conf:12: Profile=: 'debug' is not key=value", "quote"),
    "quotes that do not match": ("Initrd='a\n", "mkosi.conf:12: Initrd=: the quotes do not match", ""),
    "an inline value that is no TOML": ("Output=format=uki sign={\n", "mkosi.conf:12: Output=", ""),
    "a misspelt key in a table": ("Profile=id=a titel=x\n", "fuki.profile[0].titel: unknown key", "'title'"),
    "a recipe elsewhere": ("Recipe=../other.toml\n", "mkosi.conf: Recipe=", "beside"),
    "a recipe that is not there": ("Recipe=nope.toml\n", "nope.toml", "No such file"),
}


@pytest.mark.parametrize(("line", "problem", "remedy"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_error_with_its_line(workshop, write, line, problem, remedy):
    write(START + line)
    error = refused(workshop, "plan")
    assert problem in error
    assert remedy in error


def test_a_recipe_whose_arrays_are_not_lists_is_an_error(workshop, write):
    (workshop / "base.toml").write_text(RECIPE + '[fuki.output]\nformat = "uki"\n')
    write("[Fuki]\nRecipe=base.toml\nOutput=format=manifest path=m.json\n")
    assert "fuki.output" in refused(workshop, "plan")


def test_a_recipe_whose_arrays_are_numbers_is_an_error(workshop, write):
    (workshop / "base.toml").write_text(RECIPE.replace("[fuki.image]", "output = 1\n[fuki.image]"))
    write("[Fuki]\nRecipe=base.toml\nOutput=format=uki\n")
    assert "fuki.output: " in refused(workshop, "plan")


def test_a_recipe_whose_image_is_no_table_is_an_error(workshop, write):
    (workshop / "base.toml").write_text('[fuki]\nname = "a"\nimage = 1\n')
    write("[Fuki]\nRecipe=base.toml\nLinux=vmlinuz\n")
    assert "fuki.image" in refused(workshop, "plan")
