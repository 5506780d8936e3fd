"""What `fuki integrate` writes for kernel-install and for callers of ukify, what it tells, and what it leaves."""

import subprocess
import sys
from pathlib import Path

from tests.support.kernel_install import RECIPE


def test_integrating_says_what_install_conf_still_needs_and_what_is_wrong_in_the_recipe(machine):
    machine.configure("ukify")
    said = machine.integrate()
    assert "still to do: uki_generator=fuki in" in said
    assert "layout" not in said
    machine.configure("fuki")
    assert "still to do" not in machine.integrate()
    machine.write("etc/kernel/fuki.toml", RECIPE.replace("fuki.firmware", "fuki.firmwear"))
    assert "fuki.firmwear" in machine.integrate(code=2)


def test_a_plugin_that_was_switched_off_or_is_another_s_stays(machine):
    plugin = machine.directory / "etc/kernel/install.d/60-fuki.install"
    ours = plugin.read_text()
    plugin.unlink()
    plugin.symlink_to("/dev/null")
    assert "60-fuki.install: it is not as fuki writes it" in machine.integrate(code=2)
    assert plugin.is_symlink()
    plugin.unlink()
    machine.write("etc/kernel/install.d/60-fuki.install", "#!/bin/sh\n")
    machine.integrate(code=2)
    assert plugin.read_text() == "#!/bin/sh\n"
    plugin.unlink()
    assert machine.integrate().splitlines()[0] == f"wrote {plugin}"
    assert plugin.read_text() == ours

    assert "has all of it already" in machine.integrate()


def test_nothing_is_written_over_that_is_not_fuki_s(tmp_path):
    def integrate(directory: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "fuki_build", "integrate", "ukify", str(directory)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    for name, kept in (("library", "lib/precious"), ("program", "ukify")):
        directory = tmp_path / name
        (directory / kept).parent.mkdir(parents=True)
        (directory / kept).write_text("precious")
        done = integrate(directory)
        assert done.returncode == 2
        assert "is not fuki's" in done.stderr
        assert (directory / kept).read_text() == "precious"
        assert [path for path in directory.rglob("*") if path.is_file()] == [directory / kept]

    (tmp_path / "link").mkdir()
    (tmp_path / "link/ukify").symlink_to("../own/ukify")
    assert integrate(tmp_path / "own").returncode == 0
    assert integrate(tmp_path / "link").returncode == 2
    assert integrate(tmp_path / "own").returncode == 0
