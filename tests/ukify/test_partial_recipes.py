"""Partial recipes: found beside a call of `fuki ukify`, and taken together with it by one rule."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import parts
import pytest

from fuki_build.errors import RecipeError
from fuki_build.image.inspect import inspect
from fuki_build.recipe.caller import Caller, merge
from fuki_build.testing import partial_recipe
from fuki_build.ukify.partial import find_partial

Ukify = Callable[..., subprocess.CompletedProcess[str]]

RECIPE = partial_recipe(
    """
[[fuki.firmware]]
source = "directory"
path = "firmware/generic"
platforms = ["qemu:q35"]
""",
    version="41",
    cmdline="of the recipe",
    os_release={"text": "ID={{ name }}-{{ version }}"},
    sections={".note": {"text": "of the recipe"}},
)
PROFILE = """\
[[fuki.profile]]
id = "debug"
cmdline = "of the recipe"
[[fuki.profile.firmware]]
source = "directory"
path = "firmware/sev"
platforms = ["qemu:q35"]
[[fuki.profile]]
id = "rescue"
cmdline = "rescue"
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    links = {
        "stub": "stub-x64",
        "addon-stub": "addon-stub-x64",
        "kernel": "kernel-x64",
        "recipes/firmware/generic/OVMF.fd": "ovmf-generic",
        "recipes/firmware/sev/OVMF.fd": "ovmf-amdsev",
    }
    for name, part in links.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(parts.get(part))
    return tmp_path


