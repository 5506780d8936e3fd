"""Whatever runs a contribution's code blames its plugin, in the words of its kind and name."""

from pathlib import Path

import pytest

from fuki_build.errors import FukiError, PluginError
from fuki_build.hooks.host import HOOKS, Contribution, PluginInfo
from fuki_build.pipeline import new_host


class Vendor:
    """A firmware source, as far as its name goes."""

    name = "vendor"


@pytest.fixture
def contribution() -> Contribution[type[Vendor]]:
    return Contribution(Vendor, PluginInfo("acme", "fuki-acme", "1.2.3"), "firmware source")


def test_what_it_raises_is_blamed_on_its_plugin(contribution):
    with pytest.raises(PluginError) as caught, contribution.running():
        raise LookupError("lost")

    problem = "plugin 'acme' (distribution fuki-acme 1.2.3) failed in firmware source 'vendor': LookupError: lost"
    assert caught.value.message == problem
    assert isinstance(caught.value.__cause__, LookupError)


def test_an_error_for_the_user_passes(contribution):
    with pytest.raises(FukiError, match="give a board"), contribution.running():
        raise FukiError("give a board")


@pytest.mark.parametrize("hook", HOOKS)
def test_the_host_gives_each_its_kind(hook: str):
    for contribution in new_host().all(hook):
        assert contribution.kind == HOOKS[hook]
        assert contribution.name in new_host().names(hook)


def test_the_host_alone_says_who_failed_in_what():
    """One place words the blame, so that no caller forgets it or words it otherwise."""
    package = Path(__file__).parent.parent.parent / "fuki_build"
    homes = [path.relative_to(package).as_posix() for path in package.rglob("*.py") if "failed in " in path.read_text()]

    assert homes == ["hooks/host.py"]
