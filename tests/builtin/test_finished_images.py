"""Output formats of finished images: the same as from a recipe, filtered, and of plugins."""

import json
from pathlib import Path

import parts
import pytest

from fuki_build import plan
from fuki_build.emit.hermetic import input_paths
from fuki_build.emit.outputs import choose_outputs
from fuki_build.testing import install_plugin, succeed
from tests.support.workshop import IMAGE, add

SIGN = """
[fuki.sign]
backend = "local"
key = "keys/db.key"
certificate = "keys/db.pem"
[[fuki.addon]]
name = "serial"
cmdline = "console=ttyS1"
[[fuki.output]]
format = "addon"
"""
BOOT = """
[[fuki.output]]
format = "predictions"
banks = ["sha256", "sha384"]
secure-boot = true
secure-boot-variables = ["PK=keys/PK.auth", "KEK=keys/KEK.auth", "db=keys/db.auth"]
loaders = ["menu.efi"]
shim = true
console = "console=ttyS0"
options = "quiet"
smbios-options = "debug"
boot-secret = false
global-addons = ["global.addon.efi"]
rtmrs = true
disk = "disk.raw"
host-firmware = "host.fd"
"""
OPTIONS = [
    *("--bank", "sha256", "--bank", "sha384", "--secure-boot", "on"),
    *("--variable", "PK=keys/PK.auth", "--variable", "KEK=keys/KEK.auth", "--variable", "db=keys/db.auth"),
    *("--loader", "menu.efi", "--shim", "--console", "console=ttyS0", "--options", "quiet"),
    *("--smbios-options", "debug", "--no-boot-secret", "--global-addon", "global.addon.efi"),
    *(
        "--rtmr",
        "--disk",
        "disk.raw",
        "--host-firmware",
        "host.fd",
        "--addon",
        "acme_41.3.efi.extra.d/serial.addon.efi",
    ),
]
PLUGIN = r"""
from fuki_build.hooks import OutputFormat, PredictionOptions, PredictionOutput, hookimpl

class RegistersOptions(PredictionOptions, frozen=True, kw_only=True):
    separator: str = " "

class Registers(PredictionOutput):
    '''Lines of registers.'''
    name = "registers"
    suffix = ".registers.txt"
    Options = RegistersOptions

    def emit(self, options, build, context):
        view = self.view(options, build)
        words = ((str(register.pcr), *register.values.values()) for c in view.predictions for register in c.registers)
        context.write(context.path, "".join(options.separator.join(line) + "\n" for line in words).encode())

class Pair(OutputFormat):
    '''Two files.'''
    name = "pair"
    suffix = ".pair"

    def emit(self, options, build, context):
        context.write(context.path, build.name.encode())
        context.write(context.path.with_name("second"), build.uki.assembly.authenticode.encode())

@hookimpl
def fuki_outputs():
    return [Registers, Pair]
"""


@pytest.fixture
def signed(directory: Path) -> Path:
    """The same, signed with keys that machines trust, as is all that starts beside it."""
    succeed(directory, "keys", "generate", "keys", "--name", "Acme")
    (directory / "global.addon.efi").write_bytes(parts.get("addon-stub-x64").read_bytes())
    for name in ("menu.efi", "global.addon.efi"):
        succeed(directory, "sign", name, "--key", "keys/db.key", "--certificate", "keys/db.pem")
    (directory / "host.fd").symlink_to(parts.get("ovmf-generic"))
    (directory / "disk.raw").write_bytes(b"\0" * (1 << 20))
    add(directory, SIGN)
    return directory


@pytest.mark.parametrize("only", [(), ("--only", "predictions")], ids=["image", "predictions alone"])
def test_a_recipe_predicts_with_the_same_boot_options_as_the_verb(only, signed):
    """Also where no output writes the image: what vouches for it is in a signature that is made all the same."""
    succeed(signed, "build")
    told = json.loads(succeed(signed, "--plugin", "virt", "measure", IMAGE, *OPTIONS, "--json").out)
    add(signed, BOOT)
    succeed(signed, "build", *only)
    written = json.loads((signed / "acme_41.3.predictions.json").read_text())

    assert written["boot"] == told["boot"]
    assert set(written["boot"]["variables"]) == {"PK", "KEK", "db"}
    assert written["boot"]["addons"] == ["serial.addon.efi"]
    for built, read in zip(written["predictions"], told["predictions"], strict=True):
        assert [built[name] for name in ("registers", "events", "rtmrs")] == [
            read[name] for name in ("registers", "events", "rtmrs")
        ]
        assert {register["pcr"] for register in built["registers"]} == {0, 1, 4, 7, 9, 11, 12}
        assert all(register["values"] for register in built["registers"] if register["pcr"] == 7)


