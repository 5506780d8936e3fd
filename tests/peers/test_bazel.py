"""Images as targets of a real Bazel: in its sandbox, with a remote cache, and executed by BuildGrid's workers."""

import base64
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import parts
import pytest

from fuki_build.testing import succeed
from fuki_build.testing.secure_boot import make_identity, write_certificates, write_key
from tests.conftest import RECIPE
from tests.support.bazel import BazelWorkspace, install_bazel
from tests.support.remote_execution import RemoteExecution
from tests.support.workshop import BASE, lay_out

FUKI = Path(sys.executable).with_name("fuki")
MATRIX = RECIPE.replace('initrd = ["initrd.img"]', 'initrd = ["inputs/{{ matrix.cloud }}.img"]').replace(
    "root ro", "root ro console={{ matrix.console }}"
) + (
    '[fuki.matrix]\ncloud = ["aws", "gcp"]\nconsole = ["ttyS0", "tty0"]\n'
    '[[fuki.output]]\nformat = "uki"\npath = "out/{{ matrix.cloud }}-{{ matrix.console }}.efi"\n'
    '[[fuki.output]]\nformat = "manifest"\n'
)
IDS = [f"cloud={cloud},console={console}" for cloud in ("aws", "gcp") for console in ("ttyS0", "tty0")]
LOAD = 'load("@fuki//:defs.bzl", "fuki_matrix", "fuki_measure", "fuki_uki")\n'
TARGETS = LOAD + (
    'load(":cells.bzl", "CELLS")\n'
    'fuki_matrix(name = "images", recipe = "fuki.toml", cells = CELLS, outputs = {"manifest": ".manifest.json"})\n'
    'fuki_measure(name = "measured", images = [":images"], platforms = ["qemu:q35"], banks = ["sha384"])\n'
)


@pytest.fixture(scope="module")
def bazel(tmp_path_factory):
    """One workspace, as each has a server of its own; tests fill it anew."""
    base = tmp_path_factory.mktemp("bazel")
    (base / "bin").mkdir()
    (base / "workspace").mkdir()
    workspace = BazelWorkspace(install_bazel(base / "bazel", base / "bin"), base / "workspace", FUKI)
    yield workspace
    workspace.close()


@pytest.fixture(scope="module")
def engine():
    with RemoteExecution() as engine:
        for name in ("one", "two"):
            engine.add_worker(name, old_clients=True)
        yield engine


@pytest.fixture
def workspace(bazel):
    """The matrix as targets, of inputs that no other test has, so that no result is known."""
    here = bazel.directory
    for path in here.iterdir():
        if path.name != "WORKSPACE" and not path.is_symlink():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name in BASE:
        (here / name).unlink(missing_ok=True)
    files = {f"inputs/{cloud}.img": os.urandom(100_000) for cloud in ("aws", "gcp")}
    lay_out(here, real=BASE, files={**files, "os-release": "ID=acme\n", "BUILD.bazel": TARGETS}, recipe=MATRIX)
    write_cells(here)
    return bazel


def write_cells(here):
    cells = json.loads(succeed(here, "inputs", "--json").out)["cells"]
    inputs = {cell["id"]: [item["path"] for item in cell["inputs"]] for cell in cells}
    (here / "cells.bzl").write_text(f"CELLS = {json.dumps(inputs)}\n")


def images(workspace):
    return {id_: workspace.output(f"images/{id_}.efi") for id_ in IDS}


def local_images(here):
    """What fuki builds without Bazel, and writes elsewhere."""
    succeed(here, "build")
    files = [here / "out" / f"{cloud}-{console}.efi" for cloud in ("aws", "gcp") for console in ("ttyS0", "tty0")]
    return dict(zip(IDS, [path.read_bytes() for path in files], strict=True))


