"""The pipelines of examples/ci: their YAML is read, and their steps run in a copy of the example, as on a runner."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

CI = Path(__file__).parent.parent.parent / "examples" / "ci"
SCHEMA = json.loads((Path(__file__).parent.parent / "data" / "gitlab-code-quality.schema.json").read_text())
FETCHES = ("pip install fuki-build",)
"""What gets fuki from a network; the tests have it."""


class Project:
    """A copy of the example with a key, and how commands run in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-subj", "/CN=Acme"]
        subprocess.run([*request, "-keyout", directory.parent / "db.key", "-out", "db.crt"], cwd=directory, check=True)
        self.summary = directory.parent / "summary.md"
        self.environment = {
            **os.environ,
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
            "RUNNER_TEMP": str(directory.parent),
            "GITHUB_STEP_SUMMARY": str(self.summary),
        }

    def run(self, script: str, *shell: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*shell, script],
            cwd=self.directory,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def break_recipe(self, line: str, instead: str) -> int:
        """Write something else in the place of a line of the recipe; returns the line's number."""
        recipe = self.directory / "fuki.toml"
        lines = recipe.read_text().splitlines()
        number = lines.index(line)
        lines[number] = instead
        recipe.write_text("\n".join(lines) + "\n")
        return number + 1


@pytest.fixture
def project(tmp_path: Path, lay_out: Callable[[Path], None]) -> Project:
    directory = tmp_path / "ci"
    shutil.copytree(CI, directory, ignore=shutil.ignore_patterns("parts", "out"))
    lay_out(directory / "parts")
    return Project(directory)


def github_steps(event: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Name, script and environment of the steps with a script that run for an event."""
    (job,) = yaml.safe_load((CI / "github.yml").read_text())["jobs"].values()
    for step in job["steps"]:
        assert ("run" in step) != ("uses" in step)
        condition = step.get("if")
        assert condition in {None, "github.event_name == 'push'"}
        if "run" in step and step["run"] not in FETCHES and (condition is None or event == "push"):
            yield step["name"], step["run"], step.get("env", {})


def run_github(project: Project, event: str) -> tuple[str | None, str]:
    """The step that fails, or None, and all standard output. GitHub runs a script with `bash -e`."""
    secrets = {"${{ secrets.DB_KEY }}": (project.directory.parent / "db.key").read_text()}
    (project.directory.parent / "db.key").rename(project.directory.parent / "secret.key")
    printed = ""
    for name, script, environment in github_steps(event):
        done = project.run(script, "bash", "-e", "-c", **{key: secrets[text] for key, text in environment.items()})
        printed += done.stdout
        if done.returncode:
            return name, printed
    return None, printed


@pytest.mark.parametrize("event", ["push", "pull_request"])
def test_the_steps_for_github_build_an_image_and_keep_no_key(project, event):
    failed, printed = run_github(project, event)
    assert failed is None, printed
    signed = subprocess.run(["sbverify", "--cert", "db.crt", "out/appliance.efi"], cwd=project.directory, check=False)
    assert (signed.returncode == 0) is (event == "push")
    artifacts = {path.name for path in (project.directory / "out").iterdir()}
    assert artifacts == {"appliance.efi", "appliance.manifest.json", "predictions.json"}
    assert json.loads((project.directory / "out/predictions.json").read_text())
    assert ".efifw" in project.summary.read_text()
    assert not (project.directory.parent / "db.key").exists()


def test_the_check_for_github_names_the_line_of_the_recipe(project):
    number = project.break_recipe('platforms = ["qemu:q35"]', 'platforms = ["qemu:q36"]')
    failed, printed = run_github(project, "pull_request")
    assert failed == "Check"
    (command,) = printed.splitlines()
    assert command.startswith(f"::error file=fuki.toml,line={number},title=fuki%3A recipe::")


def gitlab_jobs() -> dict[str, dict[str, Any]]:
    document = yaml.safe_load((CI / "gitlab-ci.yml").read_text())
    assert document["default"]["before_script"] == list(FETCHES)
    jobs = {name: job for name, job in document.items() if name not in {"stages", "default"}}
    assert [job["stage"] for job in jobs.values()] == document["stages"]
    return jobs


def run_gitlab(project: Project, name: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """GitLab runs a job's script as one, which ends with the first line that fails."""
    return project.run("\n".join(gitlab_jobs()[name]["script"]), "sh", "-e", "-c", **environment)


@pytest.mark.parametrize("branch", ["main", "topic"])
def test_the_jobs_for_gitlab_build_an_image(project, branch):
    key = str(project.directory.parent / "db.key")
    for name in gitlab_jobs():
        done = run_gitlab(project, name, CI_COMMIT_BRANCH=branch, DB_KEY=key)
        assert done.returncode == 0, done.stderr
    signed = subprocess.run(["sbverify", "--cert", "db.crt", "out/appliance.efi"], cwd=project.directory, check=False)
    assert (signed.returncode == 0) is (branch == "main")
    assert json.loads((project.directory / "out/predictions.json").read_text())
    (path,) = gitlab_jobs()["build"]["artifacts"]["paths"]
    assert (project.directory / path).is_dir()


def test_the_report_for_gitlab_is_there_when_the_check_fails_and_names_the_line(project):
    number = project.break_recipe('linux = "parts/vmlinuz"', 'linux = "parts/linux.efi.stub"')
    assert run_gitlab(project, "check").returncode == 1
    job = gitlab_jobs()["check"]["artifacts"]
    assert job["when"] == "always"
    report = json.loads((project.directory / job["reports"]["codequality"]).read_text())
    jsonschema.validate(report, SCHEMA)
    places = [(one["severity"], one["location"]["path"], one["location"]["lines"]["begin"]) for one in report]
    assert ("critical", "fuki.toml", number) in places
