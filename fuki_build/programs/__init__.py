"""The one place from which programs are run, for the package and its plugins.

A program runs in a session of its own, without a terminal, with a deadline and bounded output, and sees no environment
but what it is given. It ends with whoever waits for it, and so does all that it started, also when fuki is killed: that
is the business of `supervisor.py`, a small process between the two.
"""

from fuki_build.programs.errors import ProgramError
from fuki_build.programs.process import Process, check_startable, scratch_directory, started
from fuki_build.programs.run import Completed, environment, run

__all__ = [
    "Completed",
    "Process",
    "ProgramError",
    "check_startable",
    "environment",
    "run",
    "scratch_directory",
    "started",
]
