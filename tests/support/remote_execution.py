"""A remote execution engine on this machine: BuildGrid, its database, and BuildBox's workers, on loopback."""

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import parts

_TOOLS = ("buildbox-casd", "buildbox-run-hosttools", "buildbox-worker", "trexe")
_OLD_OUTPUT_FILES = Path(__file__).with_name("old_output_files.py")
_PATIENCE = 60.0
"""Seconds for a server to come up, or an action to end, on a machine with much else to do."""
_SERVER = """\
server:
  - !channel
    address: 127.0.0.1:{port}
    insecure-mode: true
connections:
  - !sql-connection &sql
    # With the driver that the environment has; the other one lets clients hang.
    connection-string: postgresql+psycopg2://bgd@/postgres?host={database}
storages:
  - !disk-storage &storage
    path: {storage}
caches:
  - !lru-action-cache &cache
    storage: *storage
    max-cached-refs: 256
    cache-failed-actions: false
    allow-updates: true
schedulers:
  - !sql-scheduler &scheduler
    sql: *sql
    storage: *storage
    action-cache: *cache
    poll-interval: 0.2
    bot-session-keepalive-timeout: 8
    session-expiry-timer-interval: 1
    queue-timeout-job-max-age: {{seconds: 60}}
    queue-timeout-period: {{seconds: 2}}
    property-set: !dynamic-property-set
      match-property-keys: [OSFamily, worker]
    assigners:
      - !priority-age-assigner
        interval: 0.2
instances:
  - name: ""
    services:
      - !action-cache
        cache: *cache
      - !execution
        scheduler: *scheduler
      - !cas
        storage: *storage
      - !bytestream
        storage: *storage
thread-pool-size: 50
"""


def install_tools(directory: Path) -> Path:
    """Put BuildBox's programs into a directory, each run with its own libraries; actions have the machine's."""
    root = parts.get("buildbox")
    libraries = root / "usr/lib/x86_64-linux-gnu"
    directory.mkdir(parents=True, exist_ok=True)
    for name in _TOOLS:
        command = [libraries / "ld-linux-x86-64.so.2", "--library-path", libraries]
        words = " ".join(shlex.quote(str(word)) for word in command)
        script = directory / name
        script.write_text(f'#!/bin/sh\nexec {words} --argv0 "$0" {shlex.quote(str(root / "usr/bin" / name))} "$@"\n')
        script.chmod(0o755)
    return directory


