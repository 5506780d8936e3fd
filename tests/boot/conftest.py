"""One guest at a time, through `fuki boot`; what guests told is kept where a test fails."""

import itertools
import json
import os
import shutil
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import parts
import pytest
from fuki_qemu.programs import ADDON

from fuki_build.testing import invoke
from fuki_build.testing.documents import complaints
from tests.support import guests

LOGS = parts.CHECKOUT / "build" / "boot-logs"
"""What the guests of failed tests told, by test."""
RESULTS = "FUKI_BOOT_RESULTS"
"""The environment's name of a file to which each scenario's verdict is appended; tools/boot_table.py sets it."""

_TOO_LONG = 150
"""Seconds that no boot takes, even on a busy machine; on a host that takes firmware there are two."""


@pytest.fixture(autouse=True)
def only_guest() -> Iterator[None]:
    with guests.only_guest():
        yield


class Verdict(NamedTuple):
    """How `fuki boot --json` ended; `compared` are its rows by what they are about and bank."""

    code: int
    error: str
    document: dict[str, Any]
    compared: dict[tuple[str, str], dict[str, Any]]

    def measured(self, pcr: int, bank: str = "sha256") -> str:
        return str(self.compared[f"PCR {pcr}", bank]["measured"])


class Bench:
    """Boots images; `scenario` names a boot in the table of the documentation."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._count = 0

    def boot(
        self,
        image: Path,
        *options: object,
        scenario: str = "",
        plugins: Sequence[str] = (),
        code: int = 0,
        carried: Path | None = None,
    ) -> Verdict:
        """Boot with the firmware of edk2 2026.08 unless options say otherwise, and verify what was measured.

        `carried` is the image that the image's own firmware brings along and starts.
        """
        self._count += 1
        keep = self.directory / f"boot-{self._count}"

        loads = [word for name in ("qemu", *plugins) for word in ("--plugin", name)]
        firmware = () if "--firmware" in options else ("--firmware", parts.get("ovmf-code"))
        command = (
            *loads,
            "boot",
            image,
            "--verify",
            "--json",
            "--no-kvm",
            "--timeout",
            _TOO_LONG * (2 if "--host" in options else 1),
            "--keep",
            keep,
            *firmware,
            *options,
        )

        outcome = invoke(self.directory, *command)
        assert outcome.code == code, outcome

        document = json.loads(outcome.out) if outcome.out else {}
        if document:
            assert complaints(document, "boot", "qemu") == []
        if code == 0:
            explain(carried or image, keep / "event-log", options)

        compared = {(row["what"], row["bank"]): row for row in document.get("compared", ())}
        if scenario and RESULTS in os.environ:
            with Path(os.environ[RESULTS]).open("a") as file:
                file.write(json.dumps({"scenario": scenario, "code": code, **document}) + "\n")

        return Verdict(outcome.code, outcome.err, document, compared)


def explain(image: Path, log: Path, options: Sequence[object]) -> None:
    """The log leaves nothing over that the image and its addons do not explain."""
    addons = [value for option, value in itertools.pairwise(options) if option == "--addon"]
    if log.with_name("report").exists():
        addons.append(ADDON)  # a real kernel's probe tells through a port, the probe that stands in for one does not
    secure = ("--secure-boot", "on") if "--secure-boot" in options else ()
    beside = [word for addon in addons for word in ("--addon", addon)]
    outcome = invoke(log.parent, "replay", log, "--image", image, *beside, *secure)
    assert outcome.code == 0, outcome


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    yield Bench(tmp_path)
    report = request.node.stash.get(_REPORT, None)
    if report is not None and report.failed:
        place = LOGS / request.node.name.replace("/", "_")
        shutil.rmtree(place, ignore_errors=True)
        for kept in tmp_path.glob("boot-*"):
            shutil.copytree(kept, place / kept.name)


_REPORT = pytest.StashKey[pytest.TestReport]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[_REPORT] = report
    return report
