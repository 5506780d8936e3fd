"""Mistakes in options of output formats, in a recipe and of the verbs, are told where they stand."""

import pytest

from fuki_build.testing import invoke, refused, succeed
from tests.support.workshop import IMAGE, add


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
