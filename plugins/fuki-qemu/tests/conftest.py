from collections.abc import Callable
from pathlib import Path

import parts
import pytest


@pytest.fixture(scope="session")
def part() -> Callable[[str], Path]:
    """`part("ovmf-code")` is the path of a real one; names are those of tools/known_parts.py."""
    return parts.get
