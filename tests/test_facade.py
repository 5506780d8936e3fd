"""`import fuki_build`: names that can be found, called with strings, and are what they say."""

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import fuki_build
from tests.docs.pages import CHECKOUT

NAMES = [name for name in fuki_build.__all__ if name != "__version__"]


@pytest.mark.parametrize("name", NAMES)
def test_the_page_tells_of_every_name(name):
    page = (CHECKOUT / "docs/reference/library.md").read_text()
    assert f"`{name}`" in page or f"fuki_build.{name}(" in page or f"fuki_build.{name}`" in page


def test_dir_lists_every_name():
    assert set(dir(fuki_build)) == {"__version__", *NAMES}


def test_no_name_is_that_of_a_module_which_would_take_its_place_once_imported():
    modules = {module.name for module in pkgutil.iter_modules([str(Path(fuki_build.__file__).parent)])}
    assert {"measure", "launch", "report"} <= modules
    assert not modules & set(NAMES)


def test_all_names_are_there_in_a_fresh_process():
    script = "import fuki_build; [getattr(fuki_build, name) for name in dir(fuki_build)]"
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)


def test_an_unknown_name_is_an_error_as_in_any_module():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        fuki_build.nothing  # noqa: B018 - it raises


def test_files_are_written_where_strings_say(tmp_path):
    with fuki_build.OutputFile(str(tmp_path / "a")) as file:
        file.write(b"content")
        file.commit()
    with fuki_build.OutputFiles() as files:
        files.open(str(tmp_path / "b")).write(b"others")
        files.commit()
    assert fuki_build.read_small_file(str(tmp_path / "a"), 10) == b"content"
    assert fuki_build.Blob.of_file(str(tmp_path / "b")).size == 6
