"""A workshop with things to trip over."""

import os
from pathlib import Path

import pytest

from tests.support.workshop import lay_out


@pytest.fixture
def traps(workshop: Path) -> Path:
    """The workshop, with things to trip over."""
    files = {"dir/": "", "two/a.fd": "a", "two/b.fd": "b", "sub/below/": "", "empty": "", "text": "plain text\n"}
    lay_out(workshop, real={"fw/OVMF.fd": "ovmf-generic"}, files=files)
    os.mkfifo(workshop / "fifo")
    return workshop
