"""JSON on standard output; every document has a `version`."""

from collections.abc import Sequence
from typing import Any

import click
import msgspec

from fuki_build.builtin.outputs import manifest
from fuki_build.emit.plan import Plan, Result
from fuki_build.formats.documents import encode_json
from fuki_build.hooks.records import Finding

PLAN_VERSION = 1
BUILD_VERSION = 1
FINDINGS_VERSION = 1


def print_json(data: Any) -> None:  # noqa: ANN401 - structs or plain data
    click.echo(encode_json(data))


def plan_json(plan: Plan) -> dict[str, Any]:
    return {
        "version": PLAN_VERSION,
        "name": plan.loaded.recipe.name,
        "image-version": plan.loaded.recipe.version,
        "images": plan.views,
        "findings": [msgspec.to_builtins(finding) for finding in plan.findings],
    }


def build_json(result: Result) -> dict[str, Any]:
    return {
        "version": BUILD_VERSION,
        "artifacts": [
            {"path": str(a.path), "format": a.format, "size": a.path.stat().st_size} for a in result.artifacts
        ],
        "build": manifest(result.build),
    }


def findings_json(findings: Sequence[Finding]) -> dict[str, Any]:
    return {"version": FINDINGS_VERSION, "findings": [msgspec.to_builtins(finding) for finding in findings]}
