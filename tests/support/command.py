"""The command line run in this process: fast, for tests that need no process of their own."""

import io
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

from fuki_build.cli.main import run


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


def invoke(directory: Path, *arguments: object) -> Outcome:
    """Run `fuki` in `directory`."""
    out, err = _stream(), _stream()
    with chdir(directory), redirect_stdout(out), redirect_stderr(err):
        code = run([str(argument) for argument in arguments])
    return Outcome(code, _text(out), _text(err))


def _stream() -> io.TextIOWrapper:
    """What standard streams are: text over bytes."""
    return io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)


def _text(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


def succeed(directory: Path, *arguments: object) -> Outcome:
    outcome = invoke(directory, *arguments)
    assert outcome.code == 0, outcome.err
    return outcome


def tree(directory: Path) -> dict[str, bytes | None]:
    """Every path below a directory, with the content of what the tests themselves make small."""
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() and path.stat().st_size < 4096 else None
        for path in sorted(directory.rglob("*"))
    }


def refused(directory: Path, *arguments: object, code: int = 2) -> str:
    """Run a command that must fail with one clear error and write nothing; returns the error."""
    before = tree(directory)
    outcome = invoke(directory, *arguments)
    assert outcome.code == code, outcome
    assert outcome.err.count("error:") == 1, outcome.err
    assert "Traceback" not in outcome.err
    assert "internal error" not in outcome.err
    assert outcome.out == ""
    assert tree(directory) == before
    return outcome.err
