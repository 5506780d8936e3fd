"""What docs/how-to/install.md says is installed is there afterwards, in environments of their own."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.installed import CHECKOUT, install


def plugins(programs: Path, *names: str) -> dict[str, str]:
    """The state of each installed plugin, with these loaded."""
    named = [word for name in names for word in ("--plugin", name)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    command = [programs / "fuki", *named, "plugins", "--json"]
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, check=True)
    rows = json.loads(done.stdout)["plugins"]
    return {row["name"]: row["state"] for row in rows if not row["name"].startswith("builtin.")}


def listed(file: str) -> list[str]:
    lines = (CHECKOUT / "plugins" / file).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_one_plugin_is_installed_by_its_place_beside_the_core(tmp_path: Path):
    programs = install(tmp_path / "venv", CHECKOUT, CHECKOUT / "plugins" / "fuki-gcp")
    assert plugins(programs, "gcp") == {"gcp": "loaded"}


def test_the_plugins_of_clouds_are_installed_from_their_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # The places in the list are relative to the checkout.
    monkeypatch.chdir(CHECKOUT)
    programs = install(tmp_path / "venv", ".", "-r", "plugins/clouds.txt")
    names = ["aws", "azure", "clouds", "gcp", "virt"]
    assert plugins(programs, *names) == dict.fromkeys(names, "loaded")
    assert listed("clouds.txt") == [f"./plugins/fuki-{name}" for name in names]


def test_the_list_of_all_has_all():
    directories = sorted(path.name for path in (CHECKOUT / "plugins").iterdir() if (path / "pyproject.toml").is_file())
    assert listed("all.txt") == [f"./plugins/{name}" for name in directories]
