"""What `make bench` measures with."""

import subprocess
import sys
from pathlib import Path

TOOLS = Path(__file__).parents[2] / "tools"


def run(command, tmp_path):
    """Measure one command as `make bench` does."""
    code = f"print(bench_process.measure({command!r}, cwd=pathlib.Path({str(tmp_path)!r})).cpu)"
    script = f"import bench_process, pathlib; {code}"
    return subprocess.run(
        [sys.executable, "-c", script], cwd=TOOLS, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_command_that_says_more_than_a_pipe_holds_is_measured(tmp_path):
    talks = [sys.executable, "-c", "import sys; sys.stderr.write('x' * 1_000_000)"]
    result = run(talks, tmp_path)
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) > 0


def test_a_command_that_fails_is_told_of_with_its_messages(tmp_path):
    fails = [sys.executable, "-c", "import sys; sys.exit('no such kernel')"]
    result = run(fails, tmp_path)
    assert result.returncode != 0
    assert "no such kernel" in result.stderr