class TestSandbox:
    def test_each_cell_is_a_target_whose_bytes_are_those_of_a_build_without_bazel(self, workspace):
        said = workspace.build("//:images")
        # A plan, and of each cell the image and the manifest.
        assert "9 linux-sandbox" in said
        assert images(workspace) == local_images(workspace.directory)
        manifest = json.loads(workspace.output(f"images/{IDS[0]}.manifest.json"))
        (initrd,) = [section for section in manifest["images"][0]["sections"] if section["name"] == ".initrd"]
        content = (workspace.directory / "inputs/aws.img").read_bytes()
        assert initrd["sha256"] == hashlib.sha256(content).hexdigest()
        plan = json.loads(workspace.output("images.plan.json"))
        assert [cell["cell"] for cell in plan["cells"]] == IDS

        assert "linux-sandbox" not in workspace.build("//:images")
        (workspace.directory / "inputs/gcp.img").write_bytes(os.urandom(100_000))
        # Two cells have it; the plan looks at all inputs.
        assert "5 linux-sandbox" in workspace.build("//:images")
        assert images(workspace) == local_images(workspace.directory)

    def test_an_input_that_is_not_declared_fails_the_action(self, workspace):
        cells = workspace.directory / "cells.bzl"
        cells.write_text(cells.read_text().replace('"inputs/aws.img", ', ""))
        said = workspace.build(f"//:images/{IDS[0]}", code=1)
        assert "fuki.image.initrd[0]: cannot open inputs/aws.img" in said
        workspace.build(f"//:images/{IDS[2]}")

    def test_a_cell_that_nobody_named_is_told(self, workspace):
        cells = workspace.directory / "cells.bzl"
        named = json.loads(cells.read_text().removeprefix("CELLS = "))
        del named[IDS[3]]
        cells.write_text(f"CELLS = {json.dumps(named)}\n")
        said = workspace.build("//:images", code=1)
        assert "the recipe has cells that 'cells' of this target does not name" in said

    def test_an_action_has_no_network(self, workspace):
        """The server is there: outside of the sandbox, the same action gets its firmware from it."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            answering = threading.Thread(target=answer, args=(server, parts.get("ovmf-generic").read_bytes()))
            answering.start()
            port = server.getsockname()[1]
            fetch = f"exec 3<>/dev/tcp/127.0.0.1/{port} && cat <&3"
            firmware = '[[fuki.firmware]]\nsource = "command"\nid = "fetched"\nplatforms = ["qemu:q35"]\n'
            recipe = RECIPE + firmware + f'command = ["bash", "-c", "{fetch}"]\n'
            lay_out(workspace.directory, files={"initrd.img": b"initrd"}, recipe=recipe)
            srcs = '["stub", "vmlinuz", "initrd.img", "os-release"]'
            build = LOAD + f'fuki_uki(name = "image", recipe = "fuki.toml", srcs = {srcs})\n'
            (workspace.directory / "BUILD.bazel").write_text(build)
            assert "Connection refused" in workspace.build("//:image", code=1)
            workspace.run("build", "//:image", "--spawn_strategy=local")
            answering.join()
        assert b"fetched" in workspace.output("image.efi")

    def test_measurements_are_those_that_fuki_tells(self, workspace):
        workspace.build("//:measured", "//:images")
        lines = [json.loads(line) for line in workspace.output("measured.jsonl").splitlines()]
        for id_, line in zip(IDS, lines, strict=True):
            image = workspace.directory / "bazel-bin/images" / f"{id_}.efi"
            alone = succeed(
                workspace.directory, "measure", image, "--platform", "qemu:q35", "--bank", "sha384", "--json"
            )
            assert line["document"] == json.loads(alone.out)

    def test_generated_files_stand_in_place_of_the_recipe_s(self, workspace):
        """A rule makes the initrd, and a file that the recipe names by a variable."""
        generate = (
            'genrule(name = "initrd", outs = ["made.img"], cmd = "echo generated initrd >$@")\n'
            'genrule(name = "release", outs = ["made.txt"], cmd = "echo ID=made >$@")\n'
            'genrule(name = "words", outs = ["words.txt"], cmd = "echo console=ttyS7 >$@")\n'
        )
        recipe = RECIPE.replace('cmdline = "root=LABEL=root ro"', 'cmdline = { file = "{{ words }}" }')
        recipe = recipe.replace("[fuki.image]", '[fuki.variables]\nwords = "none"\n[fuki.image]')
        image = (
            'fuki_uki(name = "image", recipe = "fuki.toml", srcs = ["stub", "vmlinuz", "os-release"], '
            'initrd = [":initrd"], files = {":words": "words"})\n'
            'fuki_uki(name = "other", recipe = "fuki.toml", out = "named.efi", srcs = ["os-release", "initrd.img"], '
            'linux = "vmlinuz", stub = "stub", os_release = ":release", cmdline_file = ":words")\n'
        )
        files = {"os-release": "ID=acme\n", "initrd.img": "initrd"}
        lay_out(workspace.directory / "deep/er", real=BASE, files=files, recipe=recipe)
        (workspace.directory / "deep/er/BUILD.bazel").write_text(LOAD + generate + image)
        workspace.build("//deep/er:all")
        other = workspace.directory / "bazel-bin/deep/er/named.efi"
        for section, content in ((".cmdline", "console=ttyS7\n"), (".osrel", "ID=made\n")):
            assert succeed(workspace.directory, "inspect", other, "--extract", section, "-o", "-").out == content
        image = workspace.directory / "bazel-bin/deep/er/image.efi"
        assert (
            succeed(workspace.directory, "inspect", image, "--extract", ".cmdline", "-o", "-").out == "console=ttyS7\n"
        )
        assert b"generated initrd\n" in image.read_bytes()

    def test_a_target_may_be_the_fuki_that_actions_run(self, workspace):
        (workspace.directory / "fuki.sh").write_text(f'#!/bin/sh\necho "by a target: $1" >&2\nexec {FUKI} "$@"\n')
        (workspace.directory / "fuki.sh").chmod(0o755)
        toolchain = (
            'load("@fuki//:defs.bzl", "fuki_toolchain")\n'
            'genrule(name = "fuki", srcs = ["fuki.sh"], outs = ["bin/fuki"], cmd = "cp $< $@", executable = True)\n'
            'fuki_toolchain(name = "own_fuki", program = ":fuki")\n'
            'toolchain(name = "own", toolchain = ":own_fuki", toolchain_type = "@fuki//:toolchain_type")\n'
        )
        (workspace.directory / "BUILD.bazel").write_text(toolchain + TARGETS)
        said = workspace.build(f"//:images/{IDS[0]}", "//:measured", "--extra_toolchains=//:own")
        assert "by a target: build" in said
        assert "by a target: measure" in said
        assert images(workspace)[IDS[0]] == local_images(workspace.directory)[IDS[0]]


def answer(server, content):
    """Send content to the first who connects."""
    connection, _ = server.accept()
    with connection:
        connection.sendall(content)


class TestKeys:
    @pytest.fixture
    def signed(self, workspace):
        identity = make_identity("Acme db")
        here = workspace.directory
        write_key(here / "db.key", identity.key)
        write_certificates(here / "db.crt", identity.certificate)
        sign = '[fuki.sign]\nbackend = "local"\nkey = "db.key"\ncertificate = "db.crt"\n'
        lay_out(here, files={"initrd.img": b"initrd"}, recipe=RECIPE + sign)
        self.write(here, "")
        return workspace

    @staticmethod
    def write(here, more) -> None:
        srcs = f'["stub", "vmlinuz", "initrd.img", "os-release"{more}]'
        image = f'fuki_uki(name = "image", recipe = "fuki.toml", srcs = {srcs})\n'
        (here / "BUILD.bazel").write_text(LOAD + image)

    def test_images_come_out_unsigned_and_are_signed_behind_the_action(self, signed):
        here = signed.directory
        signed.build("//:image", "--output_groups=+digests")
        assert "db.key" not in signed.run("aquery", "//:image")

        document = json.loads(signed.output("image.digests.json"))
        for item in document["digests"]:
            sign = ["openssl", "pkeyutl", "-sign", "-inkey", here / "db.key", "-pkeyopt", "digest:sha256"]
            made = subprocess.run(sign, input=bytes.fromhex(item["digest"]), capture_output=True, check=True)
            item["signature"] = base64.b64encode(made.stdout).decode()
        (here / "signed.json").write_text(json.dumps(document))
        image = here / "bazel-bin/image.efi"
        attach = ("--signatures", "signed.json", "--certificate", "db.crt", "-o", "signed.efi")
        succeed(here, "attach", image, *attach)
        succeed(here, "build", "-o", "local.efi")
        assert (here / "signed.efi").read_bytes() == (here / "local.efi").read_bytes()

    def test_a_key_among_the_inputs_is_refused(self, signed):
        self.write(signed.directory, ', "db.key"')
        assert "db.key is a key, and no action gets one" in signed.build("//:image", code=1)


class TestRemote:
    def test_results_in_a_remote_cache_are_not_made_again(self, workspace, engine):
        cache = f"--remote_cache={engine.url.replace('http', 'grpc')}"
        assert "9 linux-sandbox" in workspace.build("//:images", cache)
        built = images(workspace)
        workspace.run("clean")
        said = workspace.build("//:images", cache)
        assert "9 remote cache hit" in said
        assert "linux-sandbox" not in said
        assert images(workspace) == built

    def test_workers_make_the_bytes_of_a_local_build(self, workspace, engine):
        remote = [f"--remote_executor={engine.url.replace('http', 'grpc')}", "--spawn_strategy=remote", "--jobs=4"]
        remote += ["--remote_default_exec_properties=OSFamily=linux", "--noremote_local_fallback"]
        said = workspace.run("build", "//:images", "//:measured", *remote)
        assert "10 remote" in said
        assert images(workspace) == local_images(workspace.directory)

        cells = workspace.directory / "cells.bzl"
        cells.write_text(cells.read_text().replace('"inputs/aws.img", ', ""))
        said = workspace.run("build", f"//:images/{IDS[0]}", *remote, code=1)
        assert "fuki.image.initrd[0]: cannot open inputs/aws.img" in said
