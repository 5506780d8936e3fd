"""A build that fails or is killed leaves whole outputs, or none."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from fuki_build import FukiError, build, plan
from fuki_build.testing import install_plugin, invoke, refused, succeed
from tests.conftest import RECIPE
from tests.support.rich import WRITTEN, sections


class TestAllOrNothing:
    def test_an_output_that_fails_leaves_the_others_unwritten(self, fuki, workshop, tmp_path):
        source = """
            from fuki_build.hooks import OutputFormat, hookimpl
            class Bad(OutputFormat):
                name = "bad"
                suffix = ".bad"
                def emit(self, options, build, context):
                    context.write(context.path, b"half")
                    raise RuntimeError("no more")
            @hookimpl
            def fuki_outputs():
                return [Bad]
        """

        path = install_plugin(tmp_path / "site", "bad", source)
        (workshop / "fuki.toml").write_text(
            RECIPE + '[[fuki.output]]\nformat = "uki"\n[[fuki.output]]\nformat = "manifest"\n'
            '[[fuki.output]]\nformat = "bad"\n'
        )

        before = sorted(workshop.rglob("*"))
        fuki("--plugin", "bad", "build", code=5, PYTHONPATH=path)
        assert sorted(workshop.rglob("*")) == before

    def test_a_link_in_the_place_of_an_output_is_replaced_and_not_followed(self, workshop):
        (workshop / "precious").write_text("keep")
        (workshop / "acme_41.3.efi").symlink_to("precious")
        succeed(workshop, "build")
        assert (workshop / "precious").read_text() == "keep"
        assert not (workshop / "acme_41.3.efi").is_symlink()

    def test_an_output_is_readable_as_the_umask_says(self, workshop):
        old = os.umask(0o027)
        try:
            succeed(workshop, "build")
        finally:
            os.umask(old)
        assert (workshop / "acme_41.3.efi").stat().st_mode & 0o777 == 0o640

    def test_a_second_build_replaces_the_first(self, workshop):
        succeed(workshop, "build")
        (workshop / "fuki.toml").write_text(RECIPE.replace("root ro", "root rw"))
        assert invoke(workshop, "build").code == 0
        cmdline = next(s for s in sections(workshop / "acme_41.3.efi") if s[0] == ".cmdline")
        assert cmdline[5] == b"root=LABEL=root rw"


class TestInterruptions:
    def test_a_build_that_fails_leaves_no_directory(self, workshop):
        (workshop / "bad.j2").write_text("{{ no_such_name }}")
        (workshop / "fuki.toml").write_text(
            RECIPE
            + '[[fuki.addon]]\nname = "a"\ncmdline = "x"\n[[fuki.output]]\nformat = "addon"\npath = "new/more"\n'
            + '[[fuki.output]]\nformat = "template"\npath = "other/b.txt"\ntemplate = "bad.j2"\n'
        )
        assert "no_such_name" in refused(workshop, "build", "--depfile", "deps/z.d")

    @pytest.mark.parametrize("number", range(6))
    def test_a_build_killed_at_a_rename_leaves_whole_files(self, rich, number):
        """Six: the image, two addons, manifest and depfile, and then there is none left to be killed at."""
        succeed(rich, "build", "--depfile", "z.d")
        written = [rich / name for name in (*WRITTEN, "z.d")]
        old = {path: (path.stat().st_ino, path.read_bytes()) for path in written}
        (rich / "fuki.toml").write_text((rich / "fuki.toml").read_text().replace("root=LABEL=root", "root=LABEL=new"))

        done = subprocess.run([sys.executable, "-c", _KILLED, str(number)], cwd=rich, check=False, capture_output=True)
        states = {path: (path.stat().st_ino, path.read_bytes()) for path in written}
        renamed = [path for path in written if states[path][0] != old[path][0]]
        assert done.returncode == (0 if number == len(written) else -signal.SIGKILL)
        assert len(renamed) == number
        assert all(states[path] == old[path] for path in written if path not in renamed)

        succeed(rich, "build", "--depfile", "z.d")
        assert all(states[path][1] == path.read_bytes() for path in renamed)

    def test_a_plan_is_guarded_in_whatever_thread_it_is_built(self, workshop):
        before = (workshop / "os-release").read_bytes()
        with plan(workshop) as planned, ThreadPoolExecutor(1) as pool:
            task = pool.submit(build, planned, output=workshop / "os-release")
            with pytest.raises(FukiError, match="would replace the input"):
                task.result()
        assert (workshop / "os-release").read_bytes() == before

    def test_a_plan_can_be_built_twice(self, workshop):
        with plan(workshop) as planned:
            first = build(planned).artifacts[0].path.read_bytes()
            assert build(planned).artifacts[0].path.read_bytes() == first


_KILLED = """
import os, signal, sys
from fuki_build.cli.main import run

left, real = int(sys.argv[1]), os.rename
def rename(source, target):
    global left
    if str(source).endswith(".tmp"):
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
    real(source, target)
os.rename = rename
sys.exit(run(["build", "--depfile", "z.d"]))
"""
