"""Every command in the documentation is run, and shows what the page shows; every recipe in it is one."""

import doctest
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import jsonschema
import parts
import pytest
from attest_pages import lay_out_evidence
from signing_programs import install_programs

from tests.docs.pages import CHECKOUT, PAGES, Block, blocks, commands, headings, links, matches
from tests.docs.reference import first_party
from tests.support.bazel import RULES, install_bazel
from tests.support.images import layout_of, write
from tests.support.installers import DracutRoot, KernelInstallRoot, install_wrappers
from tests.support.remote_execution import install_tools

Prepare = Callable[[str], Path]
PROGRAMS = Path(sys.executable).parent
SHELLS = {"sh", "bash", "shell"}
LINKS = {
    "parts": {},
    "secure-boot": {"parts/OVMF.fd": "ovmf-inteltdx", "parts/OVMF_VARS.fd": "ovmf-vars"},
    "distribution": {"shimx64.efi": "shim", "OVMF_VARS.fd": "ovmf-vars-ms"},
}
"""Directories with the parts of the examples, and beside them these."""
ROOTS = {"kernel-install": KernelInstallRoot, "dracut": DracutRoot}
"""Directories that are the root of a machine, whose programs of these names run in them."""
WALKED = ("docs/tutorial/two-clouds.md", "docs/tutorial/review-a-strangers-image.md")
"""Pages whose commands tests/walks runs, in a fresh environment."""
EXAMPLES = ("ci", "quickstart", "fleet", "make", "matrix", "meson", "mkosi", "ninja", "template")


@pytest.fixture
def prepare(tmp_path_factory: pytest.TempPathFactory, lay_out: Callable[[Path], None]) -> Prepare:
    """`prepare(name)` makes a fresh directory as a page's `<!-- in: name -->` asks for it."""
    # Its name is short: sockets below it have paths of 107 bytes at most.
    base = tmp_path_factory.mktemp("page")

    def prepare(name: str) -> Path:
        directory = base / f"{sum(1 for _ in base.iterdir())}" / name
        if name in EXAMPLES:
            ignored = shutil.ignore_patterns("parts", "out")
            shutil.copytree(CHECKOUT / "examples" / name, directory, ignore=ignored)
            lay_out(directory / "parts")
        elif name in LINKS:
            lay_out(directory / "parts")
            for file, part in LINKS[name].items():
                (directory / file).symlink_to(parts.get(part))
        elif name == "foreign":
            make_foreign_image(directory, lay_out)
        elif name in MAKERS:
            MAKERS[name](directory)
        elif name in ROOTS:
            ROOTS[name](directory).lay_out()
        elif name == "empty":
            directory.mkdir(parents=True)
        else:
            pytest.fail(f"no directory is prepared as {name!r}")
        return directory

    return prepare


