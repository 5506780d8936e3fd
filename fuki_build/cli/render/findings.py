"""Findings on standard error."""

import sys
from collections.abc import Iterable

import click

from fuki_build.cli.render import colour, talk
from fuki_build.cli.render.plain import complain, plain
from fuki_build.cli.render.talk import Talk
from fuki_build.cli.render.words import message_lines
from fuki_build.hooks.rules import Finding, Severity

_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


def show_notes(notes: Iterable[str]) -> None:
    """Tell what no rule is about, such as what of a base image is gone."""
    if talk.level > Talk.QUIET:
        for text in notes:
            _tell(Severity.NOTE, text)


def show_findings(findings: Iterable[Finding], *, of_build: bool = False) -> None:
    """Tell what the checks found: with `--quiet` errors only. A build tells notes only where it is to say more."""
    for finding in findings:
        if finding.severity is not Severity.ERROR and talk.level is Talk.QUIET:
            continue
        if finding.severity is Severity.NOTE and of_build and talk.level is not Talk.VERBOSE:
            continue
        where = f"{finding.where}: " if finding.where else ""
        _tell(finding.severity, f"{where}{finding.message} [{finding.rule}]")
        if finding.hint:
            complain(f"  hint: {finding.hint}")


def _tell(severity: Severity, text: str) -> None:
    first, *others = message_lines(plain(f"{severity.value}: {text}"), sys.stderr)
    label = click.style(severity.value, fg=_COLOURS[severity], bold=True)
    for line in (label + first[len(severity.value) :], *others):
        click.echo(line, err=True, color=colour.wanted(sys.stderr))
