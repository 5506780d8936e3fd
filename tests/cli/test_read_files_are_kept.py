"""Whatever a verb reads, nothing that it writes replaces it, under whatever name."""

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import parts
import pytest
from _pytest.mark import ParameterSet

from fuki_build.recipe.text import template_directory
from fuki_build.testing import invoke, recipe, secure_boot, succeed
from tests.support.images import layout_of, write
from tests.support.smbios import dump, end, system

RECIPE = recipe(
    """
[[fuki.expect]]
machine = "machine.toml"

[[fuki.firmware]]
source = "file"
id = "one"
path = "one.fd"
machines = ["machine.dmi"]

[[fuki.firmware]]
source = "command"
id = "two"
command = ["sh", "make-firmware", "two.fd"]
inputs = ["used.txt"]
hwids = "hwids.json"

[fuki.sign]
backend = "local"
key = "db.key"
certificate = "db.crt"
passphrase = "file:phrase"

[[fuki.output]]
format = "uki"
path = "out/acme.efi"

[[fuki.output]]
format = "template"
path = "out/notes.txt"
template = "notes.txt.j2"
""",
    initrd=["initrd.img"],
    cmdline={"file": "cmdline.txt"},
    os_release="os-release",
    sbat={"file": "sbat.csv"},
    sections={".blob": "blob"},
)
PHRASE = "correct horse"
BUILT_FROM = (
    "stub", "vmlinuz", "initrd.img", "cmdline.txt", "os-release", "sbat.csv", "blob", "one.fd", "machine.dmi",
    "machine.toml", "make-firmware", "two.fd", "used.txt", "hwids.json", "db.key", "db.crt", "phrase", "notes.txt.j2",
    "part.j2", "fuki.toml",
)  # fmt: skip
HWIDS = {
    "type": "uefi-fw", "name": "two", "fwid": "two", "hwids": ["01e09b32-de05-56ca-b9d1-9486ad5f381d"],
}  # fmt: skip

SIGN = ("--key", "db.key", "--certificate", "db.crt", "-O", "passphrase=file:phrase")
PROGRAM = ("--backend", "command", "--certificate", "db.crt", "-O", 'command=["cat", "--", "remote.key"]')
VERBS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "build -o": (("build", "-o", "{}"), BUILT_FROM),
    "build --depfile": (("build", "--depfile", "{}"), ("db.key", "fuki.toml", "part.j2", "one.fd")),
    "build of mkosi.conf": (("build", "mkosi.conf", "-o", "{}"), ("mkosi.conf", "fuki.toml")),
    "sign": (("sign", "u.efi", "-o", "{}", *SIGN), ("db.key", "db.crt", "phrase")),
    "sign with a recipe": (("sign", "u.efi", "-o", "{}", "--recipe", "fuki.toml"), ("fuki.toml", "db.key")),
    "sign with a program": (("sign", "u.efi", "-o", "{}", *PROGRAM), ("remote.key",)),
    "attach": (
        ("attach", "u.efi", "--signatures", "signed.json", "--certificate", "db.crt", "-o", "{}"),
        ("signed.json", "db.crt"),
    ),
    "edit": (
        ("edit", "u.efi", "--set", ".linux=@vmlinuz", "--set", ".cmdline=@cmdline.txt", "--add-initrd", "initrd.img",
         "--stub", "stub", "--firmware", "one=one.fd", "--machine", "machine.dmi", "-o", "{}", *SIGN),
        ("u.efi", "vmlinuz", "cmdline.txt", "initrd.img", "stub", "one.fd", "machine.dmi", "db.key", "phrase"),
    ),
    "edit with a section": (
        ("edit", "u.efi", "--set", ".osrel=@v.efi:.osrel", "--silence", "kernel-not-startable", "-o", "{}"),
        ("v.efi",),
    ),
    "inspect --extract": (("inspect", "u.efi", "--extract", ".osrel", "-o", "{}"), ("u.efi",)),
    "report": (
        ("report", "u.efi", "-o", "{}", "--certificate", "db.crt", "--dbx", "dbx.esl", "--machine", "machine.dmi"),
        ("u.efi", "db.crt", "dbx.esl", "machine.dmi"),
    ),
    "machine show": (("machine", "show", "machine.dmi", "--save", "{}"), ("machine.dmi",)),
    "keys update": (
        ("keys", "update", "db", "new.crt", "-o", "{}", *SIGN),
        ("new.crt", "db.key", "db.crt", "phrase"),
    ),
    "keys enroll": (
        ("--plugin", "virt-firmware", "keys", "enroll", "vars.fd", "-o", "{}", "--pk", "db.crt", "--kek", "new.crt",
         "--db", "new.crt", "--dbx", "dbx.esl"),
        ("db.crt", "new.crt", "dbx.esl"),
    ),
}  # fmt: skip


