"""`fuki launch` with the plugin that knows how machines start."""

import json
from pathlib import Path
from typing import Any

from fuki_build.testing import succeed

COCO = ("--plugin", "coco")


def rows(directory: Path, *arguments: object) -> list[dict[str, Any]]:
    """The launches that are printed in JSON."""
    document = json.loads(succeed(directory, *COCO, "launch", *arguments, "--json").out)
    assert document["version"] == 1
    launches: list[dict[str, Any]] = document["launches"]
    return launches
