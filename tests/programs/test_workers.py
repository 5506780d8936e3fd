"""Copies of this process: several at a time, each with its own output, none left behind."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest


def script(text: str) -> str:
    return dedent(
        """
        import os, signal, sys, time
        from functools import partial
        from pathlib import Path
        from fuki_build.programs.workers import run_in_copies

        def until(name):
            while not Path(name).exists():
                time.sleep(0.01)
        """
    ) + dedent(text)


def run(directory: Path, text: str) -> str:
    """What a program prints that has only one thread, as no test process is sure to have."""
    command = [sys.executable, "-c", script(text)]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_results_come_in_the_order_of_the_work_though_the_second_ends_first(tmp_path: Path):
    out = run(
        tmp_path,
        """
        def first():
            until("second is done")
            print("first")
            return 3

        def second():
            print("second", file=sys.stderr)
            Path("second is done").touch()
            return 0

        for result in run_in_copies([first, second], 2):
            print(result.code, result.out.read(), result.err.read())
        """,
    )
    assert out == "3 b'first\\n' b''\n0 b'' b'second\\n'\n"


def test_a_result_is_told_while_later_work_still_runs(tmp_path: Path):
    out = run(
        tmp_path,
        """
        def first():
            print("first")
            return 0

        def second():
            until("the first was told")
            return 0

        for result in run_in_copies([first, second], 2):
            print(result.code, result.out.read())
            Path("the first was told").touch()
        """,
    )
    assert out == "0 b'first\\n'\n0 b''\n"


def test_no_more_run_at_a_time_than_were_allowed(tmp_path: Path):
    out = run(
        tmp_path,
        """
        def work(number):
            running = Path(f"running-{number}")
            running.touch()
            print(len(list(Path().glob("running-*"))))
            time.sleep(0.02)
            running.unlink()
            return 0

        counts = [int(result.out.read()) for result in run_in_copies([partial(work, n) for n in range(12)], 2)]
        print(len(counts), max(counts) <= 2)
        """,
    )
    assert out == "12 True\n"


def test_work_that_is_killed_takes_no_other_with_it(tmp_path: Path):
    out = run(
        tmp_path,
        """
        def killed():
            os.kill(os.getpid(), signal.SIGKILL)

        def raises():
            raise KeyboardInterrupt

        print([result.code for result in run_in_copies([killed, raises, lambda: 1], 2)])
        """,
    )
    assert out == "[None, None, 1]\n"


def test_what_was_not_written_yet_is_not_written_twice(tmp_path: Path):
    out = run(
        tmp_path,
        """
        print("once")
        for result in run_in_copies([lambda: 0, lambda: 0], 1):
            print(result.out.read())
        """,
    )
    assert out == "once\nb''\nb''\n"


def test_whoever_wants_no_more_results_ends_the_copies_which_clean_up(tmp_path: Path):
    out = run(
        tmp_path,
        """
        class Ended(BaseException):
            pass

        def end(*_):
            raise Ended

        def work():
            try:
                Path("begun").touch()
                until("never")
            finally:
                Path("cleaned up").touch()

        signal.signal(signal.SIGTERM, end)
        results = run_in_copies([lambda: 0, work], 2)
        print(next(results).code)
        until("begun")
        results.close()
        print(Path("cleaned up").exists())
        """,
    )
    assert out == "0\nTrue\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_copies_end_with_the_process_that_they_are_copies_of(tmp_path: Path, number: signal.Signals):
    text = script(
        """
        def work():
            print_to = os.open("process", os.O_WRONLY | os.O_CREAT)
            os.write(print_to, str(os.getpid()).encode())
            os.rename("process", "known")
            until("never")

        list(run_in_copies([work], 1))
        """
    )
    original = subprocess.Popen([sys.executable, "-c", text], cwd=tmp_path)
    known = tmp_path / "known"
    while not known.exists():
        assert original.poll() is None
    copy = os.pidfd_open(int(known.read_text()))
    original.send_signal(number)
    original.wait()

    readable, _, _ = select.select([copy], [], [], 60)
    os.close(copy)
    assert readable == [copy]
