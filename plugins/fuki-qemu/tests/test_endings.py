"""However a boot ends, no process and no file is left; and what is wrong is told in one error."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fuki_build import FukiError, inspect, new_host
from fuki_build.testing import guarding, invoke
from probe_image import build

from fuki_qemu import PROBE, guest, session, told
from fuki_qemu.boot_request import BootRequest
from fuki_qemu.guest import Screen


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("image"))


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where scratch files go; processes of this test have its path in their command line or environment."""
    directory = tmp_path / "scratch"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    monkeypatch.setattr("tempfile.tempdir", None)
    return directory


def processes(scratch: Path) -> set[int]:
    """QEMU and swtpm as this test started them."""
    endings = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].rpartition(b"/")[2] in {b"qemu-system-x86_64", b"swtpm"} and any(
            os.fsencode(scratch) in word for word in words
        ):
            endings.add(int(path.parent.name))
    return endings


def arguments(image: Path, firmware: Path) -> list[str]:
    return ["--plugin", "qemu", "boot", str(image), "--firmware", str(firmware), "--no-kvm", "--json"]


def test_a_timeout_is_an_error_that_leaves_nothing(image, part, scratch, tmp_path):
    done = invoke(tmp_path, *arguments(image, part("ovmf-code")), "--timeout", "1")
    assert done.code == 1
    assert '"ending": "timeout"' in done.out
    assert "was not done after 1 seconds" in done.err
    assert processes(scratch) == set()
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_leave_nothing(number, code, image, part, scratch):
    command = [sys.executable, "-m", "fuki_build", *arguments(image, part("ovmf-code"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as fuki:
        wait_for(lambda: len(processes(scratch)) == 2)
        fuki.send_signal(number)
        fuki.communicate(timeout=60)
    assert fuki.returncode == code
    assert processes(scratch) == set()
    assert list(scratch.iterdir()) == []


def test_a_killed_fuki_leaves_nothing(image, part, scratch):
    command = [sys.executable, "-m", "fuki_build", *arguments(image, part("ovmf-code"))]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as fuki:
        wait_for(lambda: len(processes(scratch)) == 2)
        fuki.kill()
    wait_for(lambda: processes(scratch) == set() and list(scratch.iterdir()) == [])


def test_programs_see_no_secret_of_the_environment(image, part, scratch, monkeypatch):
    monkeypatch.setenv("FUKI_TEST_SECRET", "secret")
    seen: list[bytes] = []

    def look(_: Path, _since: int) -> None:
        seen.extend(Path(f"/proc/{number}/environ").read_bytes() for number in processes(scratch))
        raise RuntimeError("from a test")

    monkeypatch.setattr(guest, "refusal_of", look)
    with pytest.raises(RuntimeError, match="from a test"):
        session.boot(BootRequest(image=image, firmware=part("ovmf-code"), kvm=False, screen=Screen.NONE), new_host())
    assert len(seen) == 2
    assert not any(b"FUKI_TEST_SECRET" in environment for environment in seen)


def wait_for(condition) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_an_exception_while_the_guest_runs_leaves_nothing(image, part, scratch, monkeypatch):
    def fail(_: Path, _since: int) -> None:
        wait_for(lambda: len(processes(scratch)) == 2)
        raise RuntimeError("from a test")

    monkeypatch.setattr(guest, "refusal_of", fail)
    request = BootRequest(image=image, firmware=part("ovmf-code"), kvm=False, screen=Screen.NONE)
    with pytest.raises(RuntimeError, match="from a test"):
        session.boot(request, new_host())
    assert processes(scratch) == set()
    assert list(scratch.iterdir()) == []


def test_what_a_guest_told_does_not_replace_the_image(image, tmp_path):
    for name in ("place", "keep"):
        (tmp_path / name).mkdir()
    (tmp_path / "place/console").write_text("from the guest")
    (tmp_path / "keep/console").hardlink_to(image)
    with guarding():
        inspect(image)
        with pytest.raises(FukiError, match="would replace the input"):
            told.keep_told(tmp_path / "place", tmp_path / "keep")
    assert (tmp_path / "keep/console").samefile(image)


def test_what_qemu_complains_of_is_told(image, part, scratch, tmp_path):
    done = invoke(tmp_path, *arguments(image, part("ovmf-code")), "--memory", "64000000G")
    assert done.code == 1
    assert "error: QEMU failed: " in done.err
    assert list(scratch.iterdir()) == []


def test_missing_programs_are_named_with_their_packages(image, part, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = invoke(tmp_path, *arguments(image, part("ovmf-code")), "--verify")
    assert done.code == 1
    assert "no qemu-system-x86_64, mformat, mmd, mcopy, swtpm" in done.err
    assert "Debian: qemu-system-x86 mtools swtpm; Fedora: qemu-system-x86-core mtools swtpm; Arch: " in done.err


def test_mistakes_end_in_one_error(image, part, tmp_path):
    base = arguments(image, part("ovmf-code"))
    addon = tmp_path / "a.addon.efi"
    for more, code, text in [
        (["--as", "nowhere"], 2, "there is no platform 'nowhere'"),
        (["--profile", "9"], 2, "there is no profile '9'"),
        (["--memory", "much"], 2, "is no size of memory"),
        (["--direct", "--addon", addon], 1, "the stub finds no addons"),
        (["--addon", tmp_path / "x" / addon.name, "--addon", addon], 1, "two addons have one name"),
        (["--secure-boot", tmp_path], 1, "was built without Secure Boot"),
        (["--options", "a", "--firmware", part("stub-x64")], 1, "keeps no variables"),
    ]:
        done = invoke(tmp_path, *base, *more)
        assert done.code == code, done
        assert text in done.err
        assert done.err.count("error:") == 1
        assert done.out == ""


def test_what_is_no_uki_for_x64_is_refused(part, tmp_path):
    shutil.copyfile(PROBE, tmp_path / "probe.efi")
    done = invoke(tmp_path, *arguments(tmp_path / "probe.efi", part("ovmf-code")))
    assert done.code == 1
    assert "this is no UKI" in done.err


def test_an_image_that_does_not_start_is_told_with_the_firmwares_reason(part, tmp_path):
    """The stub refuses a kernel that is none."""
    image = build(tmp_path / "image")
    data = image.read_bytes()
    (tmp_path / "broken.efi").write_bytes(data.replace(PROBE.read_bytes()[:64], b"\0" * 64, 1))
    done = invoke(tmp_path, *arguments(tmp_path / "broken.efi", part("ovmf-code")), "--timeout", "100")
    assert done.code == 1
    assert '"ending": "refused"' in done.out
    assert "the firmware did not start the image: " in done.err


def test_a_guest_that_kvm_cannot_run_is_not_waited_for(tmp_path: Path):
    """QEMU stays, with its guest stopped, where KVM reports an internal error."""
    (tmp_path / "guest").mkdir()
    command = ["sh", "-c", "echo KVM internal error. Suberror: 1 >&2; exec sleep 600"]

    with pytest.raises(FukiError, match="KVM cannot run this guest"):
        guest.run(command, tmp_path / "guest/console", None, tpm=None, screen=Screen.NONE)
