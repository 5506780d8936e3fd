"""Tables, names and errors of `[Fuki]`, held against the same recipe in fuki.toml."""

import tomllib

import pytest

from fuki_build import load_recipe
from fuki_build.recipe.caller import Caller
from fuki_build.testing import invoke, refused, succeed
from fuki_build.testing.secure_boot import make_identity, write_certificates, write_key
from fuki_build.ukify.partial import image_settings
from tests.conftest import RECIPE
from tests.support.mkosi_form import as_section, as_toml
from tests.support.rich import WRITTEN, make_rich, rich_recipe

EVERYTHING = """
[[fuki.expect]]
machine = "qemu:q35"
firmware = "one"
profile = "debug"

[fuki.hand-over]
interface = "vm-launch-update"
on-failure = "power-off"

[fuki.sign]
backend = "local"
key = "db.key"
certificate = "db.crt"

[[fuki.pcr-policy]]
key = "db.key"
phases = ["enter-initrd"]
profiles = ["debug"]

[[fuki.launch]]
technology = ["sev-es"]
vcpus = [1, 2]
vcpu-model = "EPYC-Milan"
policy = 5

[[fuki.output]]
format = "predictions"
pcrs = [4, 11]
boot-secret = false
"""


@pytest.fixture
def rich(workshop, part):
    """The rich recipe with tables of every kind, and the key that signs."""
    make_rich(workshop, part)
    signer = make_identity("Acme db")
    write_key(workshop / "db.key", signer.key)
    write_certificates(workshop / "db.crt", signer.certificate)
    return workshop


def test_tables_of_every_kind_build_the_same_bytes_in_both_forms(rich):
    recipe = tomllib.loads(rich_recipe(EVERYTHING))["fuki"]
    # The section has lists only, which places tell apart from a single file.
    recipe["addon"][1]["initrd"] = ["more.img"]
    # That the firmware is no IGVM file does not matter here.
    recipe = {**recipe, "plugins": ["hand-over", "coco"], "silence": ["vm-launch-update-payload"]}

    written = [*WRITTEN, "out/acme.predictions.json"]
    contents = []
    for name, text in (("fuki.toml", as_toml(recipe)), ("mkosi.conf", as_section(recipe))):
        (rich / "fuki.toml").unlink(missing_ok=True)
        (rich / name).write_text(text)
        succeed(rich, "build")
        contents.append({path: (rich / path).read_bytes() for path in written})
        for path in written:
            (rich / path).unlink()

    from_toml, from_section = contents
    for path in written:
        # What tells of the build names the recipe's file.
        assert from_section[path].replace(b"mkosi.conf", b"fuki.toml") == from_toml[path], path


@pytest.fixture
def project(workshop):
    """Write the files of an mkosi project in the place of the workshop's recipe."""

    def project(**files: str) -> None:
        (workshop / "fuki.toml").unlink(missing_ok=True)
        for name, text in files.items():
            path = workshop / {"conf": "mkosi.conf", "version": "mkosi.version", "local": "mkosi.local.conf"}.get(
                name, f"mkosi.conf.d/{name}.conf"
            )
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    return project


OUTPUT = "[Output]\nImageId=acme\nImageVersion=41.3\n"
FUKI = "[Fuki]\nStub=stub\nLinux=vmlinuz\nInitrd=initrd.img\nCmdline=root=LABEL=root ro\nOsRelease=os-release\n"


