"""The first hour of newcomers: tutorials in an environment with nothing but Python, apt's packages and fuki's wheels.

What they see on a terminal of 80 columns and 24 lines is kept in golden/, and was looked at: FUKI_WRITE_GOLDEN=1 writes
it.
"""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import parts
import pytest

from fuki_build.formats.tcg import event_log
from tests.docs.conftest import lay_out as lay_out  # noqa: PLC0414 - the pages' own fixture
from tests.docs.pages import CHECKOUT, blocks
from tests.docs.test_commands import WALKED, Prepare, Session
from tests.docs.test_commands import prepare as prepare  # noqa: PLC0414 - the pages' own fixture
from tests.support.installed import install, wheel

GOLDEN = Path(__file__).parent / "golden"
PLUGINS = ("gcp", "azure", "qemu")


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> Path:
    """Where the programs of a fresh environment are."""
    directories = [CHECKOUT / "plugins" / f"fuki-{name}" for name in PLUGINS]
    return install(tmp_path_factory.mktemp("fresh") / "venv", wheel(tmp_path_factory), *directories)


class FreshSession(Session):
    """A page's commands with the installed fuki, the system's programs, and nothing of the environment of the tests."""

    def environment(self) -> dict[str, str]:
        home = self.here / ".home"
        home.mkdir(exist_ok=True)
        # The cache of packages is shared, as it is among sessions of one user.
        cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
        path = os.pathsep.join((str(self.programs), "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"))
        return {"PATH": path, "HOME": str(home), "XDG_CACHE_HOME": cache, "LC_ALL": "C.UTF-8"}


def walk(page: str, prepare: Prepare, programs: Path) -> FreshSession:
    session = FreshSession(prepare, programs)
    for block in blocks(page):
        session.play(block)
    return session


def test_a_builder_comes_from_mkosi_conf_to_a_signed_image_for_two_clouds(prepare, programs):
    session = walk("docs/tutorial/two-clouds.md", prepare, programs)
    capture(session, "two-clouds-plan", "fuki plan")
    capture(session, "two-clouds-match", "fuki --plugin gcp --plugin azure match out/appliance_1.efi --platform all")


@pytest.fixture
def reviewed(prepare, programs) -> FreshSession:
    """The directory of a reviewer at the end: the image, components for pcrlock, and the log of a booted guest."""
    return walk("docs/tutorial/review-a-strangers-image.md", prepare, programs)


def test_a_reviewer_comes_from_a_stranger_s_image_to_a_policy_of_systemd_pcrlock(reviewed, tmp_path):
    capture(reviewed, "review-inspect", "fuki inspect foreign.efi")
    capture(reviewed, "review-verify", "fuki verify foreign.efi")
    capture(reviewed, "review-measure", "fuki measure foreign.efi --pcr 11 --phase enter-initrd")

    log = reviewed.here / "booted/event-log"
    with tpm(tmp_path, event_log.decode(log.read_bytes())) as device:
        components = reviewed.here / "foreign.pcrlock.d"
        policy = tmp_path / "policy.json"
        done = pcrlock(device, log, components, "make-policy", "--pcr=11", f"--policy={policy}")
        assert done.returncode == 0, done.stderr
        (register,) = json.loads(policy.read_text())["pcrValues"]
        assert register["pcr"] == 11
        # What the TPM itself makes of the guest's log.
        environment = {**os.environ, "TPM2TOOLS_TCTI": device}
        read = ["tpm2_pcrread", "sha256:11"]
        booted = subprocess.run(read, env=environment, capture_output=True, text=True, check=True).stdout
        assert booted.split("0x")[1].strip().lower() in register["values"]

        # Of another image, the same log is not explained, and the register is left out.
        other = components / "650-uki.pcrlock.d"
        for path in other.iterdir():
            text = path.read_text()
            records = json.loads(text)["records"]
            records[-1]["digests"] = [{**digest, "digest": digest["digest"][::-1]} for digest in records[-1]["digests"]]
            path.write_text(json.dumps({"records": records}))
        policy.unlink()
        done = pcrlock(device, log, components, "make-policy", "--pcr=11", "--force", f"--policy={policy}")
        kept = json.loads(policy.read_text())["pcrValues"] if policy.exists() else []
        assert not kept


