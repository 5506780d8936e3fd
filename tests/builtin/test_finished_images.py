"""Output formats of finished images: the same as from a recipe, filtered, of plugins; and mistakes in options."""

import json
from pathlib import Path

import parts
import pytest

from fuki_build import plan
from fuki_build.emit.hermetic import input_paths
from fuki_build.emit.outputs import choose_outputs
from fuki_build.testing import install_plugin, invoke, refused, succeed

IMAGE = "acme_41.3.efi"
FIRMWARE = """
[[fuki.firmware]]
source = "directory"
path = "ovmf"
platforms = ["qemu:q35"]
[[fuki.profile]]
id = "other"
cmdline = "other"
[[fuki.output]]
format = "uki"
"""
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
def directory(workshop: Path) -> Path:
    """A recipe of an image with firmware and two profiles, and a boot menu."""
    (workshop / "ovmf").mkdir()
    (workshop / "ovmf" / "OVMF.fd").write_bytes(parts.get("ovmf-generic").read_bytes()[-65536:])
    (workshop / "menu.efi").write_bytes(parts.get("boot-x64").read_bytes())
    recipe = (workshop / "fuki.toml").read_text().replace("[fuki]\n", '[fuki]\nplugins = ["virt"]\n')
    (workshop / "fuki.toml").write_text(recipe + FIRMWARE)
    return workshop


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


def add(directory: Path, text: str) -> None:
    with (directory / "fuki.toml").open("a") as file:
        file.write(text)


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
        found = [(case["profile-id"], case["fwid"], bool(case["machines"])) for case in told["predictions"]]
    return found


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('profiles = ["nope"]', "fuki.output[1].profiles: there is no profile 'nope'"),
        ('variables = "nope.fd"', "fuki.output[1].variables: cannot open nope.fd"),
        ('variables = "menu.efi"', "fuki.output[1].variables: menu.efi: it has no variable store"),
        ('loaders = ["menu.efi", "os-release"]', "fuki.output[1].loaders[1]: os-release: "),
        ('secure-boot-variables = ["db"]', "fuki.output[1].secure-boot-variables[0]: 'db' is not NAME=FILE"),
        ('secure-boot-variables = ["db=os-release"]', "fuki.output[1].secure-boot-variables[0]: os-release: "),
        ('secure-boot = "yes"', "fuki.output[1].secure-boot: "),
        ('disk = "nope"', "fuki.output[1].disk: cannot open nope"),
        ('memory = "2 GiB"', "fuki.output[1].memory: '2 GiB' is no size of memory"),
        ('chipset = "q36"', "fuki.output[1].chipset: "),
        (
            'firmware-log = "os-release"',
            "fuki.output[1].firmware-log: a log of the firmware says nothing without its file",
        ),
        ("rtmr = true", "fuki.output[1].rtmr: unknown key 'rtmr'"),
    ],
)
def test_a_plan_finds_mistakes_in_options(text, expected, directory):
    add(directory, f'[[fuki.output]]\nformat = "predictions"\n{text}\n')
    code = 1 if "cannot open" in expected or "variable store" in expected or "os-release: " in expected else 2
    error = refused(directory, "plan", code=code).replace(str(directory) + "/", "")
    assert expected in error
    assert refused(directory, "build", code=code).replace(str(directory) + "/", "") == error
    assert not (directory / IMAGE).exists()


def test_a_filter_that_leaves_nothing_is_an_error_where_it_stands(directory):
    add(directory, '[[fuki.output]]\nformat = "rvps"\nfirmware = ["coreboot"]\n')
    error = refused(directory, "build")
    assert "fuki.output[1].firmware: no profile and machine selects firmware 'coreboot'" in error
    assert "what is selected: none, ovmf" in error
    assert not (directory / IMAGE).exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--format", "keylimo"], "--format: there is no output format 'keylimo'\n  hint: did you mean 'keylime'?"),
        (["--format", "uki"], "--format: the format uki tells nothing about images"),
        (["--format", "pcrlock"], "--output: the format pcrlock writes several files"),
        (["--format", "keylime", "--rtmr"], "--rtmr: the format keylime has no option 'rtmrs'"),
        (["--format", "keylime", "--set", "color=red"], "--set color: the format keylime has no option 'color'"),
        (["--format", "keylime", "--set", "color"], "--set: 'color' is not KEY=VALUE"),
        (["--format", "keylime", "--bank", "all"], "--bank: the format keylime tells the values of one bank"),
        (["--format", "keylime", "--firmware", "x"], "--firmware: no profile and machine selects firmware 'x'"),
        (["--format", "keylime", "--profile", "x"], "--profile: "),
        (["--format", "rvps", "--set", "prefixes=[1]"], "--set prefixes: "),
        (["--format", "template"], "hint: give it with --set template=…"),
        (["--format", "predictions", "--set", "template=nope.j2"], "--set template: there is no template"),
        (["--firmware", "x"], "--firmware: no profile and machine selects firmware 'x'"),
        (["--format", "rvps", "--output", IMAGE], f"--output: the output would replace the input {IMAGE}"),
    ],
)
def test_a_mistake_of_the_verb_is_one_error_at_its_option(arguments, expected, directory):
    succeed(directory, "build")
    before = (directory / IMAGE).read_bytes()
    assert expected in refused(directory, "measure", IMAGE, *arguments)
    assert (directory / IMAGE).read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--set", "a=b"], "--set needs --format."),
        (["--output", "x"], "--output needs --format."),
        (["--format", "rvps", "--json"], "--format and --json are two ways"),
        (["--format", "rvps", IMAGE], "--format and a second image are two ways"),
    ],
)
def test_options_without_a_meaning_are_refused(arguments, expected, workshop):
    succeed(workshop, "build")
    for verb in ("measure", "launch"):
        told = invoke(workshop, verb, IMAGE, *arguments)
        assert told.code == 2
        assert expected.replace("image", "file" if verb == "launch" else "image") in told.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--firmware", "ovmf"], "--firmware: an update is of one machine"),
        (["--profile", "main", "--profile", "other"], "--profile: an update is to one profile"),
    ],
)
def test_filters_that_mean_nothing_after_an_update_are_refused(arguments, expected, directory):
    succeed(directory, "build")
    assert expected in refused(directory, "measure", IMAGE, "--log", "log", *arguments)


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