@pytest.fixture(scope="session")
def signing_programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for PATH with programs that are not the machine's own: signing, kernel-install, dracut, BuildBox,
    Bazel."""
    directory = install_programs(tmp_path_factory.mktemp("programs"))
    install_wrappers(directory)
    install_tools(directory)
    install_bazel(tmp_path_factory.mktemp("bazel"), directory)
    return directory


def copy_checkout(directory: Path) -> None:
    """A checkout of its own, with the parts of this one and an environment that counts as ready: `make` must never
    install the copy into the environment that runs the tests."""
    ignored = shutil.ignore_patterns(".*", "__pycache__", "parts", "out")
    shutil.copytree(CHECKOUT, directory, ignore=ignored)
    parts.PARTS.mkdir(exist_ok=True)
    (directory / ".parts").symlink_to(parts.PARTS)
    environment = directory / ".venv"
    environment.mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (environment / name).symlink_to(Path(sys.prefix) / name)
    for stamp in (".core", ".ready"):
        (environment / stamp).write_text("")


def copy_logs(directory: Path) -> None:
    """Event logs of real machines, and an image that none of them booted."""
    shutil.copytree(CHECKOUT / "tests" / "data" / "event-logs", directory)
    write(directory / "image.efi", layout_of([(".linux", b"kernel", None), (".cmdline", b"console=", None)]))


def make_foreign_image(directory: Path, lay_out: Callable[[Path], None]) -> None:
    """`foreign.efi`, made by ukify."""
    lay_out(directory / "parts")
    command = [sys.executable, str(parts.get("ukify")), "build", "--output=foreign.efi"]
    command += ["--stub=parts/linux.efi.stub", "--linux=parts/vmlinuz", "--initrd=parts/initrd.img"]
    command += ["--cmdline=root=LABEL=root ro", "--os-release=ID=foreign\nPRETTY_NAME=Foreign\n"]
    # Without it, ukify takes the hardware ids of the machine that it runs on.
    command += ["--efifw=parts/firmware/ovmf-generic", "--hwids=hwids"]
    (directory / "hwids").mkdir()
    machine = {
        "type": "uefi-fw",
        "name": "QEMU q35",
        "fwid": "ovmf-generic",
        "hwids": ["817fca52-ae83-52f5-8642-9497f79d49d0"],
    }
    (directory / "hwids/q35.json").write_text(json.dumps(machine))
    subprocess.run(command, cwd=directory, check=True, capture_output=True)


def make_bazel_workspace(directory: Path) -> None:
    """The recipe of examples/matrix with its parts, and the rules."""
    shutil.copytree(CHECKOUT / "examples" / "matrix", directory, ignore=shutil.ignore_patterns("parts", "out"))
    parts.matrix(directory / "parts")
    shutil.copytree(RULES, directory / "third_party/fuki")


MAKERS = {"bazel": make_bazel_workspace, "checkout": copy_checkout, "evidence": lay_out_evidence, "logs": copy_logs}
"""Directories that need no parts of the examples."""


class Session:
    """One page's commands in its directories."""

    def __init__(self, prepare: Prepare, programs: Path) -> None:
        self.prepare = prepare
        self.programs = programs
        self.directory: Path | None = None
        self.plugins: list[Path] = []

    def play(self, block: Block) -> None:
        if "in" in block.directives:
            self.directory = self.prepare(block.directives["in"])
        if "file" in block.directives:
            path = self.here / block.directives["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        elif block.language == "console":
            if "not run" in block.directives:
                self.stand_in(block)
            else:
                self.run(block)

    def converse(self, blocks: Iterable[Block]) -> None:
        """Try what a page says to Python."""
        session = self.here / "session.txt"
        # doctest has three dots for what may be anything.
        session.write_text("\n".join(block.text for block in blocks).replace("…", "..."))
        script = (
            "import doctest;"
            " raise SystemExit(doctest.testfile('session.txt', False, optionflags=8, encoding='utf-8').failed)"
        )
        assert doctest.ELLIPSIS == 8
        command = [sys.executable, "-c", script]
        done = subprocess.run(
            command, cwd=self.here, env=self.environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    @property
    def here(self) -> Path:
        assert self.directory is not None, "the page does not say where, with <!-- in: … -->"
        return self.directory

    def run(self, block: Block) -> None:
        steps = list(commands(block))
        assert steps, "a console block without a command"
        for number, step in enumerate(steps, 1):
            done = subprocess.run(
                ["/bin/sh", "-c", step.command],
                cwd=self.here,
                env=self.environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                stdin=subprocess.DEVNULL,
            )
            expected = int(block.directives.get("exit", 0)) if number == len(steps) else 0
            place = f"line {block.line}: $ {step.command}\n{done.stdout}"
            assert done.returncode == expected, place
            assert not step.output or matches(step.output, done.stdout, varies="varies" in block.directives), place

    def environment(self) -> dict[str, str]:
        dropped = ("NO_COLOR", "FORCE_COLOR", "MAKEFLAGS", "MAKELEVEL", "PYTEST_ADDOPTS", "VENV")
        kept = {key: value for key, value in os.environ.items() if key not in dropped}
        path = os.pathsep.join((str(PROGRAMS), str(self.programs), os.environ["PATH"]))
        library = os.pathsep.join(filter(None, [*map(str, self.plugins), os.environ.get("PYTHONPATH")]))
        return {**kept, "PATH": path, "PYTHONPATH": library}

    def stand_in(self, block: Block) -> None:
        """For an editable install of a plugin that the page wrote: put it and its entry points on the path."""
        for step in commands(block):
            folder = self.directory / step.command.split()[-1] if self.directory else None
            if "install --editable" in step.command and folder and (folder / "pyproject.toml").is_file():
                project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
                info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
                info.mkdir()
                points = [EntryPoint(name, value, "fuki") for name, value in project["entry-points"]["fuki"].items()]
                lines = ["[fuki]", *(f"{point.name} = {point.value}" for point in points)]
                (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
                head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
                (info / "METADATA").write_text(head)
                self.plugins.append(folder)


@pytest.mark.parametrize(
    "page",
    [
        page
        for page in PAGES
        if page not in WALKED and {block.language for block in blocks(page)} & {"console", "pycon"}
    ],
)
def test_the_commands_of_the_page_do_what_it_shows(page: str, prepare: Prepare, signing_programs: Path):
    session = Session(prepare, signing_programs)
    for block in blocks(page):
        session.play(block)
    conversation = [block for block in blocks(page) if block.language == "pycon"]
    if conversation:
        session.converse(conversation)


@pytest.mark.parametrize("page", PAGES)
def test_the_page_s_commands_stand_in_console_blocks(page: str):
    assert not [block.line for block in blocks(page) if block.language in SHELLS]


@pytest.mark.parametrize("page", PAGES)
def test_the_page_says_why_for_what_is_not_run(page: str):
    assert all(block.directives.get("not run", "why") for block in blocks(page))


@pytest.fixture(scope="session")
def schema() -> dict[str, Any]:
    plugins = [argument for name in first_party() for argument in ("--plugin", name)]
    command = [sys.executable, "-m", "fuki_build", *plugins, "schema"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def fragments(page: str) -> list[Block]:
    recipes = [block for block in blocks(page) if block.language == "toml"]
    return [block for block in recipes if block.directives.get("file", "fuki.toml").endswith("fuki.toml")]


@pytest.mark.parametrize("page", [page for page in PAGES if fragments(page)])
def test_the_recipes_of_the_page_fit_the_schema(page: str, schema: dict[str, Any]):
    for block in fragments(page):
        table = tomllib.loads(block.text).get("fuki", {})
        # What a fragment leaves out is required, but not what it shows.
        recipe = {"fuki": {"name": "acme", "image": {}, **table}}
        jsonschema.validate(recipe, schema)


@pytest.mark.parametrize("page", [page for page in PAGES if links(page)])
def test_the_links_of_the_page_lead_somewhere(page: str):
    for link in links(page):
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        path = (CHECKOUT / page).parent / target if target else CHECKOUT / page
        assert path.exists(), link
        if anchor:
            assert anchor in headings(path.resolve().relative_to(CHECKOUT.resolve()).as_posix()), link
