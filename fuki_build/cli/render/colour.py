"""Whether output is coloured."""

import os
from typing import TextIO


def wanted(stream: TextIO) -> bool:
    """Whether escape codes may go there: to a terminal that knows them, unless NO_COLOR (no-color.org) is set."""
    return stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")