class RemoteExecution:
    """A server with a database, and workers, all of which end with the `with`."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        # Sockets have short paths, and the database's user has to get there.
        self._directory = Path(tempfile.mkdtemp(prefix="fuki-remote-"))
        self.tools = install_tools(self._directory / "bin")
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self._port = _free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._stack.callback(shutil.rmtree, self._directory, ignore_errors=True)
        try:
            self._directory.chmod(0o755)
            self._start_database()
            self._start_server()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _start(
        self, name: str, command: Sequence[object], end: signal.Signals, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        log = self._stack.enter_context((self._directory / f"{name}.log").open("wb"))
        words = [str(word) for word in command]
        process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)
        self._stack.callback(_end, process, end)
        return process

    def _wait(self, name: str, process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not ready():
            log = (self._directory / f"{name}.log").read_text(errors="replace")[-4000:]
            assert process.poll() is None, f"{name} has ended:\n{log}"
            assert time.monotonic() < deadline, f"{name} is not ready:\n{log}"
            time.sleep(0.05)

    def _start_database(self) -> None:
        (programs,) = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
        directory = self._directory / "database"
        directory.mkdir()
        user = []
        if os.geteuid() == 0:
            # PostgreSQL does not run as root.
            shutil.chown(directory, "postgres", "postgres")
            user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        data = directory / "data"
        make = [*user, str(programs / "initdb"), "-A", "trust", "-U", "bgd", "--no-sync", "-D", str(data)]
        subprocess.run(make, check=True, capture_output=True, cwd=directory)
        options = {"listen_addresses": "", "unix_socket_directories": directory, "fsync": "off"}
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        process = self._start("postgres", [*user, programs / "postgres", "-D", data, *words], signal.SIGINT)
        check = [str(programs / "pg_isready"), "-q", "-h", str(directory), "-U", "bgd"]
        self._wait("postgres", process, lambda: subprocess.run(check, check=False).returncode == 0)

    def _start_server(self) -> None:
        bgd = parts.get("buildgrid") / "bin/bgd"
        database = self._directory / "database"
        url = f"postgresql+psycopg2://bgd@/postgres?host={database}"
        subprocess.run([bgd, "migrate", "apply", url], check=True, capture_output=True, timeout=_PATIENCE)
        configuration = self._directory / "server.yml"
        storage = self._directory / "storage"
        configuration.write_text(_SERVER.format(port=self._port, database=database, storage=storage))
        process = self._start("server", [bgd, "server", "start", configuration], signal.SIGTERM)
        self._wait("server", process, lambda: _listens(self._port))

    def add_worker(self, name: str, *, old_clients: bool = False) -> None:
        """A worker with a store of its own, whose actions see nothing of this process' environment.

        With `old_clients`, it takes actions that name their outputs as REAPI 2.0 did.
        """
        directory = self._directory / name
        directory.mkdir()
        here = {"PATH": "/usr/bin:/bin"}
        stored = directory / "sock"
        casd = [self.tools / "buildbox-casd", f"--cas-remote={self.url}", f"--ac-remote={self.url}"]
        casd += [f"--bind=unix:{stored}", "--quota-high=2G", "--reserved=100M", directory / "cache"]
        process = self._start(f"{name}-casd", casd, signal.SIGTERM, here)
        self._wait(f"{name}-casd", process, stored.exists)
        runner = self._old_runner() if old_clients else self.tools / "buildbox-run-hosttools"
        worker = [self.tools / "buildbox-worker", f"--bots-remote={self.url}", f"--cas-remote=unix:{stored}"]
        worker += [f"--buildbox-run={runner}", "--runner-arg=--clearenv", "--platform", "OSFamily=linux"]
        worker += ["--platform", f"worker={name}"]
        worker += ["--max-wait-time=5", "--bots-retry-limit=10", name]
        self.workers[name] = self._start(name, worker, signal.SIGTERM, here)

        # An action that only this worker can have ends when the server knows it.
        first = [str(self.tools / "trexe"), f"--remote={self.url}", f"--platform-properties=worker={name}", "/bin/true"]
        subprocess.run(first, check=True, capture_output=True, timeout=_PATIENCE, cwd=directory)

    def _old_runner(self) -> Path:
        script = self._directory / "run-old"
        words = [parts.get("buildgrid") / "bin/python", _OLD_OUTPUT_FILES, self.tools / "buildbox-run-hosttools"]
        script.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, words))} "$@"\n')
        script.chmod(0o755)
        return script

    def execute(self, script: Path, here: Path, *options: str) -> subprocess.Popen[str]:
        """Start a script that calls trexe; `finish` waits for it."""
        environment = {**os.environ, "PATH": f"{self.tools}{os.pathsep}{os.environ['PATH']}"}
        command = ["timeout", str(_PATIENCE), "sh", str(script), f"--remote={self.url}", *options]
        return subprocess.Popen(
            command, cwd=here, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def log(self, name: str) -> str:
        return (self._directory / f"{name}.log").read_text(errors="replace")


def finish(clients: Mapping[str, subprocess.Popen[str]]) -> dict[str, tuple[int, str]]:
    """Exit code and output of each client."""
    outputs = {name: client.communicate()[0] for name, client in clients.items()}
    return {name: (clients[name].returncode, output) for name, output in outputs.items()}


def metadata(path: Path) -> tuple[str, bool, str]:
    """Of trexe's result: the action's digest, whether it was in the cache, and the worker."""
    document = json.loads(path.read_text())
    digest = document["actionDigest"]
    result = document["actionResultMetadata"]
    worker = document["executionMetadata"]["worker"]
    return f"{digest['hash']}/{digest['sizeBytes']}", result["cachedResult"], worker


def _end(process: subprocess.Popen[bytes], end: signal.Signals) -> None:
    process.send_signal(end)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
