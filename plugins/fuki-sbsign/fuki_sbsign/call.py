"""One run of a signing program: without a terminal, and without secrets among its arguments."""

import os
import re
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from fuki_build import programs
from fuki_build.errors import SigningError, raised_as
from fuki_build.hooks import SigningContext
from fuki_build.programs import Completed, ProgramError

_LAST_LINES = 3
_LINE_WIDTH = 200
_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[^\n -~\u00a0-\uffff]")
_NOISE = re.compile(r"[0-9A-F]{8,}:error:|Enter .* pass ?phrase:|Signing .* image$|(Succeeded|Failed)$")
"""Prompts that nobody sees, OpenSSL's error queue, and messages printed on every run."""


class Call:
    """The arguments and surroundings of a program, to be filled in; see `prepare`.

    `directory` is a scratch directory of this run, `environment` is added to the context's, `hint` is given if the
    program fails.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.arguments: list[str] = []
        self.environment = {"LC_ALL": "C.UTF-8"}
        self.hint: str | None = None
        self.descriptors: list[int] = []
        self._answer = ""
        self._secrets: list[str] = []

    def answer(self, secret: str) -> None:
        """Answer a prompt with a secret: without a terminal, OpenSSL's prompt reads it from standard input."""
        self._secrets.append(secret)
        self._answer = f"{secret}\n"

    def secret_file(self, secret: str, end: str = "") -> Path:
        """A path at which the program, and nobody else, can read a secret; it is not on any disk."""
        self._secrets.append(secret)
        descriptor = os.memfd_create("secret")
        self.descriptors.append(descriptor)
        os.write(descriptor, f"{secret}{end}".encode())
        return Path(f"/proc/self/fd/{descriptor}")

    def certificate_file(self, name: str, certificates: Iterable[bytes]) -> Path:
        """Certificates in DER as a PEM file."""
        path = self.directory / name
        path.write_text("".join(map(ssl.DER_cert_to_PEM_cert, certificates)))
        return path

    def run(self, program: str, context: SigningContext, *, timeout: float, largest_file: int) -> None:
        """Run the program in the context's directory, with its environment.

        `timeout` is in seconds, `largest_file` in bytes, for each file that it writes.
        Raises `SigningError` with the program's last lines, unless it ends with 0.
        """
        with raised_as(SigningError, "program", of=ProgramError):
            completed = programs.run(
                [program, *self.arguments],
                environment={**context.environment, **self.environment},
                directory=context.directory,
                # A prompt that finds no more input ends instead of waiting.
                stdin=self._answer.encode(),
                descriptors=self.descriptors,
                timeout=timeout,
                largest_file=largest_file,
            )

        if completed.code:
            raise SigningError(self._failure(Path(program).name, completed), hint=self.hint)

    def _failure(self, name: str, completed: Completed) -> str:
        # osslsigncode 2.5 prints errors on standard output.
        said = self.last_words(completed.stderr) or self.last_words(completed.stdout) or "it said nothing"
        return f"{name} {completed.how}: {said}"

    def last_words(self, output: bytes) -> str:
        """The last lines of a program's output, fit for an error: plain text, short, and without secrets."""
        text = output.decode(errors="replace")
        for secret in filter(None, self._secrets):
            text = text.replace(secret, "***")

        lines = [" ".join(line.split()) for line in _CONTROL.sub(" ", text).splitlines()]
        informative = [line[:_LINE_WIDTH] for line in lines if line and not _NOISE.match(line)]
        return " / ".join(informative[-_LAST_LINES:])


@contextmanager
def prepare(workspace: Path) -> Iterator[Call]:
    """A call to fill in; its files and secrets are removed at the end."""
    with TemporaryDirectory(dir=workspace) as directory:
        call = Call(Path(directory))
        try:
            yield call
        finally:
            for descriptor in call.descriptors:
                os.close(descriptor)
