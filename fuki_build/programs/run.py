"""Running a program to its end."""

import io
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from fuki_build.programs.errors import ProgramError
from fuki_build.programs.pipes import Pipes
from fuki_build.programs.process import started

DEFAULT_TIMEOUT = 600.0
"""Seconds."""
_ALWAYS = ("PATH", "HOME")
_MIB = 1024 * 1024


class Completed(Struct, frozen=True):
    """How a program ended: `code` is negative for a signal; of `stderr`, the last 64 KiB."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def how(self) -> str:
        """For the message of an error."""
        return f"failed with exit code {self.code}" if self.code >= 0 else f"was ended by signal {-self.code}"

    def last_lines(self, count: int = 1) -> str:
        """The last words of a program that failed, on one line; control characters are left out."""
        text = self.stderr.decode(errors="replace").strip()
        lines = ["".join(c for c in line if c.isprintable()).strip() for line in text.splitlines()]
        return " / ".join([line for line in lines if line][-count:])


def environment(*names: str, **values: str) -> dict[str, str]:
    """What a program gets that needs nothing in particular: where programs are, a fixed locale and time zone.

    `names` are further variables to pass on where they are set, `values` are added.
    """
    passed = {name: os.environ[name] for name in (*_ALWAYS, *names) if name in os.environ}
    return {**passed, "LC_ALL": "C.UTF-8", "TZ": "UTC", **values}


def run(  # noqa: PLR0913 - all but the command have names
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: Path | None = None,
    stdin: bytes = b"",
    stdout: BinaryIO | None = None,
    descriptors: Sequence[int] = (),
    timeout: float = DEFAULT_TIMEOUT,
    largest_output: int = _MIB,
    largest_file: int | None = None,
) -> Completed:
    """Run a program to its end. What it prints goes into the file `stdout`, or into the result.

    `timeout` is in seconds, `largest_output` and `largest_file` (of each file that it writes) are in bytes. Raises
    `ProgramError` where the program cannot be run, is not done in time or prints more; not for its exit code.
    """
    name = Path(command[0]).name
    collected = io.BytesIO()
    with Pipes(stdin, stdout or collected, largest_output, name) as pipes:
        with started(
            command,
            environment=environment,
            directory=directory,
            stdio=pipes.theirs,
            descriptors=descriptors,
            largest_file=largest_file,
        ) as process:
            pipes.close_theirs()
            if not pipes.serve(process.status, time.monotonic() + timeout):
                hint = "it was ended, with everything that it had started"
                raise ProgramError(f"{name} was not done after {timeout:g} seconds", hint=hint)
            code = process.wait()
        assert code is not None  # noqa: S101 - it has ended
        return Completed(code, collected.getvalue(), bytes(pipes.complaints))
