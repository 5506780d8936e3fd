"""Calls of ukify as other builders make them, replayed with ukify and with `fuki ukify`: the same verdicts and bytes.

The forms are read off their sources: OpenEmbedded's uki.bbclass, nixpkgs' boot.uki, bootc's `container ukify`, and
mkosi's scripts for the Open Build Service.
"""

import base64
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import parts
import pytest

from fuki_build.testing import partial_recipe
from tests.support.ukify_calls import IMAGE, JOINED, PROFILE, PROFILES, Both

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
WHO = ("theirs", "ours")


def wrapper(path: Path, who: str, **environment: str) -> Path:
    """A program `ukify` as a user puts it in place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    command = (
        [sys.executable, str(parts.get("ukify"))] if who == "theirs" else [sys.executable, "-m", "fuki_build", "ukify"]
    )
    assigned = [f"{key}={value}" for key, value in environment.items()]
    path.write_text(f'#!/bin/sh\nexec env {shlex.join([*assigned, *command])} "$@"\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def run(directory: Path) -> Callable[..., int]:
    """`run(command, cwd)` runs a command and gives its exit code; a text goes through a shell."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}

    def run(command: list[str] | str, cwd: Path = directory, **more: str) -> int:
        done = subprocess.run(
            command,
            shell=isinstance(command, str),
            cwd=cwd,
            env={**environment, **more},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr or "fuki_build" not in done.stderr
        return done.returncode

    return run


RECIPE = partial_recipe(
    """
[[fuki.firmware]]
source = "directory"
path = "firmware/ovmf-generic"
platforms = ["qemu:q35"]
""",
    version="1",
)


class TestYocto:
    """`do_uki` puts a command together as text, and runs it in a shell."""

    def command(
        self, directory: Path, who: str, *, extra: str = "", uname: str = "", configuration: bool = True
    ) -> str:
        prefix = f"FUKI_RECIPE={directory / 'fuki.toml'} " if (directory / "fuki.toml").exists() else ""
        text = (
            f"{prefix}{wrapper(directory / 'bin' / who, who)} build --efi-arch x64 --stub {directory}/linuxx64.efi.stub"
        )
        text += f" --initrd={directory}/core-image-minimal-initramfs.cpio --linux={directory}/bzImage{uname}"
        text += " --cmdline='rootwait root=LABEL=root console=ttyS0,115200'"
        text += f" --devicetree {directory}/first.dtb --devicetree {directory}/second.dtb"
        text += f" --config={directory}/uki.conf" if configuration else ""
        text += f" --tools={directory}/sysroot-native/usr/lib/systemd/tools --os-release=@{directory}/os-release{extra}"
        return f"{text}  --output={directory}/{who}.efi"

    @pytest.fixture
    def deployed(self, directory: Path) -> Path:
        for name, source in {"bzImage": "vmlinuz", "linuxx64.efi.stub": "stub"}.items():
            (directory / name).symlink_to(directory / source)
        (directory / "core-image-minimal-initramfs.cpio").symlink_to(directory / "early.img")
        (directory / "uki.conf").write_text("[UKI]\nSplash=splash.bmp\nHWIDs=\nSBAT=@sbat.csv\n")
        return directory

    def test_the_task_s_command_makes_the_same_bytes(self, deployed, run):
        assert [run(self.command(deployed, who)) for who in WHO] == [0, 0]
        assert (deployed / "ours.efi").read_bytes() == (deployed / "theirs.efi").read_bytes()

    def test_a_recipe_in_the_command_s_environment_adds_firmware(self, deployed, run, inspect):
        (deployed / "fuki.toml").write_text(RECIPE)
        assert run(self.command(deployed, "ours")) == 0
        assert [firmware["fwid"] for firmware in inspect(deployed / "ours.efi")["firmware"]] == ["ovmf-generic"]

    def test_keys_sign_image_and_kernel(self, deployed, run, tool):
        request = ("req", "-x509", "-newkey", "rsa:2048", "-noenc", "-subj", "/CN=db", "-keyout", "db.key")
        tool("openssl", *request, "-out", "db.crt", cwd=deployed)
        keys = " --sign-kernel --secureboot-private-key='db.key' --secureboot-certificate='db.crt'"
        for who in WHO:
            assert run(self.command(deployed, who, extra=keys)) == 0
            tool("sbverify", "--cert", "db.crt", f"{who}.efi", cwd=deployed)

    @pytest.mark.parametrize(
        ("fault", "code"),
        [
            # With KERNEL_VERSION, the class leaves no blank before the option.
            ({"uname": "--uname 6.12"}, 2),
            ({"extra": " --no-such-option"}, 2),
            ({"extra": " --secureboot-private-key='db.key'"}, 1),
            ({"extra": " --splash=missing"}, 1),
        ],
    )
    def test_what_ukify_refuses_is_refused_with_the_same_code(self, deployed, run, fault, code):
        assert [run(self.command(deployed, who, **fault)) for who in WHO] == [code, code]
        assert not (deployed / "ours.efi").exists()


SETTINGS = {
    "Cmdline": "init=/nix/store/x-nixos-system/init loglevel=4 lsm=landlock,yama,bpf",
    "EFIArch": "x64",
    "Initrd": "{}/early.img",
    "Linux": "{}/vmlinuz",
    "OSRelease": "@{}/os-release",
    "Stub": "{}/stub",
    "Uname": "6.12.107",
}


class TestNix:
    """`system.build.uki` runs lib/systemd/ukify of a package, with everything in a generated configuration."""

    def build(self, run: Callable[..., int], directory: Path, who: str, **environment: str) -> int:
        settings = {key: value.format(directory) for key, value in SETTINGS.items()}
        text = "[UKI]\n" + "".join(f"{key}={value}\n" for key, value in sorted(settings.items()))
        (directory / "ukify.conf").write_text(text)
        ukify = wrapper(directory / who / "lib/systemd/ukify", who, **environment)
        return run(f'{ukify} build --config={directory}/ukify.conf --output="{directory}/{who}_1+3.efi"')

    def test_the_builder_makes_the_same_bytes(self, directory, run):
        assert [self.build(run, directory, who) for who in WHO] == [0, 0]
        assert (directory / "ours_1+3.efi").read_bytes() == (directory / "theirs_1+3.efi").read_bytes()

    def test_a_package_of_fuki_s_adds_what_its_recipe_says(self, directory, run, inspect):
        (directory / "fuki.toml").write_text(RECIPE)
        assert self.build(run, directory, "ours", FUKI_RECIPE=str(directory / "fuki.toml")) == 0
        assert [firmware["fwid"] for firmware in inspect(directory / "ours_1+3.efi")["firmware"]] == ["ovmf-generic"]

    def test_a_missing_kernel_ends_with_the_same_code(self, directory, run):
        (directory / "vmlinuz").unlink()
        assert [self.build(run, directory, who) for who in WHO] == [1, 1]
        assert not list(directory.glob("*.efi"))


class TestBootc:
    """`bootc container ukify --rootfs ROOT -- ARGS`: ukify on PATH, in the root tree, with paths relative to it."""

    KERNEL = "usr/lib/modules/6.12.107"

    @pytest.fixture
    def root(self, directory: Path) -> Path:
        root = directory / "root"
        (root / self.KERNEL).mkdir(parents=True)
        (root / "usr/lib/systemd/boot/efi").mkdir(parents=True)
        shutil.copy(directory / "vmlinuz", root / self.KERNEL / "vmlinuz")
        shutil.copy(directory / "early.img", root / self.KERNEL / "initramfs.img")
        shutil.copy(directory / "os-release", root / "usr/lib/os-release")
        shutil.copy(directory / "stub", root / "usr/lib/systemd/boot/efi/linuxx64.efi.stub")
        return root

    def build(self, run: Callable[..., int], root: Path, who: str, *further: str) -> int:
        path = wrapper(root.parent / who / "ukify", who).parent
        command = ["ukify", "build", "--linux", f"{self.KERNEL}/vmlinuz", "--initrd", f"{self.KERNEL}/initramfs.img"]
        command += ["--uname", "6.12.107", "--cmdline", "root=UUID=1  rw composefs=1a2b", "--os-release"]
        command += ["@usr/lib/os-release", *further]
        return run(command, root, PATH=f"{path}{os.pathsep}{os.environ['PATH']}")

    def test_the_command_makes_the_same_bytes(self, root, run):
        stub = "--stub=usr/lib/systemd/boot/efi/linuxx64.efi.stub"
        outputs = {who: root.parent / f"{who}.efi" for who in WHO}
        assert [self.build(run, root, who, stub, "--output", str(outputs[who])) for who in WHO] == [0, 0]
        assert outputs["ours"].read_bytes() == outputs["theirs"].read_bytes()

    def test_without_a_stub_anywhere_both_fail(self, root, run):
        assert not Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub").exists()
        assert [self.build(run, root, who, f"--output={who}.efi") for who in WHO] == [1, 1]
        assert not list(root.glob("*.efi"))

    def test_a_wrong_argument_that_is_passed_on_is_a_mistake_of_usage(self, root, run):
        assert [self.build(run, root, who, "--karg=quiet") for who in WHO] == [2, 2]


class TestBuildService:
    """examples/obs/rounds, with OpenSSL for the service."""

    @pytest.fixture
    def both(self, directory: Path, tool) -> Both:
        for name in ("pcr", "db"):
            request = (
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-noenc",
                "-subj",
                f"/CN={name}",
                "-keyout",
                f"{name}.key",
            )
            tool("openssl", *request, "-out", f"{name}.crt", cwd=directory)

        tool("openssl", "rsa", "-in", "pcr.key", "-pubout", "-out", "pcr.pub", cwd=directory)
        (directory / "small.efi").symlink_to(parts.get("kernel-x64"))

        pair = Both(directory)
        for name in ("one", "two"):
            assert pair.theirs(*PROFILE, *PROFILES[name], f"--output={name}.profile").code == 0

        return pair

    def round(self, directory: Path, step: str, image: str, *more: str, who: str = "ours") -> None:
        ukify = wrapper(directory / "bin" / who, who)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            [EXAMPLES / "obs" / "rounds", step, image, "hashes", *more],
            cwd=directory,
            env={**os.environ, "PATH": path, "UKIFY": str(ukify)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def sign(self, directory: Path, key: str) -> int:
        """Sign every file that waits for it, as the service does; returns how many."""
        files = [path for path in (directory / "hashes").rglob("*") if path.is_file() and path.suffix != ".sig"]
        for path in files:
            command = ["openssl", "dgst", "-sha256", "-sign", key, "-out", f"{path}.sig", str(path)]
            subprocess.run(command, cwd=directory, check=True)
        return len(files)

    @pytest.mark.parametrize("builder", WHO)
    def test_an_image_goes_through_the_rounds_and_is_signed(self, both, tool, builder):
        directory = both.directory
        call = (*IMAGE, *JOINED, "--policy-digest", "--pcr-public-key=pcr.pub", "--pcr-banks=sha256", "--json=short")
        built = (both.theirs if builder == "theirs" else both.ours)(*call, "--output=image.efi")
        assert built.code == 0, built.err
        (directory / "image.pcrs").write_text(built.out)

        self.round(directory, "policies-out", "image.efi")
        policies = json.loads(built.out)["sha256"]
        assert self.sign(directory, "pcr.key") == len({policy["pol"] for policy in policies})
        shutil.copy(directory / "image.efi", directory / "other.efi")
        shutil.copy(directory / "image.pcrs", directory / "other.pcrs")
        shutil.copytree(directory / "hashes/pcrs/image.efi", directory / "hashes/pcrs/other.efi")
        self.round(directory, "policies-in", "image.efi")
        self.round(directory, "policies-in", "other.efi", who="theirs")
        assert (directory / "image.efi").read_bytes() == (directory / "other.efi").read_bytes()
        shutil.rmtree(directory / "hashes")

        self.round(directory, "image-out", "image.efi")
        assert self.sign(directory, "db.key") == 1
        self.round(directory, "image-in", "image.efi", "db.crt")
        tool("sbverify", "--cert", "db.crt", "image.efi", cwd=directory)
        tool(sys.executable, "-m", "fuki_build", "verify", "image.efi", "--certificate", "db.crt", cwd=directory)
        self.hold_policies(both, policies)

    def hold_policies(self, both: Both, policies: list[dict[str, str]]) -> None:
        """Every policy in the image is signed, by OpenSSL's own verification."""
        directory = both.directory
        both.ours("inspect", "image.efi", "--section=.pcrsig:binary@signed.json")
        signed = json.loads((directory / "signed.json").read_bytes())["sha256"]
        assert {policy["pol"] for policy in signed} <= {policy["pol"] for policy in policies}
        for policy in signed:
            (directory / "policy").write_bytes(bytes.fromhex(policy["pol"]))
            (directory / "signature").write_bytes(base64.b64decode(policy["sig"]))
            command = ["openssl", "dgst", "-sha256", "-verify", "pcr.pub", "-signature", "signature", "policy"]
            assert subprocess.run(command, cwd=directory, capture_output=True, check=False).returncode == 0
