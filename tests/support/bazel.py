"""Debian's Bazel 4.2.3, without a network, and what it wants to download."""

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import parts

RULES = parts.CHECKOUT / "integrations" / "bazel"
_DEFINITIONS = {
    "rules_cc/cc": ("cc_binary", "cc_library", "cc_toolchain", "cc_toolchain_suite"),
    "rules_java/java": ("java_import", "java_runtime", "java_toolchain"),
}
"""What Bazel 4 loads from two repositories, where toolchains of its own are registered; it has these rules itself."""
_IDLE = 30
"""Seconds after which a server ends that nobody has shut down."""
_TOO_LONG = 300
WORKSPACE = """\
workspace(name = "acme")

local_repository(
    name = "fuki",
    path = "{rules}",
)

load("@fuki//:repositories.bzl", "installed_fuki")

installed_fuki(name = "installed_fuki")

register_toolchains("@installed_fuki//:toolchain")
"""


def install_bazel(directory: Path, programs: Path) -> Path:
    """Put a `bazel` into `programs` that keeps all its state in `directory`, and needs no network."""
    options = []
    for place, names in _DEFINITIONS.items():
        repository = directory / place.split("/")[0]
        (directory / place).mkdir(parents=True)
        (repository / "WORKSPACE").touch()
        (directory / place / "BUILD").touch()
        (directory / place / "defs.bzl").write_text("".join(f"{name} = native.{name}\n" for name in names))
        options.append(f"build --override_repository={repository.name}={repository}\n")
    options.append("build --color=no --curses=no --show_progress_rate_limit=60\n")
    configuration = directory / "bazelrc"
    configuration.write_text("".join(options))

    # Debian's has its parts in the file system, as its own configuration says, which we leave out.
    startup = ["--install_base=/usr/share/bazel", "--trust_install_base", "--nosystem_rc", "--nohome_rc"]
    startup += [f"--bazelrc={configuration}", f"--max_idle_secs={_IDLE}"]
    words = " ".join([*startup, f"--output_user_root={directory / 'state'}"])
    script = programs / "bazel"
    script.write_text(f'#!/bin/sh\nexec /usr/bin/bazel {words} "$@"\n')
    script.chmod(0o755)
    return script


class BazelWorkspace:
    """A directory whose targets Bazel builds; `close` ends Bazel's server."""

    def __init__(self, program: Path, directory: Path, fuki: Path) -> None:
        self.directory = directory
        self._program = program
        self._environment = {**os.environ, "HOME": str(directory), "FUKI": str(fuki)}
        (directory / "WORKSPACE").write_text(WORKSPACE.format(rules=RULES))

    def run(self, *arguments: str, code: int = 0, environment: Mapping[str, str] | None = None) -> str:
        """Run a command of Bazel's, which ends with `code`; gives all that it says."""
        done = subprocess.run(
            [self._program, *arguments],
            cwd=self.directory,
            env={**self._environment, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TOO_LONG,
            check=False,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    def build(self, *arguments: str, code: int = 0) -> str:
        """Build targets in Bazel's sandbox."""
        return self.run("build", "--spawn_strategy=linux-sandbox", *arguments, code=code)

    def output(self, name: str) -> bytes:
        return (self.directory / "bazel-bin" / name).read_bytes()

    def close(self) -> None:
        pid = int(self.run("info", "server_pid").splitlines()[-1])
        self.run("shutdown")
        # It ends a little later than it says, and writes into its directory until then.
        for _ in range(200):
            if not Path(f"/proc/{pid}").exists():
                return
            time.sleep(0.05)
