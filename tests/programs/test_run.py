"""Programs end with whoever runs them, with all that they started; what they print and write has bounds."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from textwrap import dedent

import pytest

from fuki_build import programs
from fuki_build.programs import ProgramError, process

ENVIRONMENT = programs.environment()


def run(script: str, **options: object) -> programs.Completed:
    return programs.run(["sh", "-c", script], environment=ENVIRONMENT, **options)  # type: ignore[arg-type]


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_running(process: str | int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{int(process)}/stat").read_text()
    except FileNotFoundError:
        return False


def has_ended(process_id: Path) -> bool:
    return not is_running(process_id.read_text())


def test_input_output_complaints_and_exit_code_come_through():
    data = os.urandom(300_000)
    done = run("cat; echo oops >&2; exit 7", stdin=data)
    assert (done.code, done.stdout, done.stderr) == (7, data, b"oops\n")
    assert done.how == "failed with exit code 7"


def test_a_signal_is_told_as_one():
    assert run("kill -9 $$").how == "was ended by signal 9"


def test_what_is_printed_may_go_into_a_file(tmp_path: Path):
    with (tmp_path / "out").open("wb") as file:
        run("echo text", stdout=file)
    assert (tmp_path / "out").read_text() == "text\n"


def test_a_program_that_wants_no_input_is_not_an_error():
    assert run("exec <&-; echo done", stdin=bytes(1_000_000)).stdout == b"done\n"


@pytest.mark.parametrize(
    ("command", "why"),
    [("no-such-program-of-fuki", "No such file or directory"), ("/", "Permission denied"), ("/etc/passwd/x", "Not a")],
)
def test_a_program_that_cannot_be_run_is_told(command: str, why: str):
    with pytest.raises(ProgramError, match=f"cannot run {command}: {why}"):
        programs.run([command], environment=ENVIRONMENT)


def test_a_directory_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(ProgramError, match="cannot run true: No such file"):
        programs.run(["true"], environment=ENVIRONMENT, directory=tmp_path / "none")


@pytest.mark.parametrize(("command", "variable"), [("a\0b", ""), ("b", "a\0b")])
def test_what_no_program_can_get_is_told(command: str, variable: str):
    with pytest.raises(ProgramError, match="cannot run echo: an argument or variable has a NUL character in it"):
        programs.run(["echo", command], environment={**ENVIRONMENT, "A": variable})


def test_only_the_environment_that_was_given_is_seen(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FUKI_TEST_SECRET", "secret")
    monkeypatch.setenv("FUKI_TEST_NAMED", "named")
    done = programs.run(["env", "-0"], environment=programs.environment("FUKI_TEST_NAMED", "NOT_SET", MORE="more"))
    assert dict(line.split(b"=", 1) for line in done.stdout.split(b"\0") if line) == {
        b"PATH": os.environb[b"PATH"],
        b"HOME": os.environb[b"HOME"],
        b"LC_ALL": b"C.UTF-8",
        b"TZ": b"UTC",
        b"FUKI_TEST_NAMED": b"named",
        b"MORE": b"more",
    }


def test_signals_that_python_ignores_are_as_programs_expect_them():
    ignored = int(run("grep SigIgn /proc/self/status").stdout.split()[1], 16)
    assert not ignored & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1)


def test_no_descriptor_is_inherited_but_those_that_are_named():
    reader, writer = os.pipe()
    try:
        numbers = programs.run(["ls", "/proc/self/fd"], environment=ENVIRONMENT, descriptors=[writer]).stdout.split()
    finally:
        os.close(reader)
        os.close(writer)
    # One more is the listed directory itself.
    assert {b"0", b"1", b"2", b"%d" % writer} < set(numbers)
    assert len(numbers) == 5


def test_the_deadline_ends_a_program_with_all_that_it_started(tmp_path: Path):
    script = f"setsid sh -c 'echo $$ >{tmp_path}/daemon; exec sleep 600' & echo $$ >{tmp_path}/program; sleep 600"
    with pytest.raises(ProgramError, match=r"sh was not done after 0\.5 seconds"):
        run(script, timeout=0.5)
    for path in tmp_path.iterdir():
        assert not is_running(path.read_text())


def test_a_program_that_does_not_listen_is_ended_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    script = tmp_path / "supervisor.py"
    script.write_text(process._SUPERVISOR.read_text().replace("_GRACE = 2.0", "_GRACE = 0.01"))
    monkeypatch.setattr(process, "_SUPERVISOR", script)
    with pytest.raises(ProgramError, match="not done"):
        run(f"trap '' TERM; echo $$ >{tmp_path}/program; while :; do sleep 600; done", timeout=0.5)
    assert not is_running((tmp_path / "program").read_text())


def test_output_is_bounded():
    with pytest.raises(ProgramError, match="sh printed more than 1000000 bytes"):
        run("cat /dev/zero", largest_output=1_000_000)


def test_of_endless_complaints_the_last_are_kept():
    done = run("head -c 3000000 /dev/zero >&2; echo last >&2")
    assert len(done.stderr) == 64 * 1024
    assert done.last_lines() == "last"


def test_files_are_bounded(tmp_path: Path):
    done = run(f"exec head -c 3000000 /dev/zero >{tmp_path}/file", largest_file=1_000_000)
    assert done.how == f"was ended by signal {signal.SIGXFSZ:d}"
    assert (tmp_path / "file").stat().st_size <= 1_000_000


def test_a_daemon_that_holds_the_pipes_keeps_nobody_waiting_and_goes_on(tmp_path: Path):
    done = run(
        f"setsid sh -c 'echo $$ >{tmp_path}/daemon; exec sleep 600' & until test -s {tmp_path}/daemon; do :; done"
    )
    daemon = int((tmp_path / "daemon").read_text())
    try:
        assert done.code == 0
        assert is_running(daemon)
    finally:
        os.kill(daemon, signal.SIGKILL)


def test_a_daemon_that_prints_for_ever_keeps_nobody_waiting(tmp_path: Path):
    script = "trap '' PIPE; echo $$ >{0}/daemon; while :; do echo y >&2; done"
    (tmp_path / "daemon.sh").write_text(script.format(tmp_path))
    done = run(f"setsid sh {tmp_path}/daemon.sh & until test -s {tmp_path}/daemon; do :; done; echo done")
    os.kill(int((tmp_path / "daemon").read_text()), signal.SIGKILL)
    assert done.stdout == b"done\n"


def test_what_stays_in_the_background_ends_with_the_program(tmp_path: Path):
    run(f"sleep 600 & echo $! >{tmp_path}/sleep")
    wait_for(lambda: not is_running((tmp_path / "sleep").read_text()))


def python(script: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", dedent(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_program_ends_with_fuki_and_so_do_its_daemons(number: int, tmp_path: Path):
    daemon = f"setsid sh -c 'echo $$ >{tmp_path}/daemon; exec sleep 600' & echo $$ >{tmp_path}/program; wait; sleep 600"
    script = f"""
        from fuki_build import programs
        programs.run(["sh", "-c", {daemon!r}], environment=programs.environment())
    """
    with python(script) as fuki:
        wait_for(lambda: [path for path in tmp_path.iterdir() if path.read_text()][1:])
        fuki.send_signal(number)
    for path in tmp_path.iterdir():
        wait_for(partial(has_ended, path))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_scratch_directory_is_gone_whatever_happens(number: int, tmp_path: Path):
    script = f"""
        import time
        from pathlib import Path
        from fuki_build import programs
        with programs.scratch_directory("fuki-test-") as directory:
            (directory / "below").mkdir()
            (directory / "below/file").write_text("text")
            Path({str(tmp_path)!r}, "name").write_text(str(directory))
            time.sleep(600)
    """
    with python(script) as fuki:
        wait_for(lambda: (tmp_path / "name").is_file() and (tmp_path / "name").read_text())
        fuki.send_signal(number)
    wait_for(lambda: not Path((tmp_path / "name").read_text()).exists())


def test_programs_run_side_by_side_in_threads():
    outputs: dict[int, bytes] = {}

    def work(number: int) -> None:
        outputs[number] = run(f"echo {number}; sleep 0.1").stdout

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outputs == {number: b"%d\n" % number for number in range(4)}


def test_standard_streams_that_are_closed_do_not_get_mixed_up(tmp_path: Path):
    script = f"""
        from pathlib import Path
        from fuki_build import programs
        done = programs.run(["cat"], environment=programs.environment(), stdin=b"text")
        Path({str(tmp_path)!r}, "out").write_bytes(done.stdout)
    """
    command = f'exec "{sys.executable}" -c "$1" <&- >&- 2>&-'
    subprocess.run(["sh", "-c", command, "sh", dedent(script)], check=True)
    assert (tmp_path / "out").read_bytes() == b"text"