@pytest.fixture
def stocked(stock: Path, tmp_path: Path) -> Path:
    return shutil.copytree(stock, tmp_path / "stocked", symlinks=True)


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory, part: Callable[[str], Path]) -> Path:
    """All that the recipe reads, and an image that it might have made."""
    workshop = tmp_path_factory.mktemp("stock")
    key = secure_boot.make_key()
    secure_boot.write_key(workshop / "db.key", key, passphrase=PHRASE)
    secure_boot.write_key(workshop / "remote.key", key)
    secure_boot.write_certificates(workshop / "db.crt", secure_boot.make_certificate("Acme", key))
    other = secure_boot.make_identity("Somebody else")
    secure_boot.write_certificates(workshop / "new.crt", other.certificate)
    (workshop / "stub").write_bytes(part("stub-x64").read_bytes())
    (workshop / "initrd.img").write_bytes(parts.initrd({"init": b"#!/bin/sh\n"}))

    for name, source in (
        ("vmlinuz", "kernel-x64"),
        ("one.fd", "ovmf-generic"),
        ("two.fd", "ovmf-amdsev"),
        ("vars.fd", "ovmf-vars"),
    ):
        (workshop / name).symlink_to(part(source))

    texts = {
        "fuki.toml": RECIPE,
        "os-release": "ID=acme\n",
        "mkosi.conf": "[Fuki]\nRecipe=fuki.toml\n",
        "cmdline.txt": "quiet",
        "sbat.csv": "sbat,1,SBAT Version,sbat,1,https://example.com\nuki.acme,1,Acme,acme,1,https://example.com\n",
        "blob": "blob",
        "make-firmware": 'cat "$1"',
        "used.txt": "by the program",
        "hwids.json": json.dumps(HWIDS),
        "phrase": PHRASE,
        "notes.txt.j2": '{% include "part.j2" %}',
        "part.j2": "{{ build.name }}",
        "machine.toml": '[machine]\nname = "nobody"\nmanufacturer = "Acme"\nproduct = "Nobody"\n',
    }

    for name, text in texts.items():
        (workshop / name).write_text(text)

    (workshop / "machine.dmi").write_bytes(dump(system({"manufacturer": "Acme", "product": "VM"}) + end()))
    write(workshop / "u.efi", layout_of([(".osrel", b"ID=acme\n", None), (".linux", b"kernel", None)]))
    shutil.copy(workshop / "u.efi", workshop / "v.efi")
    succeed(workshop, "keys", "generate", "k", "--type", "p256")
    (workshop / "dbx.esl").write_bytes((workshop / "k/db.esl").read_bytes())

    document = json.loads(succeed(workshop, "digests", "u.efi").out)
    for item in document["digests"]:
        item["signature"] = base64.b64encode(bytes(256)).decode()

    (workshop / "signed.json").write_text(json.dumps(document))
    return workshop


def identities(directory: Path) -> dict[str, tuple[int, int, int]]:
    """Which file has which name, and whether it was written to."""
    return {
        str(path.relative_to(directory)): (status.st_ino, status.st_size, status.st_mtime_ns)
        for path in sorted(directory.rglob("*"))
        if not path.is_dir()
        for status in (path.lstat(),)
    }


def kept(stocked: Path, arguments: tuple[str, ...], output: str) -> None:
    before = identities(stocked)
    outcome = invoke(stocked, *(word.replace("{}", output) for word in arguments))
    assert outcome.code == 2, outcome
    assert "would replace the input" in outcome.err
    assert outcome.err.count("error:") == 1
    assert identities(stocked) == before


def cases() -> Iterator[ParameterSet]:
    for name, (arguments, files) in VERBS.items():
        for file in files:
            yield pytest.param(arguments, file, id=f"{name} {file}")


@pytest.mark.parametrize(("arguments", "file"), list(cases()))
def test_what_a_verb_reads_it_does_not_replace(stocked, arguments, file):
    kept(stocked, arguments, file)


