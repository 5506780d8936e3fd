"""Cells executed by BuildGrid and two workers of BuildBox, through trexe."""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from fuki_build.testing import succeed
from tests.conftest import RECIPE
from tests.support.remote_execution import RemoteExecution, finish, metadata

MATRIX = RECIPE.replace('initrd = ["initrd.img"]', 'initrd = ["inputs/{{ matrix.cloud }}.img"]').replace(
    "root ro", "root ro console={{ matrix.console }}"
) + (
    '[fuki.matrix]\ncloud = ["aws", "gcp"]\nconsole = ["ttyS0", "tty0"]\n'
    '[[fuki.output]]\nformat = "uki"\npath = "out/{{ matrix.cloud }}-{{ matrix.console }}.efi"\n'
    '[[fuki.output]]\nformat = "manifest"\n'
)
IDS = [f"cloud={cloud},console={console}" for cloud in ("aws", "gcp") for console in ("ttyS0", "tty0")]
FUKI = Path(sys.executable).with_name("fuki")


@pytest.fixture(scope="module")
def engine():
    with RemoteExecution() as engine:
        for name in ("one", "two"):
            engine.add_worker(name)
        yield engine


@pytest.fixture
def cells(workshop):
    (workshop / "fuki.toml").write_text(MATRIX)
    (workshop / "inputs").mkdir()
    for cloud in ("aws", "gcp"):
        # Of each run its own, so that no earlier result is in the cache.
        (workshop / f"inputs/{cloud}.img").write_bytes(os.urandom(100_000))
    succeed(workshop, "export", "reapi", "--fuki", FUKI)
    return workshop


def execute(engine, here, ids=IDS):
    """Run the scripts of cells side by side: exit codes and outputs, and what trexe tells of each."""
    scripts = {id_: here / f"reapi/{id_}.sh" for id_ in ids}
    facts = {id_: here / f"{id_}.json" for id_ in ids}
    clients = {
        id_: engine.execute(script, here, "--d=got", f"--result-metadata-file={facts[id_]}")
        for id_, script in scripts.items()
    }
    outcomes = finish(clients)
    return outcomes, {id_: metadata(path) for id_, path in facts.items() if path.is_file()}


def files(directory):
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def test_cells_spread_over_the_workers_give_the_bytes_of_a_local_build_and_hit_the_cache_then(engine, cells):
    outcomes, facts = execute(engine, cells)
    assert {code for code, _ in outcomes.values()} == {0}, outcomes
    succeed(cells, "build")
    assert files(cells / "got/out") == files(cells / "out")
    assert len(files(cells / "out")) == 8

    # The client has computed what the export tells.
    exported = json.loads((cells / "reapi/actions.json").read_text())["cells"]
    assert {id_: action for id_, (action, _, _) in facts.items()} == {cell["id"]: cell["action"] for cell in exported}
    assert [cached for _, cached, _ in facts.values()] == [False] * 4
    assert {worker for _, _, worker in facts.values()} == {"one", "two"}

    shutil.rmtree(cells / "got")
    outcomes, again = execute(engine, cells)
    assert {code for code, _ in outcomes.values()} == {0}, outcomes
    assert again == {id_: (action, True, worker) for id_, (action, _, worker) in facts.items()}
    assert files(cells / "got/out") == files(cells / "out")

    # One input changes: its cells are executed, and no others.
    (cells / "inputs/gcp.img").write_bytes(os.urandom(100_000))
    succeed(cells, "export", "reapi", "--fuki", FUKI)
    _, third = execute(engine, cells)
    assert [third[id_][1] for id_ in IDS] == [True, True, False, False]


def test_an_input_that_is_not_declared_fails_the_action(engine, cells):
    script = cells / f"reapi/{IDS[0]}.sh"
    lines = script.read_text().splitlines(keepends=True)
    script.write_text("".join(line for line in lines if "--input-path=inputs/aws.img" not in line))
    outcomes, _ = execute(engine, cells, IDS[:1])
    code, output = outcomes[IDS[0]]
    assert code == 2
    assert "fuki.image.initrd[0]: cannot open inputs/aws.img" in output
    assert not (cells / "got/out").exists()


def test_a_worker_that_is_killed_costs_a_retry_and_nothing_else(engine, cells):
    # Large, so that there is a middle.
    (cells / "inputs/aws.img").write_bytes(os.urandom(1_000_000) * 60)
    succeed(cells, "export", "reapi", "--fuki", FUKI)
    facts = cells / "facts.json"
    options = ("--d=got", f"--result-metadata-file={facts}")
    client = engine.execute(cells / f"reapi/{IDS[0]}.sh", cells, *options)
    killed = wait_for_work(engine, client)
    engine.workers[killed].send_signal(signal.SIGKILL)
    engine.workers[killed].wait()

    (code, output), *_ = finish({IDS[0]: client}).values()
    assert code == 0, output
    _, cached, worker = metadata(facts)
    (other,) = {"one", "two"} - {killed}
    assert (cached, worker) == (False, other)
    succeed(cells, "build", "--cell", IDS[0])
    assert files(cells / "got/out") == files(cells / "out")


def wait_for_work(engine, client):
    """The worker that has a runner now."""
    while client.poll() is None:
        for name, process in engine.workers.items():
            tasks = Path(f"/proc/{process.pid}/task").glob("*/children")
            if process.poll() is None and any(task.read_text().strip() for task in tasks):
                return name
        time.sleep(0.005)
    raise AssertionError(client.communicate()[0])