@pytest.fixture
def ukify(directory: Path) -> Ukify:
    """Run `fuki ukify build` with the recipe in recipes/fuki.toml; `code` is the exit code to expect."""

    def run(*arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        image = ("--stub=stub", "--linux=kernel", "--output=out/image.efi")
        call = ("build", *(() if "--stub=addon-stub" in arguments else image), "--hwids=", *arguments)
        done = subprocess.run(
            [sys.executable, "-m", "fuki_build", "ukify", *call],
            cwd=directory,
            env={**os.environ, "FUKI_RECIPE": "recipes", **environment},
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


def contents(path: Path) -> dict[tuple[str, int | None], bytes]:
    """The small sections of an image, by name and profile."""
    sections = inspect(path).plain_sections
    return {(s.name, s.profile): s.content.read_small(1 << 20, "it") for s in sections if s.content.size < 1 << 20}


def write(directory: Path, text: str) -> None:
    (directory / "recipes/fuki.toml").write_text(text)


def test_what_the_caller_gives_wins_and_its_defaults_stand_behind_the_recipe(directory, ukify):
    write(directory, RECIPE)
    ukify("--cmdline=of the {{ caller }}")
    own = contents(directory / "out/image.efi")
    assert own[".cmdline", None] == b"of the {{ caller }}"
    assert own[".osrel", None] == b"ID=image-41"
    ukify("--os-release=ID=caller", "--output=other.efi")
    own = contents(directory / "other.efi")
    assert own[".osrel", None] == b"ID=caller"
    assert own[".cmdline", None] == b"of the recipe"


def test_tables_are_added_the_caller_s_first(directory, ukify):
    write(directory, RECIPE)
    ukify("--efifw=recipes/firmware/sev", "--section=.more:of the caller")
    view = inspect(directory / "out/image.efi")
    assert [s.source or s.name for s in view.plain_sections if s.name in {".efifw", ".note", ".more"}] == [
        *(".efifw", ".efifw", ".note", ".more")
    ]
    told = json.loads(_fuki(directory, "inspect", "--json", "out/image.efi"))
    assert [firmware["fwid"] for firmware in told["firmware"]] == ["sev", "generic"]
    assert [len(firmware["chids"]) for firmware in told["firmware"]] == [0, 1]


def test_a_profile_of_the_caller_gets_the_firmware_that_the_recipe_has_for_its_id(directory, ukify):
    write(directory, RECIPE + PROFILE)
    carrier = ("--stub=addon-stub", "--profile=ID=debug\nTITLE=Of the caller\n")
    ukify(*carrier, "--cmdline=of the caller", "--output=debug.efi")
    # What is only to be joined gets nothing yet.
    assert [s.name for s in inspect(directory / "debug.efi").plain_sections if s.name == ".efifw"] == []
    ukify("--join-profile=debug.efi")
    own = contents(directory / "out/image.efi")
    assert own[".profile", 0] == b"ID=main"
    assert own[".profile", 1] == b"ID=debug\nTITLE=Of the caller\n"
    assert own[".cmdline", 1] == b"of the caller"
    assert own[".profile", 2] == b"ID=rescue\n"

    told = json.loads(_fuki(directory, "inspect", "--json", "out/image.efi"))
    assert [(f["profile"], f["fwid"], len(f["chids"])) for f in told["firmware"]] == [
        (None, "generic", 1),
        (1, "sev", 1),
    ]


def test_outputs_are_written_beside_the_image_and_the_image_always_is(directory, ukify):
    output = '[[fuki.output]]\nformat = "manifest"\n[[fuki.output]]\nformat = "manifest"\npath = "sub/m.json"\n'
    write(directory, RECIPE + output)
    ukify()
    assert sorted(str(p.relative_to(directory / "out")) for p in (directory / "out").rglob("*") if p.is_file()) == [
        *("image.efi", "image.manifest.json", "sub/m.json")
    ]
    assert [p.name for p in (directory / "recipes").iterdir() if p.is_file()] == ["fuki.toml"]


def test_the_checks_of_a_recipe_refuse_and_those_of_a_plain_call_tell(directory, ukify):
    again = RECIPE[RECIPE.index("[[fuki.firmware]]") :].replace("generic", "sev")
    write(directory, RECIPE + again)
    done = ukify(code=1)
    assert "[hwids-ambiguous]" in done.stderr
    assert not (directory / "out").exists()
    (directory / "no-kernel").write_bytes(b"no PE file")
    done = ukify("--linux=no-kernel", "--uname=6", FUKI_RECIPE="")
    assert "[kernel-not-startable]" in done.stderr
    assert (directory / "out/image.efi").exists()


def test_a_mistake_in_the_recipe_is_told_at_its_key(directory, ukify):
    write(directory, RECIPE.replace("cmdline", "comandline"))
    assert "fuki.image.comandline: unknown key" in ukify(code=1).stderr
    write(directory, RECIPE.replace("firmware/generic", "firmware/missing"))
    assert "fuki.firmware[0]" in ukify(code=1).stderr


def _fuki(directory: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "fuki_build", *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True).stdout


def test_the_first_recipe_that_there_is_counts(tmp_path):
    (tmp_path / "real").mkdir()
    drop_in = tmp_path / "bin" / "ukify"
    drop_in.parent.mkdir()
    drop_in.symlink_to(tmp_path / "real" / "ukify")

    places = [
        tmp_path / "named.toml",
        tmp_path / "real" / "fuki.toml",
        tmp_path / "conf" / "fuki.toml",
        tmp_path / "etc" / "fuki" / "fuki.toml",
    ]

    environment = {"FUKI_RECIPE": str(places[0]), "KERNEL_INSTALL_CONF_ROOT": str(tmp_path / "conf")}
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(partial_recipe())

    system = tmp_path / "etc" / "fuki"
    for place in places:
        assert find_partial(drop_in, environment, system) == place
        place.unlink()
        environment.pop("FUKI_RECIPE", None)

    assert find_partial(drop_in, environment, system) is None
    (tmp_path / "etc/kernel").mkdir()
    (tmp_path / "etc/kernel/fuki.toml").write_text(partial_recipe())
    assert find_partial(None, {}, system) == tmp_path / "etc/kernel/fuki.toml"
    assert find_partial(None, {"FUKI_RECIPE": ""}, system) is None


def test_a_recipe_that_is_named_and_not_there_is_an_error(tmp_path):
    with pytest.raises(RecipeError, match="there is no recipe"):
        find_partial(None, {"FUKI_RECIPE": str(tmp_path / "missing")}, tmp_path)


def test_tables_and_defaults_are_merged_by_one_rule():
    caller = Caller(
        tables={
            "image": {"cmdline": "caller", "sections": {".a": "caller"}},
            "plugins": ["pkcs11"],
            "sign": {"backend": "caller"},
            "profile": [{"id": "debug"}, {"id": "caller"}],
        },
        defaults={"name": "default", "image": {"stub": "default", "initrd": "default"}},
    )
    recipe = {
        "image": {"cmdline": "recipe", "initrd": "recipe", "sections": {".a": "recipe", ".b": "recipe"}},
        "plugins": ["aws", "pkcs11"],
        "sign": [{"backend": "recipe"}],
        "profile": [{"id": "recipe"}, {"id": "debug", "firmware": []}],
    }
    assert merge(recipe, caller) == {
        "name": "default",
        "image": {
            "cmdline": "caller",
            "initrd": "recipe",
            "stub": "default",
            "sections": {".a": "caller", ".b": "recipe"},
        },
        "plugins": ["pkcs11", "aws"],
        "sign": [{"backend": "caller"}, {"backend": "recipe"}],
        "profile": [{"id": "debug", "firmware": []}, {"id": "caller"}, {"id": "recipe"}],
    }
