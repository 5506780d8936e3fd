"""What holds for all tests, those of plugins too."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

# How long an example takes tells about the machine, which may be busy.
settings.register_profile("fuki", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# A test runs some thousand times under `make mutants`, and is asked only whether it fails.
settings.register_profile(
    "mutants",
    deadline=None,
    derandomize=True,
    max_examples=10,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("fuki")

# A shell that starts a run in the background has it ignore SIGINT, and so would all that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def cache_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """fuki, and what it starts, keep what they remember in a directory of the session; packages, beside the parts."""
    cache = tmp_path_factory.mktemp("cache")
    packages = Path(__file__).parent / ".parts" / "apt"
    packages.mkdir(parents=True, exist_ok=True)
    (cache / "fuki").mkdir()
    (cache / "fuki/apt").symlink_to(packages.resolve())

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        yield
