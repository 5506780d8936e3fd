"""A plugin that is installed beside fuki, and the command line that finds it."""

from subprocess import CompletedProcess

import pytest

from fuki_build.testing import install_plugin
from tests.support.acme_plugin import GOOD, TRACE


@pytest.fixture
def acme(tmp_path):
    """PYTHONPATH of a plugin that gives one of everything."""
    return install_plugin(tmp_path / "site", "acme", TRACE + GOOD)


@pytest.fixture
def trace(tmp_path):
    """The file that the plugin makes when it is imported."""
    return tmp_path / "imported"


@pytest.fixture
def run(fuki, trace):
    """The command line, with plugins on its path."""

    def run(*arguments: str, path: str, code: int = 0, **environment: str) -> CompletedProcess[str]:
        return fuki(*arguments, code=code, PYTHONPATH=path, FUKI_TEST_TRACE=str(trace), **environment)

    return run
