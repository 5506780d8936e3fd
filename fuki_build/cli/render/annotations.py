"""Findings as code hosts show them beside a change: commands of GitHub's workflows, GitLab's code quality report."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from fuki_build.cli.render.plain import plain
from fuki_build.errors import FukiError
from fuki_build.hooks.rules import Finding, Severity

GITHUB = "github"
GITLAB = "gitlab"
FORMATS = (GITHUB, GITLAB)
_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}
_SEVERITIES = {Severity.ERROR: "critical", Severity.WARNING: "minor", Severity.NOTE: "info"}
_BROKEN = "recipe"
"""Stands for a rule where a recipe cannot even be planned."""


class Annotation(Struct, frozen=True):
    """A finding at a line of a file, by its path from the current directory; no line in a file that is no text."""

    finding: Finding
    path: str
    line: int | None = None


def annotation(finding: Finding, path: Path, line: int | None = None) -> Annotation:
    """A finding at a line, with the path as code hosts want it: from the current directory, without leading dots."""
    text = os.path.normpath(os.path.relpath(path) if path.is_absolute() else path)
    return Annotation(finding, str(path) if text.startswith("..") else text, line)


def finding_of(error: FukiError) -> Finding:
    """An error that left nothing to check, as a finding."""
    return Finding(rule=_BROKEN, severity=Severity.ERROR, message=error.message, where=error.where, hint=error.hint)


def annotations_text(annotations: Sequence[Annotation], form: str) -> str:
    """What goes to standard output for a host."""
    if form == GITHUB:
        return "".join(f"{_command(one)}\n" for one in annotations)
    return json.dumps(_report(annotations), indent=2) + "\n"


def _command(annotation: Annotation) -> str:
    """`::error file=…,line=…,title=…::…`; GitHub's toolkit says what is escaped, in @actions/core, command.ts."""
    finding = annotation.finding
    properties = {"file": annotation.path, "line": annotation.line, "title": f"fuki: {finding.rule}"}
    given = ",".join(f"{key}={_property(str(value))}" for key, value in properties.items() if value is not None)
    return f"::{_COMMANDS[finding.severity]} {given}::{_data(_message(finding))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(plain(text)).replace(":", "%3A").replace(",", "%2C")


def _message(finding: Finding) -> str:
    where = f"{finding.where}: " if finding.where else ""
    hint = f"\nhint: {plain(finding.hint)}" if finding.hint else ""
    return plain(f"{where}{finding.message}") + hint


def _report(annotations: Sequence[Annotation]) -> list[dict[str, object]]:
    """GitLab's report: it shows one issue for each fingerprint, and needs a line."""
    counts: dict[str, int] = {}
    issues: list[dict[str, object]] = []
    for one in annotations:
        # Lines move with every change above them; an issue must stay the same then.
        identity = "\0".join((one.finding.rule, one.path, one.finding.where or "", one.finding.message))
        counts[identity] = counts.get(identity, 0) + 1
        fingerprint = hashlib.sha256(f"{identity}\0{counts[identity]}".encode(errors="backslashreplace")).hexdigest()
        issues.append(
            {
                "description": _message(one.finding),
                "check_name": one.finding.rule,
                "fingerprint": fingerprint,
                "severity": "blocker" if one.finding.rule == _BROKEN else _SEVERITIES[one.finding.severity],
                "location": {"path": plain(one.path), "lines": {"begin": one.line or 1}},
            }
        )

    return issues
