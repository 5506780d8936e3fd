import ctypes

import hand_over_bench
import pytest


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The program's sources with the bench that they run on."""
    return hand_over_bench.compile_bench(tmp_path_factory.mktemp("bench"))