def pcrlock(device: str, log: Path, components: Path, verb: str, *options: str) -> subprocess.CompletedProcess[str]:
    program = parts.get("systemd-pcrlock")
    libraries = program.parents[1] / "x86_64-linux-gnu"
    environment: Mapping[str, str] = {
        **os.environ,
        "LD_LIBRARY_PATH": f"{libraries}:{libraries}/systemd",
        "SYSTEMD_MEASURE_LOG_FIRMWARE": str(log),
        "SYSTEMD_MEASURE_LOG_USERSPACE": str(log.parent / "none"),
        "SYSTEMD_TPM2_DEVICE": device,
    }
    command = [str(program), verb, f"--components={components}", *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@contextmanager
def tpm(directory: Path, log: event_log.EventLog) -> Iterator[str]:
    """A software TPM whose registers were extended as a log says; gives how to reach it."""
    (directory / "state").mkdir()
    path = directory / "tpm"
    command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={directory / 'state'}", "--flags"]
    command += ["not-need-init,startup-clear", "--server", f"type=unixio,path={path}"]
    command += ["--ctrl", f"type=unixio,path={path}.ctrl"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            while not path.exists():
                assert process.poll() is None
            environment = {**os.environ, "TPM2TOOLS_TCTI": f"swtpm:path={path}"}
            extends = [
                f"{event.register}:" + ",".join(f"{bank}={digest.hex()}" for bank, digest in event.digests.items())
                for event in log.events
                if event.type != event_log.EV_NO_ACTION
            ]
            # One call takes several.
            subprocess.run(["tpm2_pcrextend", *extends], env=environment, check=True)
            yield f"swtpm:path={path}"
        finally:
            process.terminate()


def capture(session: FreshSession, name: str, command: str) -> None:
    """Hold what a command shows on a terminal of 80 columns against what was looked at."""
    shown = on_terminal(command, session.here, session.environment())
    # Rows of SBAT are shown as they stand in the image, to be copied.
    assert all(len(line) <= 80 for line in shown.splitlines() if not re.match(r"  [\w.-]+,\d+,", line)), shown
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("FUKI_WRITE_GOLDEN"):
        path.write_text(shown)
    assert stable(shown) == stable(path.read_text()), shown


def stable(text: str) -> str:
    """A screen without what another kernel, stub or firmware changes: numbers, digests, and the widths they give."""
    text = re.sub(r"\b[0-9a-f]{16,}\b", "DIGEST", text)
    text = re.sub(r"(?<![0-9a-f-])(?:0x[0-9a-f]+|\d[\w.+~-]*)", "N", text)
    return "\n".join(" ".join(line.split()) for line in text.splitlines())


def on_terminal(command: str, directory: Path, environment: Mapping[str, str]) -> str:
    """What a command prints on a terminal of 80 columns and 24 lines, without colours."""
    child, terminal = pty.fork()
    if child == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        os.chdir(directory)
        os.execve("/bin/sh", ["sh", "-c", command], {**environment, "TERM": "dumb"})  # noqa: S606 - the shell itself
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(terminal)
    os.waitpid(child, 0)
    return shown.decode().replace("\r\n", "\n")


def test_every_page_that_is_walked_is_walked_here():
    assert all(Path(__file__).read_text().count(f'walk("{page}"') == 1 for page in WALKED)


def test_the_environment_of_a_walk_has_nothing_of_the_tests(prepare, programs):
    session = FreshSession(prepare, programs)
    session.directory = prepare("empty")
    command = "command -v fuki; fuki plugins; command -v pytest || echo none"
    shown = on_terminal(command, session.here, session.environment())
    assert shown.splitlines()[0] == str(programs / "fuki")
    assert shown.splitlines()[-1] == "none"
    assert str(Path(sys.executable).parent) not in shown
    assert not re.search(r"(?m)^coco ", shown)
    assert re.search(r"(?m)^gcp ", shown)
