"""What goes wrong with a program itself; its exit code is for its caller to judge."""

from fuki_build.errors import FukiError


class ProgramError(FukiError):
    """A program cannot be run, did not end in time, or printed too much."""
