"""Google Compute Engine: the platform `gcp`. What its machines say of themselves stands in machines.toml."""

import tomllib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from fuki_build import Machine
from fuki_build.errors import RecipeError
from fuki_build.hooks import Platform, hookimpl

_TABLE: dict[str, Any] = tomllib.loads(files(__name__).joinpath("machines.toml").read_text(encoding="utf-8"))


class ComputeEngine(Platform):
    """Google Compute Engine. All sizes share one identity, so there is nothing to select.

    >>> [machine.product for machine in ComputeEngine().machines()]
    ['Google Compute Engine']
    """

    name = "gcp"
    title = "Google Compute Engine"
    chid_types = tuple(_TABLE["chid-types"])

    def machines(self, selector: str | None = None) -> Sequence[Machine]:
        if selector is not None:
            raise RecipeError(f"gcp has no machine {selector!r}", hint='all sizes are alike: platforms = ["gcp"]')
        return [Machine(**{key.replace("-", "_"): text for key, text in row.items()}) for row in _TABLE["machine"]]


@hookimpl
def fuki_platforms() -> Sequence[Platform]:
    return [ComputeEngine()]