def _symbolic_link(stocked: Path, file: str) -> str:
    (stocked / "other").symlink_to(file)
    return "other"


def _hard_link(stocked: Path, file: str) -> str:
    (stocked / "other").hardlink_to((stocked / file).resolve())
    return "other"


def _linked_directory(stocked: Path, file: str) -> str:
    (stocked / "there").symlink_to(".")
    return f"there/{file}"


_OTHER_NAMES: dict[str, Callable[[Path, str], str]] = {
    "symbolic link": _symbolic_link,
    "hard link": _hard_link,
    "linked directory": _linked_directory,
    "absolute path": lambda stocked, file: str(stocked / file),
}


@pytest.mark.parametrize("name", _OTHER_NAMES)
@pytest.mark.parametrize(
    ("verb", "file"),
    [("build -o", "db.key"), ("build -o", "phrase"), ("sign", "db.key"), ("inspect --extract", "u.efi")],
)
def test_nor_under_another_name(stocked, verb, file, name):
    kept(stocked, VERBS[verb][0], _OTHER_NAMES[name](stocked, file))


def test_an_output_of_the_recipe_does_not_replace_the_recipe_s_key(stocked):
    (stocked / "fuki.toml").write_text(RECIPE.replace('"out/notes.txt"', '"k/../db.key"'))
    before = identities(stocked)
    outcome = invoke(stocked, "build")
    assert (outcome.code, identities(stocked)) == (2, before)
    assert "fuki.output[1]: the output would replace the input" in outcome.err


def test_an_exported_table_does_not_replace_the_image(stocked):
    succeed(stocked, "build", "-o", "table.efi", "--only", "uki")
    (stocked / "json").mkdir()
    (stocked / "json/two.json").hardlink_to(stocked / "table.efi")
    kept(stocked, ("hwids", "export", "table.efi", "{}"), "json")


def test_init_does_not_replace_the_template_that_it_reads(stocked, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new/fuki.toml").symlink_to(template_directory() / "fuki.toml.j2")
    kept(stocked, ("init", str(tmp_path / "new"), "{}"), "--force")
    assert (tmp_path / "new/fuki.toml").is_symlink()


def test_a_depfile_and_an_image_with_one_path_are_refused(stocked):
    before = identities(stocked)
    outcome = invoke(stocked, "build", "-o", "z.efi", "--depfile", "k/../z.efi")
    assert (outcome.code, identities(stocked)) == (2, before)
    assert "two outputs write z.efi" in outcome.err


class TestInPlace:
    """What the user asks to change in its place is changed there."""

    @pytest.mark.parametrize("more", [(), ("-o", "u.efi"), ("-o", "./u.efi")], ids=" ".join)
    def test_an_image_is_signed_in_its_place(self, stocked, more):
        succeed(stocked, "sign", "u.efi", *SIGN, *more)
        assert invoke(stocked, "verify", "u.efi", "--certificate", "db.crt").code == 0

    @pytest.mark.parametrize("more", [(), ("-o", "link.efi")], ids=" ".join)
    def test_what_a_link_leads_to_stays_as_it_is(self, stocked, more):
        before = (stocked / "u.efi").read_bytes()
        (stocked / "link.efi").symlink_to("u.efi")
        succeed(stocked, "sign", "link.efi", *SIGN, *more)
        assert (stocked / "u.efi").read_bytes() == before
        assert invoke(stocked, "verify", "link.efi", "--certificate", "db.crt").code == 0

    def test_several_images_are_signed_in_one_command(self, stocked):
        (stocked / "v.efi").write_bytes((stocked / "u.efi").read_bytes())
        succeed(stocked, "sign", "u.efi", "v.efi", "u.efi", *SIGN)
        assert invoke(stocked, "verify", "v.efi", "--certificate", "db.crt").code == 0

    def test_keys_are_enrolled_in_a_store_in_its_place(self, stocked):
        store = (stocked / "vars.fd").read_bytes()
        (stocked / "vars.fd").unlink()
        (stocked / "vars.fd").write_bytes(store)
        arguments, _ = VERBS["keys enroll"]
        succeed(stocked, *(word.replace("{}", "vars.fd") for word in arguments))
        assert (stocked / "vars.fd").read_bytes() != store

    def test_a_build_replaces_what_the_last_one_wrote(self, stocked):
        for _ in range(2):
            succeed(stocked, "build", "--depfile", "z.d")
        assert (stocked / "out/acme.efi").is_file()
