"""What plugin authors copy from runs: the examples in docstrings, and the names of the façade."""

import doctest
from importlib import import_module
from pathlib import Path

import msgspec
import pytest

import fuki_build
import fuki_build.hooks
from fuki_build.hooks import enrollers, launch, options, predictions, records, signers, sources, specs
from fuki_build.hooks.contract import HOOKS
from fuki_build.pipeline import new_host

NAMES = {
    **vars(options),
    **vars(predictions),
    **vars(launch),
    **vars(records),
    **vars(sources),
    **vars(signers),
    **vars(enrollers),
    "msgspec": msgspec,
    "Path": Path,
}


@pytest.mark.parametrize(
    "name",
    [
        "FirmwareSource",
        "Platform",
        "SigningContext",
        "KeySigner",
        "FileSigner",
        "Enroller",
        "Rule",
        "OutputFormat",
        "LaunchModel",
        "Options",
        "PredictionOutput",
    ],
)
def test_the_example_of_a_record_runs(name):
    (test,) = doctest.DocTestFinder(recurse=False).find(NAMES[name], name, globs=NAMES)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


def test_every_hook_has_an_example_of_how_to_give_it():
    for hook in HOOKS:
        examples = doctest.DocTestParser().get_examples(getattr(specs, hook).__doc__)
        assert f"def {hook}()" in examples[0].source


@pytest.mark.parametrize("hook", ["fuki_firmware_sources", "fuki_outputs"])
def test_every_built_in_class_has_an_example_that_runs(hook):
    for contribution in new_host().all(hook):
        thing = contribution.thing
        globs = vars(import_module(thing.__module__))
        (test,) = doctest.DocTestFinder(recurse=False).find(thing, thing.__name__, globs=globs)
        assert test.examples, thing
        assert doctest.DocTestRunner().run(test).failed == 0


def test_every_hook_is_specified_and_no_other():
    specified = {name for name in vars(specs) if name.startswith("fuki_")}
    assert specified == set(HOOKS)


def test_every_name_of_the_facade_is_there():
    for name in fuki_build.__all__:
        assert getattr(fuki_build, name) is not None
    with pytest.raises(AttributeError):
        _ = fuki_build.nope


def test_every_name_that_plugins_import_is_there():
    for name in fuki_build.hooks.__all__:
        assert getattr(fuki_build.hooks, name) is not None
