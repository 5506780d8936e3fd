"""The command line run in this process: fast, for tests that need no process of their own."""

import io
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

from fuki_build.cli.main import run

_SMALL = 4096


class CommandOutcome(NamedTuple):
    """The exit code of a command, and what it wrote to its standard streams."""

    code: int
    out: str
    err: str


def invoke(directory: Path, *arguments: object) -> CommandOutcome:
    """Run `fuki` in `directory`; arguments are turned into strings."""
    out, err = _stream(), _stream()
    with chdir(directory), redirect_stdout(out), redirect_stderr(err):
        code = run([str(argument) for argument in arguments])

    return CommandOutcome(code, _text(out), _text(err))


def succeed(directory: Path, *arguments: object) -> CommandOutcome:
    """Run a command that must succeed."""
    outcome = invoke(directory, *arguments)
    _hold(outcome.code == 0, outcome.err)
    return outcome


def refused(directory: Path, *arguments: object, code: int = 2) -> str:
    """Run a command that must fail with one clear error and write nothing; returns the error."""
    before = tree(directory)
    outcome = invoke(directory, *arguments)

    _hold(outcome.code == code, str(outcome))
    _hold(outcome.err.count("error:") == 1, outcome.err)
    _hold("Traceback" not in outcome.err and "internal error" not in outcome.err, outcome.err)
    _hold(not outcome.out, outcome.out)
    _hold(tree(directory) == before, f"files were written in {directory}")
    return outcome.err


def tree(directory: Path) -> dict[str, bytes | None]:
    """Every path below a directory, with the content of small files (under 4 KiB)."""
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() and path.stat().st_size < _SMALL else None
        for path in sorted(directory.rglob("*"))
    }


def _hold(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _stream() -> io.TextIOWrapper:
    """What standard streams are: text over bytes."""
    return io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)


def _text(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()