class TestNames:
    def test_mkosis_names_are_the_recipes(self, workshop, project):
        expected = load_recipe(workshop).recipe
        project(conf=OUTPUT + FUKI)
        assert load_recipe(workshop).recipe == expected

    def test_the_recipes_own_go_before_them(self, workshop, project):
        project(conf=f"{OUTPUT}{FUKI}Name=other\nVersion=2\n")
        recipe = load_recipe(workshop).recipe
        assert (recipe.name, recipe.version) == ("other", "2")

    def test_those_of_a_recipe_beside_it_go_before_them(self, workshop, project):
        (workshop / "base.toml").write_text(RECIPE.replace("acme", "base"))
        project(conf=f"{OUTPUT}[Fuki]\nRecipe=base.toml\n")
        assert load_recipe(workshop).recipe.name == "base"

    def test_specifiers_stand_for_them(self, workshop, project):
        project(conf=f"{OUTPUT}{FUKI}Output=format=uki path=out/%i-%v.efi\nTitle=100%% of %i\nVariables=a=%v\n")
        recipe = load_recipe(workshop).recipe
        assert recipe.output == ({"format": "uki", "path": "out/acme-41.3.efi"},)
        assert (recipe.image.title, recipe.variables) == ("100% of acme", {"a": "41.3"})

    def test_those_of_the_running_mkosi_go_before_its_files(self, workshop, project):
        project(conf=f"{OUTPUT}{FUKI}Title=%i %v\n")
        given = image_settings(workshop / "mkosi.conf", {"IMAGE_ID": "acme", "IMAGE_VERSION": "42"})
        recipe = load_recipe(workshop, Caller(image=given)).recipe
        assert (recipe.version, recipe.image.title) == ("42", "acme 42")
        assert image_settings(workshop / "fuki.toml", {"IMAGE_VERSION": "42"}) == {}

    def test_statements_of_templates_are_no_specifiers(self, workshop, project):
        project(conf=f"{OUTPUT}{FUKI}Title={{% if name %}}%i{{% endif %}} {{{{ version }}}}\n")
        assert load_recipe(workshop).recipe.image.title == "acme 41.3"

    @pytest.mark.parametrize(
        ("files", "version"),
        [
            ({"version": "7\n"}, "7"),
            ({"version": "7\n", "conf": "[Output]\nImageId=acme\nImageVersion=8 # why\n"}, "8"),
            ({"conf": OUTPUT, "a": "[Output]\nImageVersion=9\n", "b": "[Output]\nImageVersion=10\n"}, "10"),
            ({"conf": OUTPUT, "a": "[Output]\nImageVersion=9\n", "local": "[Output]\nImageVersion=11\n"}, "11"),
            ({"conf": OUTPUT, "a": "[Content]\nImageVersion=9\n"}, "41.3"),
            ({"conf": OUTPUT, "a": "[Output]\nImageVersion=\n"}, ""),
        ],
        ids=lambda value: value if isinstance(value, str) else "-".join(value),
    )
    def test_the_last_of_mkosis_files_counts(self, workshop, project, files, version):
        files = {"conf": "[Output]\nImageId=acme\n", **files}
        project(**{**files, "conf": files["conf"] + FUKI})
        assert load_recipe(workshop).recipe.version == version

    def test_a_version_that_a_program_prints_is_not_guessed(self, workshop, project):
        project(conf=f"[Output]\nImageId=acme\n{FUKI}", version="#!/bin/sh\necho 7\n")
        (workshop / "mkosi.version").chmod(0o755)
        error = refused(workshop, "plan", code=2)
        assert "mkosi.version: ImageVersion= is what the program mkosi.version prints" in error
        assert "say Version= in [Fuki]" in error

    @pytest.mark.parametrize(
        ("file", "problem"),
        [
            ("[Match]\nArchitecture=x86-64\n[Output]\nImageId=a\n", "a.conf:4: ImageId= depends on [Match]"),
            ("[Output]\nImageId=%d-appliance\n", "a.conf:2: ImageId= is %d-appliance, which mkosi expands"),
            ("[Output]\nImageId=two words\n", "a.conf:2: ImageId=two words has more than letters"),
        ],
    )
    def test_a_name_that_only_mkosi_knows_is_asked_for(self, workshop, project, file, problem):
        project(conf=OUTPUT + FUKI, a=file)
        error = refused(workshop, "plan", code=2)
        assert problem in error
        assert "say Name= in [Fuki]" in error
        project(conf=f"{OUTPUT}{FUKI}Name=own\n")
        assert load_recipe(workshop).recipe.name == "own"

    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            ("Title=%d", "mkosi.conf:7: Title=: unknown specifier '%d'"),
            ("Title=50%", "mkosi.conf:7: Title=: unknown specifier '%'"),
            ("Title=%i", "mkosi.conf:7: Title=: %i stands for ImageId=, which is not set"),
        ],
    )
    def test_a_specifier_that_stands_for_nothing_is_refused(self, workshop, project, line, problem):
        project(conf=f"{FUKI}{line}\n")
        error = refused(workshop, "plan", code=2)
        assert problem in error
        assert "write %% for a percent sign" in error