def test_a_format_of_the_verb_has_the_bytes_of_the_recipes_output(signed):
    add(signed, BOOT)
    add(signed, '[[fuki.output]]\nformat = "keylime"\nfirmware = ["ovmf"]\nprofiles = ["other"]\n')
    succeed(signed, "build")
    verb = ["--plugin", "virt", "measure", IMAGE, "--format"]
    told = json.loads(succeed(signed, *verb, "predictions", *OPTIONS).out)
    written = json.loads((signed / "acme_41.3.predictions.json").read_text())
    assert told | {"image": ""} == written | {"image": ""}
    filters = ["--firmware", "ovmf", "--profile", "other", *OPTIONS[-2:]]
    policy = succeed(signed, *verb, "keylime", *filters).out
    assert policy == (signed / "acme_41.3.keylime.json").read_text()


def test_components_for_systemd_pcrlock_have_its_names(signed):
    """Those of systemd-pcrlock(8) for what firmware measures of itself, of Secure Boot, and of what that lets start."""
    succeed(signed, "build")
    options = [word for word in OPTIONS if word != "--rtmr"]
    del options[options.index("--disk") : options.index("--disk") + 2]
    succeed(signed, "measure", IMAGE, "--format", "pcrlock", *options, "--output", "pcrlock.d")
    components: dict[str, set[int]] = {}
    for file in (signed / "pcrlock.d").glob("*/*.pcrlock"):
        pcrs = {record["pcr"] for record in json.loads(file.read_text())["records"]}
        components.setdefault(file.parent.name.removesuffix(".pcrlock.d"), set()).update(pcrs)
    assert components.pop("250-firmware-code-early", {0}) == {0}
    assert components == {
        "240-secureboot-policy": {7},
        "620-secureboot-authority": {7},
        "650-uki": {4, 11, 12},
        "710-kernel-cmdline": {9},
        "720-kernel-initrd": {9},
    }


def cases(directory: Path, *arguments: str) -> list[tuple[str, str | None, bool]]:
    verb = ["--plugin", "virt", "measure", IMAGE, *arguments]
    for way in (["--json"], ["--format", "predictions"]):
        told = json.loads(succeed(directory, *verb, *way).out)
        cases = [(case["profile-id"], case["fwid"], bool(case["machines"])) for case in told["predictions"]]
    return cases


def test_filters_leave_what_is_asked_for(directory):
    succeed(directory, "build")
    assert len(cases(directory)) == 4
    assert cases(directory, "--profile", "other", "--firmware", "ov*") == [("other", "ovmf", True)]
    assert [case[:2] for case in cases(directory, "--firmware", "")] == [("main", None), ("other", None)]
    assert cases(directory, "--platform", "qemu:q35") == [("main", "ovmf", True), ("other", "ovmf", True)]
    assert cases(directory, "--profile", "0", "--profile", "other", "--firmware", "", "--firmware", "ovmf")[1:3] == [
        ("main", "ovmf", True),
        ("other", None, True),
    ]


def test_a_recipes_output_has_the_filters(directory):
    add(directory, '[[fuki.output]]\nformat = "predictions"\nmachines = ["QEMU q35"]\nprofiles = ["other"]\n')
    succeed(directory, "build")
    (case,) = json.loads((directory / "acme_41.3.predictions.json").read_text())["predictions"]
    assert (case["profile-id"], case["fwid"], case["machines"]) == ("other", "ovmf", ["QEMU q35"])


def test_formats_of_plugins_work_from_the_command_line(directory, tmp_path, monkeypatch):
    succeed(directory, "build")
    monkeypatch.syspath_prepend(install_plugin(tmp_path / "site", "registers", PLUGIN))
    verb = ["--plugin", "registers", "measure", IMAGE]
    told = json.loads(succeed(directory, *verb, "--json", "--pcr", "11", "--firmware", "ovmf").out)
    lines = [f"11;{r['values']['sha256']}\n" for case in told["predictions"] for r in case["registers"]]
    options = ["--format", "registers", "--pcr", "11", "--firmware", "ovmf", "--set", "separator=;"]
    assert succeed(directory, *verb, *options).out == "".join(lines)
    succeed(directory, *verb, "--format", "pair", "--output", "first")
    assert (directory / "first").read_text() == IMAGE.removesuffix(".efi")
    assert (directory / "second").read_text() in succeed(directory, "inspect", IMAGE, "--digests").out


def test_files_that_options_name_are_among_what_a_build_depends_on(signed):
    add(signed, BOOT)
    succeed(signed, "build", "--depfile", "image.d")
    dependencies = (signed / "image.d").read_text().replace("\\\n", " ").split()
    names = {"host.fd", "menu.efi", "global.addon.efi", "disk.raw", "keys/PK.auth", "keys/KEK.auth", "keys/db.auth"}
    assert {str(Path(path)) for path in dependencies} >= names
    with plan(signed / "fuki.toml") as planned:
        inputs = input_paths(planned, choose_outputs(planned))
    assert {str(Path(path).relative_to(signed)) for path in inputs if Path(path).is_relative_to(signed)} >= names
