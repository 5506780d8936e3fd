"""Findings on standard error."""

import sys
from collections.abc import Iterable

import click

from fuki_build.cli.render import colour
from fuki_build.cli.render.plain import plain
from fuki_build.hooks.records import Finding, Severity

_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


def show_notes(notes: Iterable[str]) -> None:
    """Tell what no rule is about, such as what of a base image is gone."""
    label = click.style(Severity.NOTE.value, fg=_COLOURS[Severity.NOTE], bold=True)
    for text in notes:
        click.echo(f"{label}: {plain(text)}", err=True, color=colour.wanted(sys.stderr))


def show_findings(findings: Iterable[Finding]) -> None:
    styled = colour.wanted(sys.stderr)
    for finding in findings:
        label = click.style(finding.severity.value, fg=_COLOURS[finding.severity], bold=True)
        where = f"{finding.where}: " if finding.where else ""
        click.echo(f"{label}: {plain(where + finding.message)} [{finding.rule}]", err=True, color=styled)
        if finding.hint:
            click.echo(f"  hint: {plain(finding.hint)}", err=True)