class TestErrors:
    @pytest.mark.parametrize(
        ("lines", "place"),
        [
            ("Name=a/b\n", "mkosi.conf:7: fuki.name: "),
            ("Profile=id=a\n    id=b titel=x\n", "mkosi.conf:8: fuki.profile[1].titel: unknown key"),
            ("Linux=missing\n", "mkosi.conf:7: fuki.image.linux: "),
            ("Firmware=source=file id=a path=missing\n", "mkosi.conf:7: fuki.firmware[0]: cannot open"),
            ("Firmware=source=file id=a\n", "mkosi.conf:7: fuki.firmware[0]: 'path' is missing"),
            ("Output=format=manifest svn=1\n", "mkosi.conf:7: fuki.output[0].svn: unknown key"),
            ("Sign=backend=local key=missing\n", "mkosi.conf:7: fuki.sign"),
            ("Expect=machine=nowhere\n", "mkosi.conf:7: fuki.expect[0].machine: "),
            ("Launch=vcpus=many\n", "mkosi.conf:7: fuki.launch[0].vcpus"),
            ("Plugins=nothing\n", "mkosi.conf:7: fuki.plugins[0]: "),
            ("Variables='x={{ y }}'\n", "mkosi.conf:7: fuki.variables.x: "),
            ("Output=format=igvm uki=maybe\n", "mkosi.conf:7: fuki.output[0].uki: "),
            ("Output=format=uki path=a path=b\n", "mkosi.conf:7: Output=: 'path' is there twice"),
        ],
    )
    def test_an_error_names_file_and_line(self, workshop, project, lines, place):
        project(conf=FUKI + lines, z="[Output]\nImageId=acme\n")
        outcome = invoke(workshop, "build")
        assert outcome.code
        assert f"error: {place}" in outcome.err

    def test_tables_of_a_drop_in_have_its_lines(self, workshop, project):
        project(conf=f"{OUTPUT}{FUKI}Profile=id=a\n", b="# more\n[Fuki]\nProfile=id=b\nProfile=id=c titel=x\n")
        error = refused(workshop, "plan", code=2)
        assert "mkosi.conf.d/b.conf:4: fuki.profile[2].titel: unknown key 'titel'" in error

    def test_what_a_caller_gives_is_not_the_files(self, workshop, project):
        project(conf=OUTPUT + FUKI)
        error = refused(workshop, "build", "--linux", "nowhere", code=2)
        assert "mkosi.conf" not in error

    def test_a_recipe_beside_it_keeps_its_places(self, workshop, project):
        (workshop / "base.toml").write_text(RECIPE + '[[fuki.profile]]\nid = "a"\ntitel = "x"\n')
        project(conf="[Fuki]\nRecipe=base.toml\nProfile=id=b\n")
        assert "base.toml: fuki.profile[0].titel: " in refused(workshop, "plan", code=2)

    @pytest.mark.parametrize("name", ["conf", "a"])
    def test_an_mkosi_conf_without_the_section_is_named(self, workshop, project, name):
        project(**{name: "[Distribution]\nDistribution=debian\n"})
        error = refused(workshop, "plan", code=2)
        path = {"conf": "mkosi.conf", "a": "mkosi.conf.d/a.conf"}[name]
        assert f"{path} has no section [Fuki]" in error
        assert "hint: add [Fuki] there" in error


def test_a_section_in_a_drop_in_alone_is_a_recipe(workshop, project):
    project(a=OUTPUT + FUKI)
    assert load_recipe(workshop).recipe.name == "acme"


def test_texts_that_begin_as_toml_are_texts_where_no_table_may_stand(workshop, project):
    project(conf=f"{OUTPUT}{FUKI}Profile=id=a title='[a] b' cmdline='{{{{ name }}}} quiet'\nTitle={{x\n")
    recipe = load_recipe(workshop).recipe
    assert (recipe.profile[0].title, recipe.profile[0].cmdline, recipe.image.title) == ("[a] b", "acme quiet", "{x")
